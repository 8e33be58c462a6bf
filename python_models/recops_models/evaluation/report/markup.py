"""Small pieces of HTML."""

from __future__ import annotations

from collections.abc import Iterable


def when(name: str, applies: bool) -> str:
    """The attribute that gives an element class ``name``, if it applies."""
    return f' class="{name}"' if applies else ""


def table(rows: Iterable[str], *, head: Iterable[str] = (), name: str = "") -> str:
    """A table from finished rows and the finished contents of its head's cells."""
    cells = "".join(f"<th>{cell}</th>" for cell in head)
    top = f"<thead><tr>{cells}</tr></thead>" if cells else ""
    return f"<table{when(name, bool(name))}>{top}<tbody>{''.join(rows)}</tbody></table>"
