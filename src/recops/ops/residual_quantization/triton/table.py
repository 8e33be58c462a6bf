"""Launch configurations of the kernels per class of shapes, read from ``table.json``.

The configurations in the file follow from a roofline and were not tuned on a GPU.
``tools/gpu_report.sh`` measures candidates on a card and proposes new ones.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any

SHARED_BYTES = {80: 163 * 1024, 90: 227 * 1024}
"""Largest shared memory of one block, by compute capability."""


@dataclass(frozen=True)
class Launch:
    """Launch of one kernel: its tile sizes by parameter name, warps and pipeline stages."""

    tiles: dict[str, int]
    num_warps: int
    num_stages: int


@dataclass(frozen=True)
class Configuration:
    """Launches of all kernels for a class of shapes.

    The class is the shapes of at most ``rows`` rows, ``dim`` dimensions and ``codewords`` codewords
    in the largest level; None is no limit. ``operand`` is the 16-bit dtype of the scores.
    ``chunk_values`` limits the entries of the rounded residuals, which are stored chunk by chunk.
    ``programs`` is the number of programs that share a list of rows.
    """

    capability: int
    name: str
    rows: int | None
    dim: int | None
    codewords: int | None
    operand: str
    chunk_values: int
    programs: int
    kernels: dict[str, Launch]

    def matches(self, capability: int, rows: int, dim: int, codewords: int) -> bool:
        """Return whether this class is for a card and contains a shape."""
        limits = ((self.rows, rows), (self.dim, dim), (self.codewords, codewords))
        return self.capability <= capability and all(
            most is None or value <= most for most, value in limits
        )


def parse_table(entries: Sequence[dict[str, Any]]) -> tuple[Configuration, ...]:
    """Return the configurations of a table, the newest card first and then in order."""
    table = [
        Configuration(
            **{
                **entry,
                "kernels": {name: Launch(**launch) for name, launch in entry["kernels"].items()},
            }
        )
        for entry in entries
    ]
    return tuple(sorted(table, key=lambda entry: -entry.capability))


def format_table(table: Sequence[Configuration]) -> str:
    """Return the text of a table, one line per kernel."""
    return "[\n" + ",\n".join(_format(entry) for entry in table) + "\n]\n"


def _format(entry: Configuration) -> str:
    fields = asdict(entry)
    kernels = fields.pop("kernels")
    lines = [f"    {json.dumps(name)}: {json.dumps(value)}," for name, value in fields.items()]
    launches = [f"      {json.dumps(name)}: {json.dumps(value)}" for name, value in kernels.items()]
    text = "\n".join([*lines, '    "kernels": {', ",\n".join(launches)])
    return f"  {{\n{text}\n    }}\n  }}"


@cache
def load_table() -> tuple[Configuration, ...]:
    """Return the configurations of the package."""
    text = files("recops.ops.residual_quantization.triton").joinpath("table.json").read_text()
    return parse_table(json.loads(text))


@cache
def select(capability: int, rows: int, dim: int, codewords: int) -> Configuration:
    """Return the first configuration whose class contains a shape.

    Args:
        capability: compute capability of the card, such as 90.
        rows: number of rows.
        dim: number of dimensions.
        codewords: number of codewords of the largest level.
    """
    for entry in load_table():
        if entry.matches(capability, rows, dim, codewords):
            return entry
    raise ValueError(f"select: capability must be at least 80, got {capability}")
