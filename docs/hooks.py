"""Hooks of mkdocs: the command line's page, and a filter of false warnings."""

import importlib
import logging

import typer
import typer.cli


def is_true_warning(record: logging.LogRecord) -> bool:
    """Return False for warnings on the options of co-action.

    The extension ``unpack_typeddict`` adds the options to the signature only after it has parsed
    the docstring, so that griffe reports them as unknown.
    """
    message = record.getMessage().lower()
    return not ("ops/coaction/" in message and "parameter '" in message)


def on_pre_build(**_: object) -> None:
    """Filter the warnings that a strict build counts."""
    for handler in logging.getLogger("mkdocs").handlers:
        handler.addFilter(is_true_warning)


def on_page_markdown(markdown: str, page: object, **_: object) -> str:
    """Write the page of the command line from the commands' help."""
    if page.file.src_uri != "reference/command-line.md":
        return markdown
    from recops_models.cli import COMMANDS
    from recops_models.cli.application import app

    for command in COMMANDS:  # Each module adds its command to the application.
        importlib.import_module(f"recops_models.cli.{command}")
    group = typer.main.get_command(app)
    context = typer.Context(group, info_name="recops")
    return typer.cli.get_docs_for_click(obj=group, ctx=context, name="recops")
