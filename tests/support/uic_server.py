"""Process of `recops uic serve`, and clients of it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple


class Answer(NamedTuple):
    """Response of the server."""

    status: int
    headers: http.client.HTTPMessage
    text: str

    @property
    def content(self) -> Any:
        """Parsed JSON of the text."""
        return json.loads(self.text)


class UicClient:
    """Client with one persistent connection.

    Args:
        host: host of the server.
        port: port of the server.
        headers: headers of every request.
    """

    def __init__(self, host: str, port: int, headers: Mapping[str, str] | None = None) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=60)
        self._headers = dict(headers or {})

    def get(self, path: str, **headers: str) -> Answer:
        """Send a GET request."""
        return self._request("GET", path, None, headers)

    def post(self, path: str, body: object, **headers: str) -> Answer:
        """Send a POST request. Bytes are sent unchanged, other bodies as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._request("POST", path, data, headers)

    def _request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        self._connection.request(method, path, body, {**self._headers, **headers})
        answer = self._connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read().decode())

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


class UicServer:
    """Context manager of a server on a free port, which SIGTERM stops.

    Args:
        model: training folder.
        store: URL of the store.
        options: options of the command.
        token: bearer token of the clients.
        verbose: whether the server logs progress messages.
    """

    def __init__(
        self,
        model: Path,
        store: str,
        *options: str,
        token: str | None = None,
        verbose: bool = False,
    ) -> None:
        command = ["uic", "serve", "--model", str(model), "--store", store, "--port", "0"]
        self._command = [*(["--verbose"] if verbose else []), *command, *options]
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}

    def __enter__(self) -> UicServer:
        self._errors = tempfile.TemporaryFile()
        code = "from recops_models.cli import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, *self._command],
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()
            raise RuntimeError(f"the server did not start: {self.stderr()}")
        host, _, port = line.rpartition("://")[2].strip().rpartition(":")
        self.host, self.port = host, int(port)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._errors.close()

    def stderr(self) -> str:
        """Return what the server has written to stderr."""
        self._errors.seek(0)
        return self._errors.read().decode()

    def client(self, **headers: str) -> UicClient:
        """Open a new connection."""
        return UicClient(self.host, self.port, {**self._headers, **headers})
