"""Compact SVG files of figures."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def to_svg(figure: Figure) -> bytes:
    """Return a figure as an SVG file.

    Coordinates are rounded to 0.01 points. Metadata, comments, indentation and the names of groups
    are left out. Text stays text.
    """
    import matplotlib

    buffer = io.StringIO()
    with matplotlib.rc_context(
        {
            "svg.fonttype": "none",
            "svg.hashsalt": "recops",
            "font.family": "sans-serif",
            "font.sans-serif": ["DejaVu Sans", "sans-serif"],
        }
    ):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r"-?\d+\.\d{3,}", _rounded, text)
    return re.sub(r"\s*\n\s*", "\n", text).encode()


def _rounded(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")
