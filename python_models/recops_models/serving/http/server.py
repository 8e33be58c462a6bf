"""The process: a socket, signals, threads."""

from __future__ import annotations

import gc
import signal
import socket
import sys
from collections.abc import Callable

import torch
import uvicorn

from recops_models.serving.center import Center
from recops_models.serving.http.access import is_loopback
from recops_models.serving.http.app import make_app
from recops_models.serving.http.body import MOST_BODY_BYTES

_SWITCH_SECONDS = 1e-4
"""Of Python's interpreter lock. A score is some sixty ops, each of which lets go of it and takes it
again. At Python's own 5 ms, a writer that computes would have a score wait that long each time."""

_GRACE_SECONDS = 30
"""That requests have to end in."""

_KEEP_ALIVE_SECONDS = 75
"""That an idle connection is kept: longer than clients keep theirs, so that they do not write into
one that is being closed."""


def serve(
    center: Center,
    *,
    host: str = "127.0.0.1",
    port: int = 8080,
    token: str | None = None,
    most_body_bytes: int = MOST_BODY_BYTES,
    told: Callable[[str], object] = print,
) -> None:
    """Serve a center over HTTP until SIGTERM or SIGINT, then finish what was taken on, and return.

    It takes the process for itself: one thread of torch, short turns of the interpreter lock, and
    what is there is never collected. Others beside it may serve or write the same store.

    Args:
        center: stays its caller's to close.
        host: an address or name of this machine; one that others reach takes a ``token``.
        port: 0 takes one that is free.
        token: which requests must bear.
        most_body_bytes: of a request.
        told: the URL, once connections are taken.

    Raises:
        ValueError: a host that others reach, without a token.
        OSError: the address is no address of this machine, or in use.
    """
    if token is None and not is_loopback(host):
        raise ValueError(f"{host}: others may reach it: a token is needed (--token-file)")
    with _listen(host, port) as listening:
        _prepare_process()
        app = make_app(center, token=token, most_body_bytes=most_body_bytes)
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
        before = {
            number: signal.signal(number, server.handle_exit)
            for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            # What connects from here on waits until the server runs.
            address, number, *_ = listening.getsockname()
            name = f"[{address}]" if ":" in address else address
            told(f"http://{name}:{number}")
            server.run([listening])
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _prepare_process() -> None:
    """Keep what would make a request wait out of its way."""
    torch.set_num_threads(1)
    sys.setswitchinterval(_SWITCH_SECONDS)
    # A full collection looks at all that was imported: 213,000 objects, 100 ms of a busy core.
    # What is there now stays, so it need not be looked at again (then 0.06 ms).
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
