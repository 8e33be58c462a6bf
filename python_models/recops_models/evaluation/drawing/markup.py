"""HTML fragments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape


def when(name: str, applies: bool) -> str:
    """Return the attribute ``class="name"`` if ``applies``, else an empty string."""
    return f' class="{name}"' if applies else ""


def table(rows: Iterable[str], *, head: Iterable[str] = (), name: str = "") -> str:
    """Return a table from the HTML of its rows and of its header cells."""
    cells = "".join(f"<th>{cell}</th>" for cell in head)
    top = f"<thead><tr>{cells}</tr></thead>" if cells else ""
    return f"<table{when(name, bool(name))}>{top}<tbody>{''.join(rows)}</tbody></table>"


def entries(pairs: Mapping[str, object]) -> str:
    """Return a table of names and values, escaped, without values that are None."""
    return table(
        f"<tr><td>{escape(name)}</td><td>{escape(str(value))}</td></tr>"
        for name, value in pairs.items()
        if value is not None
    )


def ramp_swatches() -> str:
    """Return swatches of the colours of the quintiles, lowest first."""
    shades = "".join(f'<i style="background:var(--ramp-{shade})"></i>' for shade in range(1, 6))
    return f'<span class="swatches">{shades}</span>'
