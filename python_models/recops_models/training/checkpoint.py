"""The state of a training run after a finished epoch, in one sealed file."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from recops.files import load_tensors, save_tensors

_KIND = "training-checkpoint"


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: Optimizer,
    best: Mapping[str, Tensor],
    meta: Mapping[str, Any],
) -> None:
    """Write weights, those of the best epoch, the optimizer's moments and ``meta``, in one
    piece.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in best.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in state.items()}
    save_tensors(path, tensors, kind=_KIND, meta=meta)


def load_checkpoint(
    path: Path, model: nn.Module, optimizer: Optimizer
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Put a checkpoint's state into both; the best epoch's weights, and ``meta``.

    Raises:
        CorruptFileError: the file is damaged, or no checkpoint.
        RuntimeError: of another model.
    """
    tensors, meta = load_tensors(path, kind=_KIND)
    model.load_state_dict(_below("model.", tensors))
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in _below("optimizer.", tensors).items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    groups = copy.deepcopy(optimizer.state_dict()["param_groups"])
    optimizer.load_state_dict({"state": state, "param_groups": groups})
    return _below("best.", tensors), meta


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }
