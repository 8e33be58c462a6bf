"""Calls in processes of their own: a crash, a hang or a flood of memory ends one of them alone."""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import tempfile
from collections.abc import Sequence

import torch
import torch._dynamo  # Meta tensors ask for it; each process would import it anew.

from fuzz.call import Call, Outcome
from fuzz.judge import judge

SECONDS = 20
"""Of processor time that a call may take."""
_SILENCE = 300
"""Seconds without an answer, on however busy a machine, after which a process counts as hung."""
_ROOM = 4 << 30
"""Bytes of address space that a process may add to what it begins with."""


def run(calls: Sequence[Call]) -> list[Outcome]:
    """Each call's outcome, in order; after one that ends its process the rest runs in another.

    This process must not have run an op of several threads: they do not survive a fork.
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
        os.chdir(scratch.name)  # What is saved, is saved here.
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
        outcomes.append(_of_end(status, silent))
    elif status:
        outcomes[-1] = _of_end(status, silent)  # It ended badly, by what the last ones left behind.
    return outcomes


def _of_end(status: int, silent: bool) -> Outcome:
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
            begun = int(statm.read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (begun + _ROOM, begun + _ROOM))
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
