"""The page of the defects that tests plant in GPU kernels, from their table.

After the table changes: ``python tools/list_gpu_defects.py > docs/results/gpu-defects.md``.
"""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

_HEAD = """\
# Defects planted in GPU kernels

Written by `tools/list_gpu_defects.py` from `tests/support/gpu_defects.py`. No GPU was available,
and none is needed: `tests/test_gpu_defects.py` changes the source of a kernel, and another test
must then fail. `.ci/full` plants all of them. [GPU results](gpu.md) say what else the tests cover.
"""
_CUDA = """
## CUDA kernels: {count}

An emulation on the CPU runs each changed kernel in several orders of threads.

| file in `csrc` | planted defect |
| --- | --- |
"""
_TRITON = """
## Triton kernels: {count}

Triton's interpreter runs each changed kernel.

| file in `src/recops/ops` | planted defect |
| --- | --- |
"""


def page() -> str:
    """Return the text of the page."""
    table = runpy.run_path(str(ROOT / "tests/support/gpu_defects.py"))["DEFECTS"]
    text = _HEAD
    for head, folder in ((_CUDA, "csrc/"), (_TRITON, "src/recops/ops/")):
        rows = [
            f"| `{each.file.removeprefix(folder)}` | {each.name} |\n"
            for each in table
            if each.file.startswith(folder)
        ]
        text += head.format(count=len(rows)) + "".join(rows)
    return text


if __name__ == "__main__":
    print(page(), end="")
