"""The page of the defects that tests plant in GPU kernels, from the lists of the tests.

After a list changes: ``python tools/list_gpu_defects.py > docs/results/gpu-defects.md``.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
OPS = ROOT / "tests/recops/ops"
CUDA_TEST = OPS / "test_cuda_defects.py"

_HEAD = """\
# Defects planted in GPU kernels

Written by `tools/list_gpu_defects.py` from the lists of the tests. No GPU was available, and none
is needed: a test changes the source of a kernel, and another test must then fail. `.ci/full` plants
all of them. [GPU results](gpu.md) say what else the tests cover.
"""
_CUDA = """
## CUDA kernels: {count}

An emulation on the CPU runs each changed kernel in several orders of threads.
`tests/recops/ops/test_cuda_defects.py` holds the changes.

| file in `csrc` | planted defect |
| --- | --- |
"""
_TRITON = """
## Triton kernels: {count}

Triton's interpreter runs each changed kernel. `tests/recops/ops/*/test_*triton*.py` hold the
changes.

| file in `src/recops/ops` | planted defect |
| --- | --- |
"""


class Planted(NamedTuple):
    """A planted defect: its name, and the changed file."""

    name: str
    file: str


def triton_tests() -> list[Path]:
    """Return the test files that plant defects in Triton kernels."""
    return sorted(
        path for path in OPS.glob("*/test_*triton*.py") if "DEFECTS: dict" in path.read_text()
    )


def cuda_defects() -> list[Planted]:
    """Return the defects of the CUDA kernels, by file in ``csrc``."""
    calls = _defects_of(CUDA_TEST)
    assert isinstance(calls, ast.List)
    defects = [_strings(call)[:2] for call in calls.elts]
    return sorted((Planted(*each) for each in defects), key=lambda each: each.file)


def triton_defects() -> list[Planted]:
    """Return the defects of the Triton kernels, by file in ``src/recops/ops``."""
    defects = []
    for path in triton_tests():
        entries = _defects_of(path)
        assert isinstance(entries, ast.Dict)
        for key, call in zip(entries.keys, entries.values, strict=True):
            assert isinstance(key, ast.Constant)
            file = f"{path.parent.name}/triton/{_strings(call)[0]}"
            defects.append(Planted(str(key.value), file))
    return sorted(defects, key=lambda each: each.file)


def page() -> str:
    """Return the text of the page."""
    text = _HEAD
    for head, defects in ((_CUDA, cuda_defects()), (_TRITON, triton_defects())):
        text += head.format(count=len(defects))
        text += "".join(f"| `{each.file}` | {each.name} |\n" for each in defects)
    return text


def _defects_of(path: Path) -> ast.expr:
    """Return the value of ``DEFECTS`` in a test file."""
    for node in ast.parse(path.read_text()).body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if isinstance(node, ast.AnnAssign):
            targets = [node.target]
        if any(isinstance(each, ast.Name) and each.id == "DEFECTS" for each in targets):
            assert isinstance(node, ast.Assign | ast.AnnAssign)
            assert node.value is not None
            return node.value
    raise ValueError(f"{path}: DEFECTS must be assigned at the top level, got none")


def _strings(call: ast.expr) -> list[str]:
    """Return the arguments of a call that are text."""
    assert isinstance(call, ast.Call)
    return [str(each.value) for each in call.args if isinstance(each, ast.Constant)]


if __name__ == "__main__":
    print(page(), end="")
