"""A request's body: bounded while it is read, strict when it is parsed."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import orjson
from pydantic import ValidationError
from starlette.requests import Request

from recops_models.serving.errors import FieldError
from recops_models.serving.http.requests import SentRequest

MOST_BODY_BYTES = 1 << 20
"""Of a body, unless the server is told another number: some 8,000 events."""

_SECONDS = 30.0
"""For a body to arrive in."""

_DISCARDED = 1 << 26
"""Bytes of a body too large that are read and thrown away. A client that is still writing when the
connection closes may never see the answer."""

Sent = TypeVar("Sent", bound=SentRequest)


class TooLargeError(Exception):
    """A body beyond the limit."""


class TooSlowError(Exception):
    """A body that does not arrive."""


def sent(kind: type[Sent], most_bytes: int) -> Callable[[Request], Awaitable[Sent]]:
    """A dependency of a route: the request's body as ``kind``.

    The content type is not looked at.

    Raises:
        TooLargeError: more than ``most_bytes``; they are not kept, nor parsed.
        TooSlowError: it did not arrive in time.
        FieldError: no JSON, or not as ``kind`` describes; it names the field.
    """

    async def dependency(request: Request) -> Sent:
        try:
            data = await asyncio.wait_for(_read(request, most_bytes), _SECONDS)
        except asyncio.TimeoutError:
            raise TooSlowError(f"the body must arrive within {_SECONDS:g} s") from None
        try:
            return kind.model_validate(parse_json(data))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = str(first["loc"][0]) if first["loc"] else "body"
            raise FieldError(where, first["msg"][:1].lower() + first["msg"][1:]) from None

    return dependency


async def _read(request: Request, most_bytes: int) -> bytearray:
    too_large = TooLargeError(f"the body must be at most {most_bytes:,} bytes")
    length = request.headers.get("content-length", "")
    if "expect" in request.headers and length.isdecimal() and int(length) > most_bytes:
        raise too_large  # The client waits for leave to send it.
    data, total = bytearray(), 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > most_bytes + _DISCARDED:
            break
        if total <= most_bytes:
            data += chunk
    if total > most_bytes:
        raise too_large
    return data


def parse_json(data: bytes | bytearray) -> object:
    """The value of JSON as RFC 8259 has it: no NaN, no infinity, no lone surrogate.

    Raises:
        FieldError: it is none. A number that is not finite is told by the field that it is in.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        field, place = _not_finite(data)
        if field is not None:
            raise FieldError(field, f"must be a finite number ({place})") from None
        raise FieldError("body", f"must be JSON: {error}") from None


def _not_finite(data: bytes | bytearray) -> tuple[str | None, str]:
    """Of JSON that holds NaN or an infinity, the field with the first, and its place."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return None, ""
    return next(_places(content, "body", ""), (None, ""))


def _places(content: object, field: str, place: str) -> Iterator[tuple[str | None, str]]:
    if isinstance(content, float) and not math.isfinite(content):
        yield field, place or "body"
    elif isinstance(content, dict):
        for name, value in content.items():
            yield from _places(value, name, f"{place}.{name}" if place else name)
    elif isinstance(content, list):
        for number, value in enumerate(content):
            yield from _places(value, field, f"{place}[{number}]")
