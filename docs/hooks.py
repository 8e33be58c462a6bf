"""Registers every command before the reference page walks the command line."""

import importlib


def on_startup(**_: object) -> None:
    from recops_models.cli import COMMANDS

    for command in COMMANDS:
        importlib.import_module(f"recops_models.cli.{command}")
