"""Names of commands, arguments and options."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import typer

from recops_models.cli import COMMANDS
from recops_models.cli.application import app


def command_line_names() -> dict[str, set[str]]:
    """Collect every command of ``recops`` with its arguments and options."""
    for command in COMMANDS:
        importlib.import_module(f"recops_models.cli.{command}")
    return {"command line": set(_parameters("recops", typer.main.get_command(app)))}


def _parameters(path: str, command: Any) -> Iterator[str]:
    yield path
    for parameter in command.params:
        is_option = parameter.param_type_name == "option"
        names = [*parameter.opts, *parameter.secondary_opts] if is_option else [parameter.name]
        yield from (f"{path} {name}" for name in names)
    for name, inner in getattr(command, "commands", {}).items():
        yield from _parameters(f"{path} {name}", inner)
