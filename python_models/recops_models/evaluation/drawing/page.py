"""A self-contained HTML page: it fetches no script, no font and no image."""

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
    made: Mapping[str, Mapping[str, object]],
    style: str = "",
) -> str:
    """The page; equal input gives equal bytes, and no character that steers the reader's text.

    Args:
        title: of the page; like ``headline`` and ``lead`` it is plain text, which is escaped here.
        headline: the finding in one line.
        lead: the finding in a few sentences.
        body: finished HTML.
        made: heading → names and values, for "How this was made" at the page's end.
        style: CSS rules beside those that all pages share.
    """
    resources = files(__package__)
    text = Template(resources.joinpath("page.html").read_text("utf-8")).substitute(
        title=escape(title),
        style=(resources.joinpath("style.css").read_text("utf-8") + style).strip(),
        headline=escape(headline),
        lead=escape(lead),
        body=body,
        made="\n".join(
            f"<div><h3>{escape(heading)}</h3>{entries(pairs)}</div>"
            for heading, pairs in made.items()
        ),
    )
    return printable(text)
