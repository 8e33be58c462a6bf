"""Results of a script at each instruction set of this machine."""

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

# Runs each script in a new namespace, and imports torch only once.
_RUN_SCRIPTS = """
import json, sys, traceback
import torch, recops
for line in sys.stdin:
    script, *sys.argv[1:] = json.loads(line)
    error = ""
    try:
        exec(script, {"__name__": "__main__"})
    except Exception:
        error = traceback.format_exc()
    print(json.dumps(error), flush=True)
"""


@cache
def _process_at(isa: str) -> subprocess.Popen[str]:
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    process = subprocess.Popen(
        [sys.executable, "-c", _RUN_SCRIPTS],
        env={**os.environ, "RECOPS_ISA": isa, "PYTHONPATH": path},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    atexit.register(process.communicate)  # It stops at the end of its input.
    return process


def results_at_each(script: str, folder: Path, inputs: Any = None) -> list[Any]:
    """Return the results of ``script`` at each level, lowest first.

    The script reads its inputs from ``argv[1]`` and saves its result to ``argv[2]``. Each level has
    a separate process, because the level is chosen when the library is loaded.
    """
    torch.save(inputs, folder / "inputs")
    for isa in HERE:
        process = _process_at(isa)
        assert process.stdin is not None
        assert process.stdout is not None
        request = json.dumps([script, str(folder / "inputs"), str(folder / isa)])
        print(request, file=process.stdin, flush=True)
        response = process.stdout.readline()
        assert response, f"the process at {isa} ended with status {process.wait()}"
        assert not json.loads(response), f"at {isa}: {json.loads(response)}"
    return [torch.load(folder / isa) for isa in HERE]
