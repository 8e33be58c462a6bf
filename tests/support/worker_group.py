"""Functions that several workers run together, without the start of torchrun.

A process imports all modules once and then forks the workers of each call. The workers get the
environment variables that torchrun sets.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LONGEST_WAIT = 60.0


@dataclass(frozen=True)
class Kill:
    """A worker to end while it runs.

    Attributes:
        rank: number of the worker.
        path: wait until this file exists; None: do not wait.
        seconds: wait this long, after that.
        number: the signal.
    """

    rank: int
    path: str | None = None
    seconds: float = 0.0
    number: int = signal.SIGKILL


@dataclass(frozen=True)
class Outcome:
    """End of a call.

    Attributes:
        codes: exit code per worker; −9 if it was killed.
        results: result per worker; None if it failed.
        output: text of all workers.
    """

    codes: list[int]
    results: list[Any]
    output: str


class WorkerGroup:
    """Context manager that runs functions in several workers.

    Args:
        modules: modules to import in advance.
    """

    def __init__(self, *modules: str) -> None:
        self._modules = modules

    def __enter__(self) -> WorkerGroup:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *self._modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(
        self, size: int, function: str, *arguments: object, kills: tuple[Kill, ...] = ()
    ) -> Outcome:
        """Call ``function`` in ``size`` workers.

        Args:
            size: number of workers.
            function: ``"module:name"``; its result must be JSON.
            arguments: of the function, as JSON.
            kills: workers to end.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = [size, function, arguments, [vars(kill) for kill in kills]]
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return Outcome(**json.loads(self._process.stdout.readline()))


def _serve() -> None:
    for module in sys.argv[1:]:
        importlib.import_module(module)
    for line in sys.stdin:
        size, function, arguments, kills = json.loads(line)
        module, _, name = function.partition(":")
        call = getattr(importlib.import_module(module), name)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        with tempfile.TemporaryDirectory() as folder:
            readable, writable = os.pipe()
            children = []
            for rank in range(size):
                child = os.fork()
                if child == 0:
                    os.dup2(writable, 1)
                    os.dup2(writable, 2)
                    if size > 1:
                        os.environ.update(_environment(rank, size, port))
                    os._exit(_run(call, arguments, Path(folder, str(rank))))
                children.append(child)
            os.close(writable)
            for kill in kills:
                _end(children[kill["rank"]], Kill(**kill))
            with os.fdopen(readable, errors="replace") as stream:
                output = stream.read()
            codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
            files = [Path(folder, str(rank)) for rank in range(size)]
            results = [json.loads(file.read_text()) if file.exists() else None for file in files]
        answer = {"codes": codes, "results": results, "output": output}
        print(json.dumps(answer), flush=True)


def _run(call: Any, arguments: list[Any], file: Path) -> int:
    """Write the result of a call to a file; return the exit code."""
    try:
        file.write_text(json.dumps(call(*arguments)))
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        return 1
    return 0


def _end(child: int, kill: Kill) -> None:
    deadline = time.monotonic() + _LONGEST_WAIT
    while kill.path and not Path(kill.path).exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(kill.seconds)
    os.kill(child, kill.number)


def _environment(rank: int, size: int, port: int) -> dict[str, str]:
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


if __name__ == "__main__":
    _serve()
