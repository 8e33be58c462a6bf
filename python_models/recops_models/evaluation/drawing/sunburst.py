"""Sunburst chart of a catalogue's trie."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path

from recops_models.evaluation.drawing.svg import INK, MUTED, PAPER, RAMP, fifths, style, svg


def sunburst(paths: npt.NDArray[np.integer], interactions: npt.NDArray[np.integer]) -> str:
    """Draw the trie as rings, with the first level innermost.

    The angle of a node is its share of the items. Its shade is their mean number of interactions.

    Args:
        paths: ``[N, levels]``, tokens of each item.
        interactions: ``[N]``, number of interactions of each item.
    """
    order = np.lexsort(paths.T[::-1])
    paths, demand = paths[order], interactions[order].astype(float)
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


def _node_starts(prefixes: npt.NDArray[np.integer], resolution: int = 4096) -> npt.NDArray[np.intp]:
    """Return the start of each distinct row of the sorted ``prefixes``, if wide enough to draw."""
    changes = np.flatnonzero(np.any(np.diff(prefixes, axis=0) != 0, axis=1)) + 1
    starts = np.concatenate(([0], changes))
    _, visible = np.unique(starts * resolution // len(prefixes), return_index=True)
    return np.asarray(starts[visible], dtype=np.intp)


def _wedge(begin: float, end: float, inner: float, outer: float) -> Path:
    """Return the ring sector from ``begin`` to ``end`` turns, clockwise from the top.

    Arcs are polygons with steps of at most 2°.
    """
    steps = max(2, int(np.ceil((end - begin) * 180)) + 1)
    angles = np.pi / 2 - 2 * np.pi * np.linspace(begin, end, steps)
    circle = np.stack((np.cos(angles), np.sin(angles)), axis=1)
    corners = np.concatenate((outer * circle, inner * circle[::-1], outer * circle[:1]))
    codes = [Path.MOVETO, *[Path.LINETO] * (len(corners) - 2), Path.CLOSEPOLY]
    return Path(corners, codes)
