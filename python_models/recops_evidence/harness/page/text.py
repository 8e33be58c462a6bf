"""Markdown tables and numbers of the page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def without_empty(
    head: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """Drop the columns that are empty in every row."""
    columns = [column for column in range(len(head)) if any(row[column] for row in rows)]
    return (
        [head[column] for column in columns],
        [[row[column] for column in columns] for row in rows],
    )


def scope_text(data: str, label: str) -> str:
    """Return a data set with the label of its experiment, such as ``ml-1m, 60 users``."""
    return f"{data}, {label}" if label else data


def enumeration(values: Sequence[object]) -> str:
    """Return a text such as ``1, 2 or 3``."""
    *others, last = (str(value) for value in values)
    return f"{', '.join(others)} or {last}" if others else last


def number(value: float | None) -> str:
    """Return a number with four decimals, or one from 10 on; empty for None."""
    return "" if value is None else f"{value:,.{decimals(value)}f}"


def decimals(value: float) -> int:
    """Return the number of decimals to show."""
    return 4 if abs(value) < 10 else 1


def signed(value: float) -> str:
    """Return a number with its sign, such as ``+0.0123``; the minus sign is U+2212."""
    return f"{value:+,.{decimals(value)}f}".replace("-", "−")


def span(interval: Sequence[float] | None) -> str:
    """Return an interval such as ``+0.0012 to +0.0200``; empty for None."""
    return "" if interval is None else f"{signed(interval[0])} to {signed(interval[1])}"


def percent(value: float) -> str:
    """Return a share in percent without decimals and without the sign ``%``."""
    return f"{100 * value:.0f}".replace("-", "−")
