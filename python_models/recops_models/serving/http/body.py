"""Reading and validation of JSON request bodies, with bounds on size and time."""

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
from recops_models.serving.http.requests import StrictRequest

MAX_BODY_BYTES = 1 << 20
"""Default size limit of a body: about 8,000 events."""

_BODY_SECONDS = 30.0
"""Time limit for the arrival of a body."""

_MAX_DISCARDED_BYTES = 1 << 26
"""Bytes beyond the limit that are read and discarded. A client that is still writing when the
connection closes may not see the response."""

RequestT = TypeVar("RequestT", bound=StrictRequest)


class TooLargeError(Exception):
    """Body larger than the limit."""


class TooSlowError(Exception):
    """Body that did not arrive in time."""


def json_body(kind: type[RequestT], max_bytes: int) -> Callable[[Request], Awaitable[RequestT]]:
    """Return a route dependency that reads the request body as ``kind``.

    The content type is ignored.

    Raises:
        TooLargeError: the body is larger than ``max_bytes``. It is neither stored nor parsed.
        TooSlowError: the body did not arrive in time.
        FieldError: the body is not JSON, or a field is invalid.
    """

    async def dependency(request: Request) -> RequestT:
        try:
            data = await asyncio.wait_for(_read(request, max_bytes), _BODY_SECONDS)
        except asyncio.TimeoutError:
            raise TooSlowError(f"the body must arrive within {_BODY_SECONDS:g} s") from None
        try:
            return kind.model_validate(parse_json(data))
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            field = str(first["loc"][0]) if first["loc"] else "body"
            raise FieldError(field, first["msg"][:1].lower() + first["msg"][1:]) from None

    return dependency


async def _read(request: Request, max_bytes: int) -> bytearray:
    too_large = TooLargeError(f"the body must be at most {max_bytes:,} bytes")
    length = request.headers.get("content-length", "")
    if "expect" in request.headers and length.isdecimal() and int(length) > max_bytes:
        raise too_large  # The client waits for permission to send the body.
    data, total = bytearray(), 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > max_bytes + _MAX_DISCARDED_BYTES:
            break
        if total <= max_bytes:
            data += chunk
    if total > max_bytes:
        raise too_large
    return data


def parse_json(data: bytes | bytearray) -> object:
    """Parse JSON according to RFC 8259: without NaN, infinity or lone surrogates.

    Raises:
        FieldError: the JSON is invalid. For a number that is not finite it names the field.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        field, path = _find_not_finite(data)
        if field is not None:
            raise FieldError(field, f"must be a finite number ({path})") from None
        raise FieldError("body", f"must be JSON: {error}") from None


def _find_not_finite(data: bytes | bytearray) -> tuple[str | None, str]:
    """Return the field and the path of the first NaN or infinity; None and "" if there is none."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return None, ""
    return next(_not_finite_paths(content, "body", ""), (None, ""))


def _not_finite_paths(content: object, field: str, path: str) -> Iterator[tuple[str | None, str]]:
    if isinstance(content, float) and not math.isfinite(content):
        yield field, path or "body"
    elif isinstance(content, dict):
        for name, value in content.items():
            yield from _not_finite_paths(value, name, f"{path}.{name}" if path else name)
    elif isinstance(content, list):
        for index, value in enumerate(content):
            yield from _not_finite_paths(value, field, f"{path}[{index}]")
