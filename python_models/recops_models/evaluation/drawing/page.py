"""Rendering of a self-contained HTML page, without external scripts, fonts or images."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from importlib.resources import files
from string import Template

from recops_models.evaluation.drawing.markup import entries
from recops_models.printable import printable


def page(
    *,
    title: str,
    headline: str,
    lead: str,
    body: str,
    details: Mapping[str, Mapping[str, object]],
    style: str = "",
) -> str:
    """Return the page; equal input gives equal bytes, and control characters are removed.

    Args:
        title: title of the page. ``title``, ``headline`` and ``lead`` are plain text and escaped.
        headline: the result in one line.
        lead: the result in a few sentences.
        body: HTML of the page's sections.
        details: heading → names and values, for "Run details" at the end.
        style: additional CSS rules.
    """
    resources = files(__package__)
    text = Template(resources.joinpath("page.html").read_text("utf-8")).substitute(
        title=escape(title),
        style=(resources.joinpath("style.css").read_text("utf-8") + style).strip(),
        headline=escape(headline),
        lead=escape(lead),
        body=body,
        details="\n".join(
            f"<div><h3>{escape(heading)}</h3>{entries(pairs)}</div>"
            for heading, pairs in details.items()
        ),
    )
    return printable(text)
