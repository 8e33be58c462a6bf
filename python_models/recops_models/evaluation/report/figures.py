"""The report's figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator

from recops_models.evaluation.report.content import Catalogue
from recops_models.evaluation.report.drawing import (
    INK,
    MUTED,
    PAPER,
    RAMP,
    SERIES,
    fifths,
    panel,
    style,
    svg,
)


def lines(title: str, curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Named curves over the epochs, at most three, each labelled at its end."""
    with style():
        figure, axes = panel(title)
        ends = []
        for (name, curve), colour in zip(curves.items(), SERIES, strict=False):
            epochs, values = zip(*curve, strict=True)
            axes.plot(
                epochs, values, color=colour, linewidth=2, marker="o", markersize=3, clip_on=False
            )
            ends.append((name, epochs[-1], values[-1], colour))
        axes.set_xlim(left=1)
        axes.margins(y=0.12)
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        _label_ends(axes, ends)
        return svg(figure, title)


def usage(level: str, counts: npt.NDArray[np.integer]) -> str:
    """How many items each token of a level holds, fullest first; the dashes mark an even spread."""
    ordered = np.sort(counts)[::-1]
    with style():
        figure, axes = panel(level, (3.1, 2.3))
        axes.stairs(ordered, np.arange(len(ordered) + 1), fill=True, color=SERIES[0], alpha=0.85)
        axes.axhline(counts.mean(), color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlim(0, len(ordered))
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.set_xlabel("tokens, fullest first")
        axes.set_ylabel("items")
        return svg(figure, f"Items per token on level {level}")


def sunburst(catalogue: Catalogue) -> str:
    """The trie as rings, the first level innermost.

    A node's angle is its share of the items; its shade, how often these were chosen on average.
    """
    order = np.lexsort(catalogue.paths.T[::-1])
    paths, demand = catalogue.paths[order], catalogue.interactions[order].astype(float)
    depth = paths.shape[1]
    with style():
        figure = Figure(figsize=(5, 5))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_aspect("equal")
        axes.set_xlim(-1, 1)
        axes.set_ylim(-1, 1)
        for level in range(depth):
            starts = _node_starts(paths[:, : level + 1])
            sizes = np.diff(starts, append=len(paths))
            shades = fifths(np.add.reduceat(demand, starts) / sizes)
            inner, outer = (0.28 + 0.72 * (level + edge) / depth for edge in (0.0, 0.97))
            for shade, colour in enumerate(RAMP):
                wedges = [
                    _wedge(start / len(paths), (start + size) / len(paths), inner, outer)
                    for start, size in zip(
                        starts[shades == shade], sizes[shades == shade], strict=True
                    )
                ]
                if wedges:
                    patch = PathPatch(Path.make_compound_path(*wedges), facecolor=colour)
                    patch.set(edgecolor=PAPER, linewidth=0.8 / (1 + 2 * level), joinstyle="bevel")
                    axes.add_patch(patch)
        axes.text(0, 0.03, f"{len(paths):,}", ha="center", va="center", fontsize=20, color=INK)
        axes.text(0, -0.08, "items", ha="center", va="center", fontsize=10, color=MUTED)
        return svg(figure, f"The trie of {len(paths):,} items, level by level")


def _label_ends(axes: Axes, ends: Sequence[tuple[str, float, float, str]]) -> None:
    """Name each line beside its last point, pushing names apart that would overprint."""
    low, high = axes.get_ylim()
    lowest = low
    for name, epoch, value, colour in sorted(ends, key=lambda end: end[2]):
        place = (epoch, max(value, lowest))
        axes.annotate(
            name, place, xytext=(7, 0), textcoords="offset points", color=colour, va="center"
        )
        lowest = place[1] + 0.1 * (high - low)


def _node_starts(prefixes: npt.NDArray[np.integer], resolution: int = 4096) -> npt.NDArray[np.intp]:
    """Where each distinct row of the sorted ``prefixes`` begins, if wide enough to be seen."""
    changes = np.flatnonzero(np.any(np.diff(prefixes, axis=0) != 0, axis=1)) + 1
    starts = np.concatenate(([0], changes))
    _, kept = np.unique(starts * resolution // len(prefixes), return_index=True)
    return np.asarray(starts[kept], dtype=np.intp)


def _wedge(begin: float, end: float, inner: float, outer: float) -> Path:
    """The ring sector from ``begin`` to ``end`` turns, clockwise from the top, in steps of ≤ 2°."""
    steps = max(2, int(np.ceil((end - begin) * 180)) + 1)
    angles = np.pi / 2 - 2 * np.pi * np.linspace(begin, end, steps)
    circle = np.stack((np.cos(angles), np.sin(angles)), axis=1)
    corners = np.concatenate((outer * circle, inner * circle[::-1], outer * circle[:1]))
    codes = [Path.MOVETO, *[Path.LINETO] * (len(corners) - 2), Path.CLOSEPOLY]
    return Path(corners, codes)
