"""Charts of the page, in the style of the training report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator
from numpy.typing import NDArray

from recops.state.trie import Branching
from recops_models.evaluation.drawing.svg import (
    DASHES,
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
from recops_models.evaluation.drawing.token_usage import token_usage
from recops_models.tokenizers.diagnosis.content import LevelFigures
from recops_models.tokenizers.diagnosis.plane import Plane


def is_steep(figures: LevelFigures) -> bool:
    """Return whether the fullest code of a level would hide the others on a linear axis."""
    loads = np.array(figures["usage"])
    return bool(loads.max() > 20 * loads.mean())


def usage(level: int, figures: LevelFigures, *, logarithmic: bool) -> str:
    """Return the chart of items per code of a level."""
    return token_usage(
        np.array(figures["usage"]),
        title=f"Level {level}",
        level=str(level),
        noun="code",
        logarithmic=logarithmic,
    )


def capacity(level: int, figures: LevelFigures) -> str:
    """Return the chart of K_eff against noise, with its bounds K and 1/Σπ², on logarithmic axes."""
    rho = [entry["rho"] for entry in figures["noise"]]
    capacities = [entry["k_eff"] for entry in figures["noise"]]
    codes, even = figures["codes"], figures["capacity"]
    with style():
        drawn, axes = panel(f"Level {level}", (3.1, 2.6))
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.fill_between(rho, even, codes, color=SERIES[1], alpha=0.28, linewidth=0)
        axes.fill_between(rho, capacities, even, color=SERIES[2], alpha=0.28, linewidth=0)
        axes.axhline(codes, color=MUTED, linewidth=1, linestyle=DASHES)
        axes.axhline(even, color=MUTED, linewidth=1, linestyle=DASHES)
        axes.plot(
            rho, capacities, color=SERIES[0], linewidth=2, marker="o", markersize=4, clip_on=False
        )
        axes.set_xlim(rho[0], rho[-1])
        axes.set_ylim(1, codes * 1.02)
        axes.xaxis.set_major_locator(FixedLocator(rho))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        _powers(axes, codes)
        axes.set_xlabel("noise ρ (σ / spread of the level's input)")
        axes.set_ylabel("effective capacity (codes)")
        axes.tick_params(axis="x", pad=6)
        annotate = partial(
            axes.annotate, textcoords="offset points", color=MUTED, fontsize=8.5, va="top"
        )
        if np.log(codes / even) > 0.14 * np.log(codes):  # otherwise the curve crosses the label
            annotate(f"K = {codes:,}", (rho[0], codes), xytext=(5, -4))
        below = f"1/Σπ² = {even:,.0f}"
        annotate(below, (rho[0], even), xytext=(5, -7))
        return svg(drawn, f"Effective capacity of level {level} against noise")


def plane(projection: Plane) -> str:
    """Return the chart of level 0's codewords: area by number of items, shade by confusion."""
    order = np.argsort(-projection.load, kind="stable")
    used = order[projection.load[order] > 0]
    every = np.concatenate([projection.items, projection.words])
    low, high = every.min(axis=0), every.max(axis=0)
    reach = float((high - low).max()) or 1.0
    width = 0.11 * reach * np.sqrt(projection.load / projection.load.max())
    shade = fifths(projection.confusion[used])
    margin = 0.06 * reach
    with style():
        sides = (high - low + 2 * margin) / (reach + 2 * margin)
        drawn = Figure(figsize=tuple(5.4 * sides))
        axes = drawn.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.set_xlim(low[0] - margin, high[0] + margin)
        axes.set_ylim(low[1] - margin, high[1] + margin)
        axes.plot(*projection.items.T, ".", color=MUTED, markersize=1.6, alpha=0.45)
        for fifth, colour in enumerate(RAMP):
            codes = used[shade == fifth]
            circles = EllipseCollection(
                width[codes],
                width[codes],
                np.zeros(len(codes)),
                units="xy",
                offsets=projection.words[codes],
            )
            circles.set(facecolor=colour, edgecolor=PAPER, linewidth=0.6, alpha=0.85)
            circles.set_offset_transform(axes.transData)
            axes.add_collection(circles, autolim=False)
        axes.plot(
            *projection.words[projection.load == 0].T,
            "o",
            markersize=4,
            markerfacecolor="none",
            markeredgecolor=SERIES[1],
        )
        _name_words(
            axes, projection.words, used, dict(zip(used.tolist(), shade, strict=True)), reach
        )
        return svg(drawn, "The codewords of level 0 in two dimensions")


def _name_words(
    axes: Axes,
    words: NDArray[np.float64],
    used: NDArray[np.intp],
    shade: Mapping[int, int],
    reach: float,
) -> None:
    """Label the fullest codes whose labels do not overlap."""
    named: list[int] = []
    for code in used[:40].tolist():
        away = np.abs(words[named] - words[code]) > np.array([0.05, 0.03]) * reach
        if away.any(axis=1).all():
            named.append(code)
            axes.annotate(
                str(code),
                words[code],
                ha="center",
                va="center",
                fontsize=7.5,
                color=INK if shade[code] < 2 else PAPER,
            )


def branching(levels: Sequence[Branching]) -> str:
    """Return the chart of children per trie node and level: median, p90, p99 and maximum."""
    with style():
        drawn, axes = panel("Children per node", (4.6, 0.9 + 0.48 * len(levels)))
        axes.set_xscale("log")
        axes.grid(visible=True, axis="x")
        axes.grid(visible=False, axis="y")
        for row, level in enumerate(levels):
            axes.plot([level["p50"], level["max"]], [row, row], color=RAMP[1], linewidth=7)
            axes.plot([level["p50"], level["p90"]], [row, row], color=RAMP[2], linewidth=7)
            axes.plot(level["p50"], row, "o", color=SERIES[0], markersize=8)
            axes.plot(level["p99"], row, "|", color=INK, markersize=11, markeredgewidth=1.6)
            axes.annotate(
                f"{level['max']:,}",
                (level["max"], row),
                xytext=(7, 0),
                textcoords="offset points",
                va="center",
                color=MUTED,
                fontsize=9,
            )
        most = max(level["max"] for level in levels)
        axes.set_xlim(0.85, max(2.0, most) * 1.7)
        axes.set_ylim(len(levels) - 0.5, -0.5)
        axes.set_yticks(
            range(len(levels)),
            [f"below level {depth - 1}" if depth else "root" for depth in range(len(levels))],
        )
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.xaxis.set_minor_locator(NullLocator())
        return svg(drawn, "Children per node of the trie, by level")


def concentration(curves: Mapping[str, NDArray[np.number]]) -> str:
    """Return the chart of the share on the fullest paths, with one curve per weighting."""
    with style():
        drawn, axes = panel("Cumulative share on the fullest paths (%)", (4.6, 2.9))
        axes.plot([0, 100], [0, 100], color=MUTED, linewidth=1, linestyle=DASHES)
        offsets = ((5, -5, "left", "top"), (-5, 5, "right", "bottom"))
        for (name, loads), colour, offset in zip(curves.items(), SERIES, offsets, strict=False):
            share = np.concatenate([[0.0], np.cumsum(np.sort(loads)[::-1])]) / loads.sum()
            points = np.unique(np.linspace(0, len(loads), 200).astype(int))
            axes.plot(100 * points / len(loads), 100 * share[points], color=colour, linewidth=2)
            at = points[np.argmin(np.abs(points / len(loads) - 0.4))]
            axes.annotate(
                name,
                (100 * at / len(loads), 100 * share[at]),
                xytext=offset[:2],
                textcoords="offset points",
                color=colour,
                ha=offset[2],
                va=offset[3],
            )
        axes.set_xlim(0, 100)
        axes.set_ylim(0, 101)
        axes.set_xlabel("paths, fullest first (%)")
        return svg(drawn, "Share of items and exposure on the fullest paths")


def crowding(items: NDArray[np.integer]) -> str:
    """Return the chart of the number of paths by items per path."""
    sizes = np.bincount(items)[1:]
    shown = np.concatenate([sizes[:9], [sizes[9:].sum()]]) if len(sizes) > 10 else sizes
    with style():
        drawn, axes = panel("Paths by number of items", (4.6, 2.9))
        axes.bar(np.arange(1, len(shown) + 1), shown, color=SERIES[0], alpha=0.85, width=0.8)
        labels = [str(size) for size in range(1, len(shown) + 1)]
        if len(sizes) > 10:
            labels[-1] = "10+"
        for size, count in enumerate(shown, 1):
            axes.annotate(
                f"{count:,}",
                (size, count),
                xytext=(0, 3),
                textcoords="offset points",
                ha="center",
                color=MUTED,
                fontsize=8.5,
            )
        axes.set_xticks(range(1, len(shown) + 1), labels)
        axes.set_xlabel("items per path")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        return svg(drawn, "Number of paths by number of items per path")


def _powers(axes: Axes, most: float) -> None:
    base = 4.0 if most > 32 else 2.0
    axes.yaxis.set_major_locator(LogLocator(base=base))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
