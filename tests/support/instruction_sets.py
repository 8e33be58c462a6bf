"""What a script computes at each instruction set of this machine."""

from __future__ import annotations

import atexit
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import torch

import recops

LEVELS = ["base", "avx2", "avx512"]
HERE = LEVELS[: LEVELS.index(recops.cpu_isa()) + 1]

# Imports torch once for all scripts, each of which has a namespace of its own.
_RUN_WHAT_COMES = """
import json, sys, traceback
import torch, recops
for line in sys.stdin:
    script, *sys.argv[1:] = json.loads(line)
    told = ""
    try:
        exec(script, {"__name__": "__main__"})
    except Exception:
        told = traceback.format_exc()
    print(json.dumps(told), flush=True)
"""


@cache
def _process_at(isa: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN_WHAT_COMES],
        env={**os.environ, "RECOPS_ISA": isa, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(process.communicate)  # the end of its input ends it
    return process


def results_at_each(script: str, folder: Path, inputs: Any = None) -> list[Any]:
    """What ``script`` saves to ``argv[2]`` of the inputs in ``argv[1]``, from the lowest level up.

    A level is chosen when the library is loaded, so each has a process of its own.
    """
    torch.save(inputs, folder / "inputs")
    for isa in HERE:
        process = _process_at(isa)
        assert process.stdin is not None
        assert process.stdout is not None
        asked = json.dumps([script, str(folder / "inputs"), str(folder / isa)])
        print(asked, file=process.stdin, flush=True)
        answer = process.stdout.readline()
        assert answer, f"the process at {isa} ended with status {process.wait()}"
        assert not json.loads(answer), f"at {isa}: {json.loads(answer)}"
    return [torch.load(folder / isa) for isa in HERE]
