"""Redis server of a test, on the loopback interface, with files in the test's folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from pathlib import Path
from types import TracebackType

import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

DURABLE = ("--appendonly", "yes", "--appendfsync", "always")


class RedisServer:
    """Context manager of a Redis server.

    Args:
        folder: folder of the server's files.
        options: command-line options of the server.
        most_file_bytes: maximum size of a file, which simulates a full disk; None: no limit.
    """

    def __init__(self, folder: Path, *options: str, most_file_bytes: int | None = None) -> None:
        self._folder, self._options = folder, options
        self._limit = most_file_bytes

    def __enter__(self) -> RedisServer:
        program = shutil.which("redis-server")
        if program is None:
            missing = "redis-server is not installed: install the package of that name"
            if os.environ.get("CI") == "true":
                pytest.fail(missing)
            pytest.skip(missing)
        self._program = program
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.start()
        return self

    def start(self) -> None:
        """Start the server and wait until it answers."""
        self.process = subprocess.Popen(
            [
                *([] if self._limit is None else ["prlimit", f"--fsize={self._limit}"]),
                self._program,
                *("--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._folder)),
                *("--save", "", "--databases", "256"),
                *self._options,
            ],
            stdout=subprocess.DEVNULL,
        )
        patient = Retry(ConstantBackoff(0.02), 1000)
        with redis.Redis(port=self.port, retry=patient) as client:
            client.ping()

    def kill(self) -> None:
        """Kill the server, as a power failure would."""
        self.process.kill()
        self.process.wait()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.terminate()
        self.process.wait()

    def url(self, database: int = 0) -> str:
        """Return the URL of a database, for a store."""
        return f"redis://127.0.0.1:{self.port}/{database}"

    def stream_url(self, key: str, *, group: str = "center", database: int = 0) -> str:
        """Return the URL of a stream."""
        return f"redis-stream://127.0.0.1:{self.port}/{database}/{key}?group={group}"

    def client(self, database: int = 0) -> redis.Redis:
        """Return a client of a database."""
        return redis.Redis(port=self.port, db=database)
