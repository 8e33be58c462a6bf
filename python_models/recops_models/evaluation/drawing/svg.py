"""SVG charts with the colours and typeface of the page's style sheet.

Matplotlib draws with placeholder colours, which are replaced by CSS variables, so that one chart
serves the light and the dark scheme. Every panel is a separate figure, which the page lays out.
"""

from __future__ import annotations

import io
import re
from contextlib import AbstractContextManager
from html import escape

import matplotlib
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

INK, MUTED, RULE, PAPER = "#000001", "#000002", "#000003", "#000004"
SERIES = ("#000011", "#000012", "#000013")
RAMP = ("#000021", "#000022", "#000023", "#000024", "#000025")
DASHES = (0, (4, 3))

_VARIABLES = {
    **dict(zip((INK, MUTED, RULE, PAPER), ("--ink", "--muted", "--rule", "--paper"), strict=True)),
    **{colour: f"--series-{index}" for index, colour in enumerate(SERIES, 1)},
    **{colour: f"--ramp-{index}" for index, colour in enumerate(RAMP, 1)},
}


def style() -> AbstractContextManager[None]:
    """Return a context in which figures are drawn in the page's style."""
    return matplotlib.rc_context(
        {
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
    )


def panel(title: str, size: tuple[float, float] = (4.4, 2.7)) -> tuple[Figure, Axes]:
    """Return a figure with one plot; ``size`` is in inches."""
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, pad=10)
    return figure, axes


def fifths(values: npt.NDArray[np.floating]) -> npt.NDArray[np.intp]:
    """Return the quintile of each value, 0 to 4: its index in :data:`RAMP`."""
    edges = np.quantile(values, np.arange(1, len(RAMP)) / len(RAMP))
    return np.searchsorted(edges, values, side="left")


def svg(figure: Figure, label: str) -> str:
    """Return the figure as an SVG element; ``label`` is the text for screen readers."""
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
