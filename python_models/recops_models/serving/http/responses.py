"""JSON responses, and the HTTP status of every error."""

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
"""Seconds after which a client may retry after a 503 response."""


class OverloadedError(Exception):
    """Too many requests or events wait for the server."""


STATUSES: tuple[tuple[type[Exception], int], ...] = (
    (FieldError, 422),
    (TooLargeError, 413),
    (TooSlowError, 408),
    (ClientDisconnect, 400),  # Nobody receives the response.
    (OverloadedError, 503),
    (StoreAwayError, 503),
    (StoreFullError, 507),
    (ModelVersionError, 409),
    (StoreError, 500),
)
"""HTTP status by error class. The first class that matches decides."""


def json_response(
    content: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return ``content``, which may contain NumPy arrays, as a JSON response."""
    data = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(data, status, headers, "application/json")


async def error_response(_: Request, error: Exception) -> Response:
    """Return ``{"error": one line}`` and the error's status; ``"field"`` names an invalid field."""
    if isinstance(error, HTTPException):  # Unknown path or method.
        return json_response({"error": error.detail}, error.status_code, error.headers)
    status = next(status for kind, status in STATUSES if isinstance(error, kind))
    headers = {"Connection": "close"} if status in (408, 413) else {}
    if status == 503:
        headers["Retry-After"] = str(RETRY_AFTER)
    content = {"error": " ".join(str(error).split())}
    if isinstance(error, FieldError):
        content = {"field": error.field, "error": error.error}
    return json_response(content, status, headers)
