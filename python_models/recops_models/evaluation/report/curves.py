"""Line charts of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from recops_models.evaluation.drawing.svg import SERIES, panel, style, svg


def lines(title: str, curves: Mapping[str, Sequence[tuple[float, float]]]) -> str:
    """Draw at most three named curves over the epochs, labelled at their ends."""
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


def _label_ends(axes: Axes, ends: Sequence[tuple[str, float, float, str]]) -> None:
    """Write the name of each line next to its last point, without overlap."""
    low, high = axes.get_ylim()
    lowest = low
    for name, epoch, value, colour in sorted(ends, key=lambda end: end[2]):
        point = (epoch, max(value, lowest))
        axes.annotate(
            name, point, xytext=(7, 0), textcoords="offset points", color=colour, va="center"
        )
        lowest = point[1] + 0.1 * (high - low)
