"""``recops uic``: commands of the User Interest Center, one module per command."""

from __future__ import annotations

import importlib

COMMANDS = (
    "ingest",
    "score",
    "serve",
    "stats",
    "snapshot",
    "restore",
    "rollback",
    "refresh",
    "forget",
    "expire",
)
"""Modules of this package with one command each, in the order of ``recops uic --help``."""

for _command in COMMANDS:
    importlib.import_module(f"{__name__}.{_command}")
