"""Access control: bearer token and protection against cross-origin requests."""

from __future__ import annotations

import hmac
from ipaddress import ip_address
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from recops_models.serving.http.responses import json_response

PUBLIC_PATHS = frozenset({"/", "/healthz"})
"""Paths without user data, which need no token."""


class Access:
    """ASGI middleware that responds 401 without the token, and 403 to other origins.

    Browsers send the origin of the page that makes a request. Pages of other origins are refused,
    so that a web site cannot write through its visitor's browser. Without a token the host name of
    the request must also be a loopback name, because a foreign name may resolve to this machine
    (DNS rebinding).

    Args:
        app: the application to protect.
        token: required bearer token; None requires no token.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._authorization = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle a request as an ASGI application."""
        app = self._app
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            if self._is_cross_origin(headers):
                app = json_response({"error": "not for pages of other origins"}, 403)
            elif scope["path"] not in PUBLIC_PATHS and not self._has_token(headers):
                challenge = {"WWW-Authenticate": "Bearer"}
                app = json_response({"error": "the token is missing or wrong"}, 401, challenge)
        await app(scope, receive, send)

    def _has_token(self, headers: Headers) -> bool:
        if self._authorization is None:
            return True
        authorization = headers.get("authorization", "").encode("latin-1")
        return hmac.compare_digest(authorization, self._authorization)

    def _is_cross_origin(self, headers: Headers) -> bool:
        host, origin = headers.get("host", ""), headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return True
        return self._authorization is None and host != "" and not is_loopback(_host_name(host))


def is_loopback(host: str) -> bool:
    """Return whether a name or address without a port is a loopback one."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _host_name(host: str) -> str:
    """Return the value of a Host header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def read_token(path: Path) -> str:
    """Read the token, a single word, from a file.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file does not hold exactly one ASCII word.
    """
    words = path.read_text("utf-8").split()
    if len(words) != 1 or not words[0].isascii():
        raise ValueError(f"{path}: must hold one token, of ASCII characters without spaces")
    return words[0]
