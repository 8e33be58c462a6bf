"""``recops uic``: the User Interest Center, one file a command."""

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
"""The modules of this package that each add a command, in the order of ``recops uic --help``."""

for _command in COMMANDS:
    importlib.import_module(f"{__name__}.{_command}")
