"""Command-line arguments that both measurements of a daily loop share."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Sequence


def add_setting_arguments(parser: ArgumentParser) -> None:
    """Add ``--set`` for all trainings, and ``--update`` for continued ones."""
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument(
        "--update",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="settings of a continued training that differ",
    )


def setting_texts(texts: Sequence[str]) -> dict[str, str]:
    """Return the texts ``KEY=VALUE`` as a mapping."""
    pairs = (text.partition("=") for text in texts)
    return {name: value for name, _, value in pairs}
