"""Who may ask: bearers of the token, and no web page of another origin."""

from __future__ import annotations

import hmac
from ipaddress import ip_address
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from recops_models.serving.http.answers import json_answer

OPEN = frozenset({"/", "/healthz"})
"""Paths that tell nothing of users, and need no token."""


class Access:
    """An ASGI middleware that answers 401 without the token, and 403 to other origins.

    A browser says for which page it asks. A page of another origin is refused, so that no web site
    can have its visitor's browser write here. Without a token, the name that was asked for must be
    this machine's, too: the owner of a name may have it point here (DNS rebinding).

    Args:
        app: what is guarded.
        token: which ``Authorization: Bearer …`` must tell; None: nothing is asked for.
    """

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        self._app = app
        self._due = None if token is None else f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """As of ASGI."""
        app = self._app
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            if self._is_foreign(headers):
                app = json_answer({"error": "not for pages of other origins"}, 403)
            elif scope["path"] not in OPEN and not self._bears(headers):
                challenge = {"WWW-Authenticate": "Bearer"}
                app = json_answer({"error": "the token is missing or wrong"}, 401, challenge)
        await app(scope, receive, send)

    def _bears(self, headers: Headers) -> bool:
        """Compared in a time that tells nothing of where they differ."""
        if self._due is None:
            return True
        return hmac.compare_digest(headers.get("authorization", "").encode("latin-1"), self._due)

    def _is_foreign(self, headers: Headers) -> bool:
        host, origin = headers.get("host", ""), headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host:
            return True
        return self._due is None and host != "" and not is_loopback(_name_of(host))


def is_loopback(host: str) -> bool:
    """Whether a name or address, without a port, is this machine's own."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _name_of(host: str) -> str:
    """Of a Host header, which may tell a port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def read_token(path: Path) -> str:
    """The token in a file: one word.

    Raises:
        OSError: the file cannot be read.
        ValueError: no word, or several.
    """
    words = path.read_text("utf-8").split()
    if len(words) != 1 or not words[0].isascii():
        raise ValueError(f"{path}: must hold one token, of ASCII characters without spaces")
    return words[0]
