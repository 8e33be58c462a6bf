"""What a request is answered: JSON, and a status for every error."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from recops_models.serving.errors import (
    FieldError,
    ModelVersionError,
    StoreAwayError,
    StoreError,
    StoreFullError,
)
from recops_models.serving.http.body import TooLargeError, TooSlowError

RETRY_AFTER = 1
"""Seconds after which a client that was answered 503 may ask again."""


class OverloadedError(Exception):
    """More is waiting than the server takes on."""


STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (FieldError, 422),
    (TooLargeError, 413),
    (TooSlowError, 408),
    (ClientDisconnect, 400),  # Nobody reads it.
    (OverloadedError, 503),
    (StoreAwayError, 503),
    (StoreFullError, 507),
    (ModelVersionError, 409),
    (StoreError, 500),
)
"""The first that fits an error is its status."""


def json_answer(
    content: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """``content`` as JSON, arrays of NumPy included."""
    data = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(data, status, headers, "application/json")


async def error_answer(_: Request, error: Exception) -> Response:
    """``{"error": one line}`` with the status of the error, and ``"field"`` where one is wrong."""
    if isinstance(error, HTTPException):  # No such path, or no such method there.
        return json_answer({"error": error.detail}, error.status_code, error.headers)
    status = next(status for kind, status in STATUSES if isinstance(error, kind))
    headers = {"Connection": "close"} if status in (408, 413) else {}
    if status == 503:
        headers["Retry-After"] = str(RETRY_AFTER)
    content = {"error": " ".join(str(error).split())}
    if isinstance(error, FieldError):
        content = {"field": error.field, "error": error.error}
    return json_answer(content, status, headers)
