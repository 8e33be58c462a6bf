"""Log messages of the command line, on stderr."""

from __future__ import annotations

import logging

import typer

from recops_models.printable import printable

_NAME = "recops-stderr"
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class _StderrHandler(logging.Handler):
    """Handler that looks up ``sys.stderr`` at each message, since callers may replace it."""

    def emit(self, record: logging.LogRecord) -> None:
        typer.echo(printable(self.format(record)), err=True)


def configure_logging(*, verbose: bool) -> None:
    """Write the log messages of this package to stderr.

    Args:
        verbose: include progress messages (INFO). Otherwise only warnings and errors are written.
    """
    logger = logging.getLogger("recops_models")
    for handler in [each for each in logger.handlers if each.name == _NAME]:
        logger.removeHandler(handler)
    handler = _StderrHandler()
    handler.name = _NAME  # After a second import of this module, the class is another one.
    handler.setFormatter(logging.Formatter(_FORMAT))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
