"""Scaling of encoding compared with faiss, varying one size at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from recops.benchmarks.registry import Point, register_scaling
from recops.benchmarks.residual_quantization import beam_case, encode_case


@dataclass(frozen=True)
class ScalingSizes:
    """Sizes of one run: rows, dimensions, levels, codewords per level, width of the beam."""

    N: int = 2048
    D: int = 64
    L: int = 3
    K: int = 256
    beam: int = 1


SWEEPS = {
    "N": (1, 8, 64, 512, 4096, 16_384),
    "D": (16, 32, 64, 128, 256, 512, 1024),
    "K": (16, 64, 256, 1024, 4096),
    "L": (1, 2, 4, 8),
    "beam": (1, 2, 4, 8, 16, 32),
}


@register_scaling("residual_quantization")
def points() -> Iterator[Point]:
    for size, values in SWEEPS.items():
        for value in values:
            sizes = replace(ScalingSizes(), **{size: value})
            shape = (sizes.N, sizes.D, sizes.L, sizes.K)
            case = encode_case(*shape) if sizes.beam == 1 else beam_case(*shape, sizes.beam)
            yield Point(size, value, sizes.N, case)
