"""Making a call, and classifying its outcome."""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

import recops
import recops.files
from fuzz.call import Call, Outcome
from fuzz.targets import PATHS

_REFUSALS = (ValueError, TypeError, IndexError, NotImplementedError)
_TORCH_ERRORS = (RuntimeError, AssertionError, AttributeError, OverflowError)
_TOLERANCE = {torch.bfloat16: 0.05, torch.float16: 0.01, torch.float64: 1e-9}
_RANKED = {
    "constrained_beam_search",
    "nearest_codes",
    "rq_encode",
    "rq_encode_beams",
    "trie_beam_step",
}
"""Functions that rank. Rounding may reorder equal candidates, so only scores are compared."""
_NO_MEMORY = ("DefaultCPUAllocator: can't allocate memory", "recops: no memory for a tensor")
_NAMED = re.compile(r"[A-Za-z_][\w.]*: ")


def judge(call: Call) -> Outcome:
    """Make ``call`` in this process, which it may end, and return the outcome."""
    scope: dict[str, Any] = {"torch": torch, "recops": recops, "dataclasses": dataclasses}
    scope |= {"nan": math.nan, "inf": math.inf}
    warnings.simplefilter("ignore")
    try:
        for name, expression in call.lines:
            scope[name] = eval(expression, scope)
        function = eval(call.function, scope)
    except Exception as error:
        return Outcome("undrawn", str(error))
    arguments = {name: scope[name] for name in call.passed}
    try:
        result = function(**arguments)
        for tensor in tensors(result):
            if tensor.device.type == "cpu" and tensor.layout == torch.strided:
                tensor.detach().clone()
    except Exception as error:
        return _error_outcome(call, error)
    if call.reference is None:
        return Outcome("ok")
    return _compare(call, result, eval(call.reference, scope), arguments)


def _error_outcome(call: Call, error: Exception) -> Outcome:
    text = f"{type(error).__name__}: {str(error).partition(chr(10))[0][:300]}"
    if call.function.startswith("torch.ops."):
        # Errors of torch's dispatcher, fakes and composites do not name the op.
        refused = isinstance(error, (*_REFUSALS, *_TORCH_ERRORS))
        return Outcome("refused" if refused else "exception", text)
    is_file_error = isinstance(error, (OSError, recops.files.CorruptFileError))
    is_file_error |= isinstance(error, TypeError) and "os.PathLike" in text
    has_path = not PATHS.isdisjoint(call.passed)
    if (has_path and is_file_error) or any(each in str(error) for each in _NO_MEMORY):
        return Outcome("refused", text)
    op = call.function.rpartition(".")[2]
    named = bool(_NAMED.match(str(error))) or op in str(error)
    called = re.match(r"\w+\(\) (got|missing)|\S+\.\w+\(\) (got|missing)", str(error))
    if isinstance(error, _REFUSALS) and (named or called):
        return Outcome("refused", text)
    return Outcome("exception", text)


def _compare(call: Call, result: Any, reference: Any, arguments: dict[str, Any]) -> Outcome:
    try:
        expected = list(tensors(reference(**arguments)))
    except Exception as error:
        return Outcome("ok", f"no reference: {error}")
    outputs = list(tensors(result))
    if len(outputs) != len(expected):
        return Outcome("wrong", f"{len(outputs)} tensors, {len(expected)} from the reference")
    lowest = max(
        (_TOLERANCE.get(t.dtype, 1e-4) for t in tensors(list(arguments.values()))), default=0
    )
    ranked = call.function.rpartition(".")[2] in _RANKED
    for number, (output, other) in enumerate(zip(outputs, expected, strict=True)):
        if output.shape != other.shape:
            return Outcome("wrong", f"output {number}: another shape than the reference's")
        if ranked and not output.is_floating_point():
            continue
        a, b = output.detach().double(), other.detach().double()
        scale = b[b.isfinite()].abs().max().clamp(min=1) if b.isfinite().any() else 1
        slack = float(lowest * scale)
        if torch.allclose(a, b, rtol=lowest, atol=slack, equal_nan=True):
            continue
        # A tie concerns one element, but in a long recurrence rounding spreads to all elements.
        moves = _rounding(number, b, arguments, reference)
        allowed = slack + 10 * (moves.amax() if output.is_floating_point() else moves)
        beyond = ~torch.isclose(a, b, rtol=lowest, atol=slack, equal_nan=True)
        if output.is_floating_point():  # The allowed difference may exceed the dtype's range.
            most = torch.finfo(output.dtype).max
            a, b = a.clamp(-most, most), b.clamp(-most, most)
        if (beyond & ~((a - b).abs() <= allowed)).any():
            return Outcome("wrong", f"output {number}: other numbers than the reference's")
    return Outcome("ok")


def _rounding(number: int, expected: Tensor, arguments: dict[str, Any], reference: Any) -> Tensor:
    """Estimate how far rounding moves each number of an output of the reference.

    Long recurrences with large weights are chaotic. The estimate is the largest distance of the
    reference's result in double precision from ``expected``, and from its results for arguments
    that are a few roundings larger or smaller, each number in its own direction.
    """
    none = torch.zeros_like(expected)
    dtypes = [t.dtype for t in tensors(list(arguments.values())) if t.is_floating_point()]
    if not dtypes or expected.numel() == 0:
        return none
    step = 4 * min(
        max(map(_eps, dtypes)), _eps(torch.float32)
    )  # 16-bit inputs are computed in float32.
    takes_state = "h0" in inspect.signature(reference).parameters
    try:
        exact, *moved = (
            list(tensors(reference(**_perturbed(arguments, by, seed, takes_state))))[number]
            .detach()
            .double()
            for seed, by in enumerate((0.0, step, step, step))
        )
    except Exception:
        return none  # The reference does not take float64 for every argument.
    distances = torch.stack([other - exact for other in (expected, *moved)])
    return distances.abs().nan_to_num(0.0).amax(0)


def _eps(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).eps


def _perturbed(
    arguments: dict[str, Any], step: float, seed: int, takes_state: bool
) -> dict[str, Any]:
    """Return the arguments in float64, each number changed by the share ``step`` up or down.

    A missing initial state becomes ±step, since a recurrence may grow from there.
    """
    drawn = torch.Generator().manual_seed(seed)

    def sides(shape: Sequence[int]) -> Tensor:
        return (torch.randint(0, 2, shape, generator=drawn) * 2 - 1).double()

    wide = {
        name: value.double() * (1 + step * sides(value.shape))
        if isinstance(value, Tensor) and value.is_floating_point()
        else value
        for name, value in arguments.items()
    }
    if takes_state and wide.get("h0") is None:
        rows = next(tensors([wide.get(name) for name in ("gates_index", "x", "gates")])).shape[0]
        wide["h0"] = step * sides((rows, wide["w_hh"].shape[1]))
    return wide


def tensors(value: Any) -> Iterator[Tensor]:
    """Yield all tensors within a value."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from tensors(each)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from tensors(getattr(value, field.name))
