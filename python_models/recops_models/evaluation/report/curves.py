"""The curves of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from recops_models.evaluation.drawing.svg import SERIES, panel, style, svg


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
