"""Calls in child processes, so that a crash, a hang or excessive memory ends only the child."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import tempfile
from collections.abc import Sequence

import torch
import torch._dynamo  # Meta tensors need it; without this, each child would import it.

from fuzz.call import Call, Outcome
from fuzz.judge import judge

SECONDS = 20
"""Limit of processor time per call."""
_SILENCE = 300
"""Seconds without an answer after which a process counts as hung, also on a busy machine."""
_EXTRA_MEMORY = 4 << 30
"""Bytes of address space that a process may add to its initial size."""


def run(calls: Sequence[Call]) -> list[Outcome]:
    """Return the outcome of each call, in order; a new process follows one that has ended.

    This process must not have run a multithreaded op, because threads do not survive a fork.
    """
    outcomes: list[Outcome] = []
    while len(outcomes) < len(calls):
        outcomes += _run_until_it_ends(calls[len(outcomes) :])
    return outcomes


def _run_until_it_ends(calls: Sequence[Call]) -> list[Outcome]:
    readable, writable = os.pipe()
    scratch = tempfile.TemporaryDirectory(prefix="fuzz.")
    child = os.fork()
    if child == 0:
        os.close(readable)
        os.chdir(scratch.name)  # Calls may write files.
        _work(calls, writable)
    os.close(writable)
    outcomes = []
    silent = False
    with os.fdopen(readable) as answers:
        while not silent and len(outcomes) < len(calls):
            silent = not select.select([answers], [], [], _SILENCE)[0]
            line = "" if silent else answers.readline()
            if not line:
                break
            outcomes.append(Outcome(*json.loads(line)))
    if silent:
        os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    scratch.cleanup()
    if len(outcomes) < len(calls):
        outcomes.append(_abnormal_end(status, silent))
    elif status:
        outcomes[-1] = _abnormal_end(status, silent)  # Earlier calls damaged the process.
    return outcomes


def _abnormal_end(status: int, silent: bool) -> Outcome:
    if silent or -status in (signal.SIGVTALRM, signal.SIGXCPU):
        return Outcome("hang", f"more than {SECONDS} s of processor time")
    name = signal.Signals(-status).name if status < 0 else f"exit code {status}"
    return Outcome("crash", name)


def _work(calls: Sequence[Call], writable: int) -> None:
    status = 1
    try:
        null = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(null, stream)
        with open("/proc/self/statm") as statm:  # noqa: PTH123
            limit = int(statm.read().split()[0]) * resource.getpagesize() + _EXTRA_MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        torch.set_num_threads(2)
        for call in calls:
            signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
            outcome = judge(call)
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)
            os.write(writable, (json.dumps([outcome.kind, outcome.text]) + "\n").encode())
        status = 0
    finally:
        os._exit(status)
