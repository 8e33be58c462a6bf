"""Commands that are killed while they run.

A process imports all modules and then forks once per command, so that a command is killed during
its work and not during its imports.
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
    """Context manager that runs commands of ``recops``.

    Args:
        modules: additional modules to import in advance.
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
        """Run a command, and kill it after ``kill_after`` seconds.

        Returns:
            "code", the exit code (−9 if killed); "seconds", the duration; "output", its text.
        """
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
        start = time.monotonic()
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
            text = output.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        answer = {"code": status, "seconds": time.monotonic() - start, "output": text}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    _serve()
