"""Registration of Triton kernels for CUDA GPUs.

They take precedence over the composites. Triton and the kernels are imported at the first call.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

from recops._dtypes import without_autocast
from recops.ops._composite import tensors_of

TRITON_FAMILIES: dict[str, str] = {
    op: family
    for family, ops in {
        "balance_assignment": ["repair_assignment"],
        "coaction": [
            "coaction",
            "coaction_backward",
            "coaction_gather",
            "coaction_gather_backward",
            "coaction_gather_backward_sparse",
            "coaction_multi",
            "coaction_multi_backward",
        ],
        "codebook_overlap": ["codebook_overlap", "codebook_overlap_backward"],
        "residual_quantization": [
            "accumulate_codes",
            "nearest_codes",
            "rq_decode",
            "rq_decode_backward",
            "rq_encode",
            "rq_encode_beams",
        ],
    }.items()
    for op in ops
}
"""Family of each op with Triton kernels. ``recops.ops.<family>.triton`` has a launcher per op."""


def is_triton_available() -> bool:
    """Return whether torch is a CUDA build and Triton is installed.

    Looking for a GPU would start CUDA at the import of this library, and forked processes could not
    use CUDA then.
    """
    return torch.version.cuda is not None and find_spec("triton") is not None


def register_triton() -> None:
    """Register the launchers under the key CUDA, if they can run here."""
    if is_triton_available():
        for op in TRITON_FAMILIES:
            torch.library.impl(f"recops::{op}", "CUDA", _launcher(op))


def _launcher(op: str) -> Callable[..., Any]:
    """Return the launcher of an op, without autocast: 16 bits would change its results."""

    def run(*arguments: Any) -> Any:
        with without_autocast(next(tensors_of(arguments))):
            return _function(op)(*arguments)

    return run


@cache
def _function(op: str) -> Callable[..., Any]:
    function: Callable[..., Any] = getattr(
        import_module(f"recops.ops.{TRITON_FAMILIES[op]}.triton"), op
    )
    return function
