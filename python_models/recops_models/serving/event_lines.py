"""Events of a file with a JSON object a line, to which others may go on writing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from recops_models.data.errors import DataError
from recops_models.serving.errors import FieldError

MOST_EVENT_BYTES = 1 << 20
"""Of an event's JSON."""


def event_of_json(text: bytes) -> object:
    """What the JSON of an event says; an error where it is none, for the center to count."""
    if len(text) > MOST_EVENT_BYTES:
        return _too_long(len(text))
    try:
        found: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        return FieldError("event", f"must be JSON ({error})")
    return found


def _too_long(size: int) -> FieldError:
    return FieldError("event", f"must be at most {MOST_EVENT_BYTES:,} bytes, got {size:,}")


class EventLines:
    """The events of a file, each given once.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._read = path, 0

    def more(self, *, batch: int, ended: bool = False) -> Iterator[list[object]]:
        """Those that were not given before, a batch at a time; no line is held in memory that is
        longer than an event may be.

        Args:
            batch: events in one, at most.
            ended: nobody writes any longer; else a last line without its end that is no object yet
                is left for another call.

        Raises:
            DataError: the file is shorter than what was read of it.
        """
        with self._path.open("rb") as file:
            if file.seek(0, 2) < self._read:
                raise DataError(f"{self._path}: became shorter while it was read")
            file.seek(self._read)
            events = self._events(file, ended)
            while part := list(islice(events, batch)):
                yield part

    def _events(self, file: BinaryIO, ended: bool) -> Iterator[object]:
        while (line := _next_line(file)).size:
            event = (
                event_of_json(line.text) if line.size == len(line.text) else _too_long(line.size)
            )
            if not (line.whole or ended or isinstance(event, dict)):
                return  # Half of it may be there: of an object, no half is one.
            self._read += line.size
            if line.text.strip():
                yield event


class _Line(NamedTuple):
    """A line of a file.

    Attributes:
        text: its beginning, as long as an event may be.
        size: of all of it.
        whole: whether its end is there.
    """

    text: bytes
    size: int
    whole: bool


def _next_line(file: BinaryIO) -> _Line:
    text = part = file.readline(MOST_EVENT_BYTES + 1)
    size = len(part)
    while len(part) > MOST_EVENT_BYTES and not part.endswith(b"\n"):
        part = file.readline(MOST_EVENT_BYTES + 1)
        size += len(part)
    return _Line(text, size, part.endswith(b"\n"))
