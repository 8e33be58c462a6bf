"""The report's figures, as SVG text that takes colours and typeface from the page's style sheet.

Matplotlib draws in placeholder colours; each is replaced by the CSS variable it stands for, so that
one figure serves the light and the dark scheme. Every panel is a figure of its own: the page lays
them out, side by side or one below the other.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.ticker import MaxNLocator

from recops_models.evaluation.report.content import Catalogue

INK, MUTED, RULE, PAPER = "#000001", "#000002", "#000003", "#000004"
SERIES = ("#000011", "#000012", "#000013")
RAMP = ("#000021", "#000022", "#000023", "#000024", "#000025")

_VARIABLES = {
    **dict(zip((INK, MUTED, RULE, PAPER), ("--ink", "--muted", "--rule", "--paper"), strict=True)),
    **{colour: f"--series-{index}" for index, colour in enumerate(SERIES, 1)},
    **{colour: f"--ramp-{index}" for index, colour in enumerate(RAMP, 1)},
}
_STYLE: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "recops",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlelocation": "left",
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": RULE,
    "grid.linewidth": 0.8,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}


def lines(title: str, curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Named curves over the epochs, at most three, each labelled at its end."""
    with matplotlib.rc_context(_STYLE):
        figure, axes = _panel(title)
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
        return _svg(figure, title)


def usage(level: str, counts: npt.NDArray[np.integer]) -> str:
    """How many items each token of a level holds, fullest first; the dashes mark an even spread."""
    ordered = np.sort(counts)[::-1]
    with matplotlib.rc_context(_STYLE):
        figure, axes = _panel(level, (3.1, 2.3))
        axes.stairs(ordered, np.arange(len(ordered) + 1), fill=True, color=SERIES[0], alpha=0.85)
        axes.axhline(counts.mean(), color=INK, linewidth=1, linestyle=(0, (4, 3)))
        axes.set_xlim(0, len(ordered))
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.set_xlabel("tokens, fullest first")
        axes.set_ylabel("items")
        return _svg(figure, f"Items per token on level {level}")


def sunburst(catalogue: Catalogue) -> str:
    """The trie as rings, the first level innermost.

    A node's angle is its share of the items; its shade, how often these were chosen on average.
    """
    order = np.lexsort(catalogue.paths.T[::-1])
    paths, demand = catalogue.paths[order], catalogue.interactions[order].astype(float)
    depth = paths.shape[1]
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(5, 5))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_aspect("equal")
        axes.set_xlim(-1, 1)
        axes.set_ylim(-1, 1)
        for level in range(depth):
            starts = _node_starts(paths[:, : level + 1])
            sizes = np.diff(starts, append=len(paths))
            shades = _shades(np.add.reduceat(demand, starts) / sizes)
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
        return _svg(figure, f"The trie of {len(paths):,} items, level by level")


def _panel(title: str, size: tuple[float, float] = (4.4, 2.7)) -> tuple[Figure, Axes]:
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, pad=10)
    return figure, axes


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


def _shades(values: npt.NDArray[np.floating]) -> npt.NDArray[np.intp]:
    """Fifths of the nodes, by value."""
    edges = np.quantile(values, np.arange(1, len(RAMP)) / len(RAMP))
    return np.searchsorted(edges, values, side="left")


def _wedge(begin: float, end: float, inner: float, outer: float) -> Path:
    """The ring sector from ``begin`` to ``end`` turns, clockwise from the top, in steps of ≤ 2°."""
    steps = max(2, int(np.ceil((end - begin) * 180)) + 1)
    angles = np.pi / 2 - 2 * np.pi * np.linspace(begin, end, steps)
    circle = np.stack((np.cos(angles), np.sin(angles)), axis=1)
    corners = np.concatenate((outer * circle, inner * circle[::-1], outer * circle[:1]))
    codes = [Path.MOVETO, *[Path.LINETO] * (len(corners) - 2), Path.CLOSEPOLY]
    return Path(corners, codes)


def _svg(figure: Figure, label: str) -> str:
    buffer = io.StringIO()
    figure.savefig(
        buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
    )
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*">', "<g>", text)
    text = re.sub(r" font-family: [^;\"]*;", "", text)
    text = re.sub(r"\d+\.\d{3,}", lambda number: f"{float(number[0]):.2f}", text)
    text = re.sub(r' (width|height)="[0-9.]+pt"', "", text, count=2)
    return text.replace("<svg", f'<svg role="img" aria-label="{escape(label)}"', 1)
