"""Server process: socket, signals and threads."""

from __future__ import annotations

import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable

import torch
import uvicorn

from recops_models.serving.center import Center
from recops_models.serving.http.access import is_loopback
from recops_models.serving.http.app import make_app
from recops_models.serving.http.body import MAX_BODY_BYTES

_logger = logging.getLogger(__name__)

_SWITCH_SECONDS = 1e-4
"""Switch interval of Python's interpreter lock.

A score runs about sixty ops, each of which releases and reacquires the lock. With the default of
5 ms it could wait that long for a writer each time.
"""

_GRACE_SECONDS = 30
"""Time for open requests to finish at shutdown."""

_KEEP_ALIVE_SECONDS = 75
"""Time after which idle connections are closed. It exceeds the timeout of common clients, so that
they do not write to a connection that is being closed."""


def serve(
    center: Center,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    token: str | None = None,
    max_body_bytes: int = MAX_BODY_BYTES,
    on_ready: Callable[[str], object] = print,
) -> None:
    """Serve a center over HTTP until SIGTERM or SIGINT, then finish open requests and return.

    This changes settings of the whole process: it limits torch to one thread, shortens the
    interpreter's switch interval, and excludes existing objects from garbage collection. Other
    processes may use the same store.

    Args:
        center: the center. The caller closes it.
        host: address or name of this machine. One that other machines can reach requires ``token``.
        port: port; 0 selects a free one.
        token: bearer token that requests must have.
        max_body_bytes: largest request body.
        on_ready: receives the URL when the socket accepts connections.

    Raises:
        ValueError: other machines can reach ``host``, and there is no token.
        OSError: the address is invalid or in use.
    """
    if token is None and not is_loopback(host):
        raise ValueError(
            f"{host}: other machines may reach this host: a token is required (--token-file)"
        )
    with _listen(host, port) as listener:
        _prepare_process()
        app = make_app(center, token=token, max_body_bytes=max_body_bytes)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="on",
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_GRACE_SECONDS,
            )
        )
        previous_handlers = {
            number: signal.signal(number, server.handle_exit)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            # Connections from here on wait until the server runs.
            address, number, *_ = listener.getsockname()
            name = f"[{address}]" if ":" in address else address
            url = f"http://{name}:{number}"
            _logger.info(
                "serving %s with model %s at %s", center.store.url, center.model_version, url
            )
            on_ready(url)
            server.run([listener])
            _logger.info("stopped serving at %s", url)
        finally:
            for number, handler in previous_handlers.items():
                signal.signal(number, handler)


def _prepare_process() -> None:
    """Adjust the process for low request latency."""
    torch.set_num_threads(1)
    sys.setswitchinterval(_SWITCH_SECONDS)
    # A full collection would scan all imported objects, which live as long as the process.
    gc.collect()
    gc.freeze()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return socket.create_server(address[:2], family=family, backlog=1024)
    except OSError as error:
        raise OSError(f"{host}:{port}: {error.strerror or error}") from error
