"""Scaling of an op: measurement of the points of its sweeps, table and plot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

from recops.benchmarks.registry import Point
from recops.benchmarks.report import environment, format_seconds
from recops.benchmarks.runner import thread_count
from recops.benchmarks.svg import to_svg
from recops.benchmarks.timing import interleave_all
from recops.files import write_file, write_json

PEERS = (
    "faiss",
    "padded rows",
    "sorted keys",
    "prefix_allowed_tokens_fn",
    "beamgrad, unconstrained",
)
"""Peers that sweeps are compared with; the others take too long."""

_COLUMNS = 3
"""Panels per row of the plot."""

_MIN_POINTS = 3
"""Fewest points of a sweep in the plot; shorter sweeps are only in the table."""


class ScalingRow(TypedDict):
    """Row of ``scaling.json``; the first entry of ``seconds`` is recops, the others are peers."""

    size: str
    of: str
    value: int
    shape: str
    rows: int
    facts: str
    seconds: dict[str, float]


def run_point(point: Point, *, seconds: float = 0.5) -> ScalingRow:
    """Verify a point, then time recops and the peers interleaved, ``seconds`` for each side.

    Raises:
        AssertionError: recops and a peer disagree; nothing is timed.
    """
    case = point.case
    sides = {point.side: case.run} | {n: run for n, run in case.peers.items() if n in PEERS}
    with thread_count(case.threads):
        case.verify()
        times = interleave_all(list(sides.values()), rounds=1000, seconds=seconds * len(sides))
    seconds_of_sides = dict(zip(sides, times, strict=True))
    return ScalingRow(
        size=point.size,
        of=point.of,
        value=point.value,
        shape=case.shape,
        rows=point.rows,
        facts=point.facts,
        seconds=seconds_of_sides,
    )


def write_scaling(rows: Sequence[ScalingRow], out: Path) -> None:
    """Write ``scaling.json`` (sealed), ``scaling.md`` and ``scaling.svg`` to the folder ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    info = environment()
    content = {"environment": info, "rows": list(rows)}
    write_json(out / "scaling.json", content, kind="recops-scaling")
    heading = ", ".join(f"{key} {value}" for key, value in info.items())
    write_file(out / "scaling.md", f"{heading}\n\n{to_markdown(rows)}".encode())
    write_file(out / "scaling.svg", plot(rows))


def to_markdown(rows: Sequence[ScalingRow]) -> str:
    """Return a table with one line per row, or a cross table if no row has a peer."""
    return _table(rows) if any(len(row["seconds"]) > 1 for row in rows) else _crossed(rows)


def _table(rows: Sequence[ScalingRow]) -> str:
    """Return a table with one line per row; a peer's figure is its time divided by recops' time."""
    has_facts = any(row["facts"] for row in rows)
    columns = ["size", "shape", "time", "peers (time / recops' time)", *["facts"] * has_facts]
    lines = [f"| {' | '.join(columns)} |", f"|{' --- |' * len(columns)}"]
    for row in rows:
        (_, own_seconds), *others = row["seconds"].items()
        peers = ", ".join(f"{name} {seconds / own_seconds:.2f}×" for name, seconds in others)
        time = format_seconds(own_seconds)
        cells = [f"{row['size']} = {row['value']:,}", row["shape"], time, peers]
        lines.append(f"| {' | '.join([*cells, *[row['facts']] * has_facts])} |")
    return "\n".join(lines) + "\n"


def _crossed(rows: Sequence[ScalingRow]) -> str:
    """Return a table with one line per swept object and side, and one column per value."""
    values = list(dict.fromkeys(row["value"] for row in rows))
    size = rows[0]["size"] if rows else ""
    lines = [f"| | {' | '.join(f'{size} = {value:,}' for value in values)} |"]
    lines.append(f"|{' --- |' * (len(values) + 1)}")
    times: dict[str, dict[int, str]] = {}
    for row in rows:
        ((side, seconds),) = row["seconds"].items()
        times.setdefault(f"{row['of']}, {side}", {})[row["value"]] = format_seconds(seconds)
    for name, cells in times.items():
        lines.append(f"| {name} | {' | '.join(cells.get(value, '') for value in values)} |")
    return "\n".join(lines) + "\n"


def plot(rows: Sequence[ScalingRow]) -> bytes:
    """Plot rows per second against each size on logarithmic axes, as SVG."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullLocator

    points = Counter((row["size"], row["of"]) for row in rows)
    sizes = [size for size, count in points.items() if count >= _MIN_POINTS] or list(points)
    down = -(-len(sizes) // _COLUMNS)
    figure = Figure(figsize=(2.6 * _COLUMNS, 2.6 * down), layout="constrained")
    panels = figure.subplots(down, _COLUMNS, sharey=True, squeeze=False).ravel()
    for spare in panels[len(sizes) :]:
        spare.set_axis_off()
    for axes, size in zip(panels, sizes, strict=False):
        swept = [row for row in rows if (row["size"], row["of"]) == size]
        for name in dict.fromkeys(n for row in swept for n in row["seconds"]):
            line = [
                (row["value"], row["rows"] / row["seconds"][name])
                for row in swept
                if name in row["seconds"]
            ]
            axes.plot(*zip(*line, strict=True), marker="o", markersize=3.5, label=name)
        axes.set_xscale("log")
        axes.set_yscale("log")
        values = sorted({row["value"] for row in swept})  # Sides may have separate rows.
        axes.xaxis.set_major_locator(FixedLocator(values))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_minor_locator(NullLocator())
        axes.set_xticklabels([f"{value:,}" for value in values], rotation=45, fontsize=8)
        axes.set_xlabel(size[0])
        axes.set_title(size[1], fontsize=8)
        axes.grid(visible=True, color="0.9")
        axes.spines[["top", "right"]].set_visible(False)
    for first in panels[::_COLUMNS]:
        first.set_ylabel("rows per second")
    names = panels[0].get_legend_handles_labels()
    figure.legend(*names, loc="outside lower center", ncols=_COLUMNS, frameon=False)
    return to_svg(figure)
