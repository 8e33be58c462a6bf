"""Captures of training steps on the host, for ``tools/capture_steps.py``."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from host_graph import HostGraph

ROOT = Path(__file__).resolve().parents[2]


def load_tool() -> ModuleType:
    """Return the module ``tools/capture_steps.py``."""
    name = "capture_steps"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


def capture_on_host(step: Any) -> Callable[[], None]:
    """Capture a step in a :class:`HostGraph`, like ``capture_in_cuda_graph`` of the tool."""
    for _ in range(load_tool().WARM_UP):
        step.run()
    saved = [tensor.clone() for tensor in _state(step)]
    with HostGraph() as graph:
        step.run()
    with torch.no_grad():
        for tensor, value in zip(_state(step), saved, strict=True):
            tensor.copy_(value)
    return graph.replay


def _state(step: Any) -> Iterator[Tensor]:
    """Yield the tensors that a step changes: weights, buffers and moments."""
    yield from (tensor.detach() for tensor in step.model.state_dict().values())
    for optimizer in step.optimizers:
        for values in optimizer.state.values():
            yield from (value for value in values.values() if isinstance(value, Tensor))
