"""`recops uic serve` in a process of its own, and its clients."""

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
    """Of the server."""

    status: int
    headers: http.client.HTTPMessage
    text: str

    @property
    def content(self) -> Any:
        """Of its JSON."""
        return json.loads(self.text)


class UicClient:
    """One connection, kept.

    Args:
        host: of the server.
        port: likewise.
        headers: of each request.
    """

    def __init__(self, host: str, port: int, headers: Mapping[str, str] | None = None) -> None:
        self._connection = http.client.HTTPConnection(host, port, timeout=60)
        self._headers = dict(headers or {})

    def get(self, path: str, **headers: str) -> Answer:
        """Ask."""
        return self._request("GET", path, None, headers)

    def post(self, path: str, body: object, **headers: str) -> Answer:
        """Send bytes as they are, and anything else as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self._request("POST", path, data, headers)

    def _request(
        self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> Answer:
        self._connection.request(method, path, body, {**self._headers, **headers})
        answer = self._connection.getresponse()
        return Answer(answer.status, answer.headers, answer.read().decode())

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


class UicServer:
    """A context manager: a server on a free port, ended by SIGTERM.

    Args:
        model: the folder of a training.
        store: a URL.
        options: of the command.
        token: of its clients.
    """

    def __init__(self, model: Path, store: str, *options: str, token: str | None = None) -> None:
        command = ["uic", "serve", "--model", str(model), "--store", store, "--port", "0"]
        self._command = [*command, *options]
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
            raise RuntimeError(f"the server did not start: {self.said()}")
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

    def said(self) -> str:
        """What it wrote to stderr so far."""
        self._errors.seek(0)
        return self._errors.read().decode()

    def client(self, **headers: str) -> UicClient:
        """A new connection."""
        return UicClient(self.host, self.port, {**self._headers, **headers})
