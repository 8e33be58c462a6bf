"""Tests find every defect planted in a GPU kernel, and the page that lists them is up to date."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from gpu_defects import DEFECTS, Defect

ROOT = Path(__file__).resolve().parents[1]
TESTS = sorted({each.test for each in DEFECTS})


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the C++ sources with a configured build of their drivers."""
    if shutil.which("cmake") is None:
        pytest.skip("building the drivers needs cmake")
    folder = tmp_path_factory.mktemp("sources")
    for name in ("csrc", "cmake"):
        shutil.copytree(ROOT / name, folder / name)
    configure: list[str | Path] = ["cmake", "-G", "Ninja", "-DRECOPS_OPTIMIZATION=-O1"]
    configure += ["-DCMAKE_CXX_FLAGS=-O1", "-DCMAKE_BUILD_TYPE=None"]
    configure += ["-S", folder / "csrc/tests", "-B", folder / "build"]
    subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
    return folder


def planted(defect: Defect, text: str) -> str:
    for pattern, replacement in defect.changes:
        text = text.replace(pattern, replacement)
    return text


def driver_passes(sources: Path, run: str) -> bool:
    """Build a driver and return whether its run finds no defect."""
    driver, *arguments = run.split()
    build: list[str | Path] = ["cmake", "--build", sources / "build", "--target", driver]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    command: list[str | Path] = [sources / "build" / driver, *arguments]
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0


def assert_driver_finds(defect: Defect, sources: Path) -> None:
    path = sources / defect.file
    original = path.read_text()
    path.write_text(planted(defect, original))
    try:
        assert not driver_passes(sources, defect.test)
    finally:
        path.write_text(original)


def assert_interpreter_finds(defect: Defect, folder: Path) -> None:
    pytest.importorskip("triton")
    from interpreted import run_interpreted

    kernels, _, file = defect.file.partition("/triton/")
    shutil.copytree(ROOT / kernels / "triton", folder / "triton")
    changed = folder / "triton" / file
    changed.write_text(planted(defect, changed.read_text()))
    family = Path(kernels).name
    test = ROOT / "tests/recops/ops" / defect.test
    environment = {"RECOPS_DEFECT": str(folder), "RECOPS_DEFECT_FAMILY": family}
    arguments = ("-x", "-p", "planted_defect", test.name)
    result = run_interpreted(test.parent, *arguments, environment=environment)
    # An access out of bounds ends the process by a signal, sometimes before the report.
    assert result.returncode != 0, result.stdout + result.stderr
    assert "1 failed" in result.stdout or result.returncode < 0


@pytest.mark.full
@pytest.mark.parametrize("defect", DEFECTS, ids=lambda defect: f"{defect.file}: {defect.name}")
def test_a_planted_defect_is_found(
    defect: Defect, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    if defect.file.startswith("csrc/"):
        assert_driver_finds(defect, request.getfixturevalue("sources"))
    else:
        assert_interpreter_finds(defect, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("test", [each for each in TESTS if not each.endswith(".py")])
def test_a_driver_passes_without_defects(sources: Path, test: str) -> None:
    assert driver_passes(sources, test)


def test_every_pattern_occurs_once() -> None:
    wrong = [
        each.name
        for each in DEFECTS
        for pattern, replacement in each.changes
        if (ROOT / each.file).read_text().count(pattern) != 1 or pattern == replacement
    ]
    assert wrong == []


def test_every_gpu_kernel_has_a_defect() -> None:
    signs = {
        "csrc/*/*.h": "__global__ void __launch_bounds__",
        "src/recops/ops/*/triton/kernels/*.py": "@triton.jit",
    }
    kernels = {
        path.relative_to(ROOT).as_posix()
        for pattern, sign in signs.items()
        for path in ROOT.glob(pattern)
        if sign in path.read_text()
    }
    assert len(kernels) > 30
    assert kernels - {each.file for each in DEFECTS} == set()


def test_no_defect_is_listed_twice() -> None:
    counts = Counter((each.file, each.name) for each in DEFECTS)
    assert [each for each, count in counts.items() if count > 1] == []


def test_the_page_is_up_to_date() -> None:
    """``python tools/list_gpu_defects.py > docs/results/gpu-defects.md`` writes it."""
    spec = importlib.util.spec_from_file_location(
        "list_gpu_defects", ROOT / "tools/list_gpu_defects.py"
    )
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert (ROOT / "docs/results/gpu-defects.md").read_text() == tool.page()
