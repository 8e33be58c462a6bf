"""State of a training in one sealed file."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from recops.files import load_tensors, save_tensors
from recops_models import workers
from recops_models.dotted import below
from recops_models.training.curve import Epoch
from recops_models.training.device import HOST

_KIND = "training-state"


@dataclass
class State:
    """Progress of a training, without its model and optimizers.

    Attributes:
        curve: the finished epochs.
        best: weights of the best epoch.
        step: finished steps of the current epoch.
        total: sum of the current epoch's losses over targets.
        targets: number of these targets.
        seconds: time of the current epoch so far.
        rng: states of torch's generators after the last step, by device type; empty before the
            first step. See :func:`~recops_models.training.device.generator_states`.
    """

    curve: list[Epoch] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0
    total: float = 0.0
    targets: int = 0
    seconds: float = 0.0
    rng: dict[str, Tensor] = field(default_factory=dict)

    def finish_epoch(self, epoch: Epoch) -> None:
        """Add an epoch to the curve, and reset the state of the current one."""
        self.curve.append(epoch)
        self.step, self.total, self.targets, self.seconds, self.rng = 0, 0.0, 0, 0.0, {}


_SUMS = ("step", "total", "targets", "seconds")


def save_checkpoint(
    path: Path, model: nn.Module, optimizers: Sequence[Optimizer], state: State
) -> None:
    """Write the weights, those of the best epoch, the optimizers' moments and ``state``.

    Raises:
        OSError: the file cannot be written; an existing checkpoint stays as it is.
    """
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    tensors |= {f"best.{name}": value for name, value in state.best.items()}
    numbers: dict[str, float] = {}  # SparseAdam counts its steps in a plain int.
    for number, optimizer in enumerate(optimizers):
        for index, entries in optimizer.state_dict()["state"].items():
            for name, value in entries.items():
                target = tensors if isinstance(value, Tensor) else numbers
                target[f"optimizer.{number}.{index}.{name}"] = value
    tensors |= {_rng_key(device): value for device, value in state.rng.items()}
    meta = {name: getattr(state, name) for name in _SUMS}
    meta |= {"curve": [vars(row) for row in state.curve], "numbers": numbers}
    save_tensors(path, tensors, kind=_KIND, meta=meta)


def load_checkpoint(path: Path, model: nn.Module, optimizers: Sequence[Optimizer]) -> State:
    """Load a checkpoint into ``model`` and ``optimizers``, and return its state.

    With several workers, the first one reads the file.

    Raises:
        CorruptFileError: the file is damaged, or no checkpoint.
        ValueError: the checkpoint belongs to another model, or to other optimizers.
    """
    tensors, meta = workers.on_first(lambda: load_tensors(path, kind=_KIND))
    try:
        model.load_state_dict(below("model.", tensors))
        entries = below("optimizer.", {**tensors, **meta["numbers"]})
        for number, optimizer in enumerate(optimizers):
            _load_optimizer(optimizer, below(f"{number}.", entries))
    except (RuntimeError, ValueError, KeyError) as error:
        raise ValueError(f"{path}: belongs to another model or to other optimizers") from error
    sums = {name: meta[name] for name in _SUMS}
    curve = [Epoch(**row) for row in meta["curve"]]
    rng = {device: tensors[_rng_key(device)] for device in _rng_devices(tensors)}
    return State(curve, below("best.", tensors), **sums, rng=rng)


def best_weights(path: Path) -> dict[str, Tensor]:
    """Return the weights of the best epoch in a checkpoint; empty if there is no such file.

    Raises:
        CorruptFileError: the file is damaged, or no checkpoint.
    """
    return below("best.", load_tensors(path, kind=_KIND)[0]) if path.exists() else {}


def _rng_key(device: str) -> str:
    """Return the name of a generator's state in the file."""
    return "rng" if device == HOST.type else f"rng.{device}"


def _rng_devices(tensors: Mapping[str, Tensor]) -> list[str]:
    """Return the device types whose generators have a state in the file."""
    return [*([HOST.type] if "rng" in tensors else []), *below("rng.", tensors)]


def _load_optimizer(optimizer: Optimizer, entries: Mapping[str, Any]) -> None:
    state: dict[int, dict[str, Any]] = {}
    for key, value in entries.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    present = optimizer.state_dict()
    parameters = sum(len(group["params"]) for group in present["param_groups"])
    if any(index >= parameters for index in state):
        raise ValueError("more parameters than the optimizer has")
    groups = copy.deepcopy(present["param_groups"])
    optimizer.load_state_dict({"state": state, "param_groups": groups})
