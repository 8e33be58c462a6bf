"""Events of a file of JSON lines that may still be growing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from recops_models.data.errors import DataError
from recops_models.serving.errors import FieldError

MAX_EVENT_BYTES = 1 << 20
"""Largest size of an event's JSON."""


def event_of_json(text: bytes) -> object:
    """Return the parsed JSON of an event, or a FieldError if it is invalid."""
    if len(text) > MAX_EVENT_BYTES:
        return _too_long(len(text))
    try:
        content: object = json.loads(text)
    except (ValueError, RecursionError) as error:
        return FieldError("event", f"must be JSON ({error})")
    return content


def _too_long(size: int) -> FieldError:
    return FieldError("event", f"must be at most {MAX_EVENT_BYTES:,} bytes, got {size:,}")


class EventLines:
    """Reader that returns each event of a file once.

    Args:
        path: path of the file.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._offset = path, 0

    def read_new(self, *, batch: int, ended: bool = False) -> Iterator[list[object]]:
        """Yield batches of the events that were appended since the last call.

        Memory use per line is bounded by :data:`MAX_EVENT_BYTES`.

        Args:
            batch: largest number of events per batch.
            ended: the file no longer grows. Otherwise a last line without a newline that is not yet
                a JSON object is left for the next call.

        Raises:
            DataError: the file is shorter than it was at the last call.
        """
        with self._path.open("rb") as file:
            if file.seek(0, 2) < self._offset:
                raise DataError(f"{self._path}: became shorter while it was read")
            file.seek(self._offset)
            events = self._events(file, ended)
            while part := list(islice(events, batch)):
                yield part

    def _events(self, file: BinaryIO, ended: bool) -> Iterator[object]:
        while (line := _next_line(file)).size:
            event = (
                event_of_json(line.text) if line.size == len(line.text) else _too_long(line.size)
            )
            if not (line.is_complete or ended or isinstance(event, dict)):
                return  # The line may be incomplete; an incomplete object never parses.
            self._offset += line.size
            if line.text.strip():
                yield event


class _Line(NamedTuple):
    """Line of a file.

    Attributes:
        text: at most the first ``MAX_EVENT_BYTES + 1`` bytes.
        size: size of the line in bytes.
        is_complete: whether the line ends with a newline.
    """

    text: bytes
    size: int
    is_complete: bool


def _next_line(file: BinaryIO) -> _Line:
    text = part = file.readline(MAX_EVENT_BYTES + 1)
    size = len(part)
    while len(part) > MAX_EVENT_BYTES and not part.endswith(b"\n"):
        part = file.readline(MAX_EVENT_BYTES + 1)
        size += len(part)
    return _Line(text, size, part.endswith(b"\n"))
