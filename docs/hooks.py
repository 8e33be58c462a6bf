"""Writes the command line's page from the commands' own help."""

import importlib

import typer
import typer.cli


def on_page_markdown(markdown: str, page: object, **_: object) -> str:
    if page.file.src_uri != "reference/command-line.md":
        return markdown
    from recops_models.cli import COMMANDS
    from recops_models.cli.application import app

    for command in COMMANDS:  # Each module adds its command to the application.
        importlib.import_module(f"recops_models.cli.{command}")
    group = typer.main.get_command(app)
    context = typer.Context(group, info_name="recops")
    return typer.cli.get_docs_for_click(obj=group, ctx=context, name="recops")
