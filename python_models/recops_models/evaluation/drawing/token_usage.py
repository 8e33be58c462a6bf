"""Chart of the number of items per token of a level."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullLocator

from recops_models.evaluation.drawing.svg import DASHES, INK, SERIES, panel, style, svg


def token_usage(
    loads: npt.NDArray[np.number], *, title: str, level: str, noun: str, logarithmic: bool = False
) -> str:
    """Draw the number of items per token, in descending order; a dashed line is their mean.

    Args:
        loads: ``[K]``, number of items of each token.
        title: title of the chart.
        level: name of the level, for screen readers.
        noun: name of a token, such as "code".
        logarithmic: whether the axis of items is logarithmic.
    """
    ordered = np.sort(loads)[::-1]
    with style():
        figure, axes = panel(title, (3.1, 2.3))
        axes.stairs(ordered, np.arange(len(ordered) + 1), fill=True, color=SERIES[0], alpha=0.85)
        axes.axhline(loads.mean(), color=INK, linewidth=1, linestyle=DASHES)
        axes.set_xlim(0, len(ordered))
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        if logarithmic:
            _count_by_powers(axes, float(ordered[0]))
        axes.set_xlabel(f"{noun}s by number of items")
        axes.set_ylabel("items")
        return svg(figure, f"Items per {noun} on level {level}")


def _count_by_powers(axes: Axes, most: float) -> None:
    """Set a logarithmic axis that starts at 0, with a tick at each power of ten."""
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(0, 1.3 * most)
    marks = [0, *10 ** np.arange(1 + int(np.log10(most)))]
    axes.set_yticks(marks, [f"{mark:,}" for mark in marks])
    axes.yaxis.set_minor_locator(NullLocator())
