"""Small pieces of HTML."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape


def when(name: str, applies: bool) -> str:
    """The attribute that gives an element class ``name``, if it applies."""
    return f' class="{name}"' if applies else ""


def table(rows: Iterable[str], *, head: Iterable[str] = (), name: str = "") -> str:
    """A table from finished rows and the finished contents of its head's cells."""
    cells = "".join(f"<th>{cell}</th>" for cell in head)
    top = f"<thead><tr>{cells}</tr></thead>" if cells else ""
    return f"<table{when(name, bool(name))}>{top}<tbody>{''.join(rows)}</tbody></table>"


def entries(pairs: Mapping[str, object]) -> str:
    """A table of names and values, escaped; those that are None are left out."""
    return table(
        f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>"
        for name, value in pairs.items()
        if value is not None
    )


def ramp_swatches() -> str:
    """The shades in which figures mark fifths, from the lowest to the highest."""
    shades = "".join(f'<i style="background:var(--ramp-{shade})"></i>' for shade in range(1, 6))
    return f'<span class="swatches">{shades}</span>'
