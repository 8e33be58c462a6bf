"""What a script computes at each instruction set of this machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch

import recops

LEVELS = ["base", "avx2", "avx512"]
HERE = LEVELS[: LEVELS.index(recops.cpu_isa()) + 1]


def results_at_each(script: str, folder: Path, inputs: Any = None) -> list[Any]:
    """What ``script`` saves to ``argv[2]`` of the inputs in ``argv[1]``, from the lowest level up.

    A level is chosen when the library is loaded, so each has a process of its own.
    """
    torch.save(inputs, folder / "inputs")
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    for isa in HERE:
        subprocess.run(
            [sys.executable, "-c", script, folder / "inputs", folder / isa],
            env={**os.environ, "RECOPS_ISA": isa, "PYTHONPATH": path},
            check=True,
        )
    return [torch.load(folder / isa) for isa in HERE]
