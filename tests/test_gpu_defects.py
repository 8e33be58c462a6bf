"""Every file of a GPU kernel has a planted defect, and the page of defects is up to date."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]


def load_tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location(
        "list_gpu_defects", ROOT / "tools/list_gpu_defects.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


tool = load_tool()


def test_every_file_of_a_triton_kernel_has_a_defect() -> None:
    ops = ROOT / "src/recops/ops"
    kernels = {
        path.relative_to(ops).as_posix()
        for path in ops.glob("*/triton/kernels/*.py")
        if "@triton.jit" in path.read_text()
    }
    assert len(kernels) > 10
    assert kernels - {each.file for each in tool.triton_defects()} == set()


def test_every_file_of_a_cuda_kernel_has_a_defect() -> None:
    csrc = ROOT / "csrc"
    kernels = {
        path.relative_to(csrc).as_posix()
        for path in csrc.glob("*/*.h")
        if "__global__ void __launch_bounds__" in path.read_text()
    }
    assert len(kernels) > 20
    assert kernels - {each.file for each in tool.cuda_defects()} == set()


def test_no_defect_is_listed_twice() -> None:
    for defects in (tool.cuda_defects(), tool.triton_defects()):
        assert len({(each.file, each.name) for each in defects}) == len(defects)


def test_the_page_is_up_to_date() -> None:
    """``python tools/list_gpu_defects.py > docs/results/gpu-defects.md`` writes it."""
    assert (ROOT / "docs/results/gpu-defects.md").read_text() == tool.page()
