"""Commands that are killed while they run, started warm in a process of their own.

A process that has imported everything, and run nothing, forks once for each command: what takes
seconds to import is killed at moments of its work, not of its imports.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any


class Killable:
    """Runs commands of ``recops``; a context manager.

    Args:
        modules: to be imported beforehand, too.
    """

    def __init__(self, *modules: str) -> None:
        self._modules = modules

    def __enter__(self) -> Killable:
        self._process = subprocess.Popen(
            [sys.executable, __file__, *self._modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate()

    def run(self, arguments: Sequence[str], *, kill_after: float | None = None) -> dict[str, Any]:
        """``{"code": exit code, −9 if killed; "seconds": how long; "said": its output}``."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([list(arguments), kill_after]) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


def _serve() -> None:
    from importlib import import_module

    from recops_models import cli

    for command in cli.COMMANDS:
        import_module(f"recops_models.cli.{command}")
    for module in sys.argv[1:]:
        import_module(module)
    for line in sys.stdin:
        arguments, kill_after = json.loads(line)
        readable, writable = os.pipe()
        begun = time.monotonic()
        child = os.fork()
        if child == 0:
            os.dup2(writable, 1)
            os.dup2(writable, 2)
            os.close(readable)
            os._exit(cli.run(arguments))
        os.close(writable)
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(child, signal.SIGKILL)
        with os.fdopen(readable, errors="replace") as output:
            said = output.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        answer = {"code": status, "seconds": time.monotonic() - begun, "said": said}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
