"""Builds: a missing requirement gives one clear error; wheels and editable installs work."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ("scikit_build_core", "pybind11", "cmake", "ninja")

pytestmark = pytest.mark.skipif(
    any(importlib.util.find_spec(tool) is None for tool in TOOLS),
    reason="building needs the `test` extra",
)


def run(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(part) for part in command],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def build_wheel(source: Path, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run ``pip wheel`` with this environment's build tools; it writes only below ``folder``."""
    pip = [sys.executable, "-m", "pip", "wheel", "--no-build-isolation", "--no-deps"]
    return run(
        *pip, f"--config-settings=build-dir={folder}/build", "-w", folder, source, **environment
    )


def fake_compiler(folder: Path, *flags: str) -> str:
    path = folder / "fake-c++"
    path.write_text(f'#!/bin/sh\nexec c++ {" ".join(flags)} "$@"\n')
    path.chmod(0o755)
    return str(path)


def fake_torch(folder: Path, version: str) -> str:
    package = folder / "fake" / "torch"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "version.py").write_text(f"__version__ = '{version}'\n")
    return str(package.parent)


def path_without(program: str) -> str:
    folders = os.environ["PATH"].split(os.pathsep)
    return os.pathsep.join(folder for folder in folders if not Path(folder, program).exists())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("problem", "line"),
    [
        (
            "no compiler",
            "recops: no working C++ compiler was found; "
            "install GCC >= 11 or Clang >= 14 (or set CXX).",
        ),
        (
            "old compiler",
            "recops: GNU 9.4.0 is too old for C++20; "
            "install GCC >= 11 or Clang >= 14 (or set CXX).",
        ),
        (
            "old torch",
            "recops: torch 2.9 is too old; run `pip install 'torch>=2.10'`.",
        ),
        (
            "no nvcc",
            "recops: RECOPS_CUDA=ON, but no working nvcc was found; "
            "install CUDA >= 12.8, or set RECOPS_CUDA=OFF.",
        ),
        (
            "bad toggle",
            "recops: RECOPS_CUDA=perhaps is not one of AUTO, ON, OFF.",
        ),
    ],
)
def test_a_failed_build_prints_one_line(tmp_path: Path, problem: str, line: str) -> None:
    environment = {
        "no compiler": {"CXX": "/nowhere/c++"},
        "old compiler": {
            "CXX": fake_compiler(
                tmp_path,
                *("-U__GNUC__", "-D__GNUC__=9"),
                *("-U__GNUC_MINOR__", "-D__GNUC_MINOR__=4"),
                *("-U__GNUC_PATCHLEVEL__", "-D__GNUC_PATCHLEVEL__=0"),
            )
        },
        "old torch": {"PYTHONPATH": fake_torch(tmp_path, "2.9.1+cpu")},
        "no nvcc": {"RECOPS_CUDA": "ON", "CUDACXX": "", "PATH": path_without("nvcc")},
        "bad toggle": {"RECOPS_CUDA": "perhaps"},
    }[problem]
    build = build_wheel(ROOT, tmp_path, **environment)
    assert build.returncode != 0
    assert [text.strip() for text in build.stdout.splitlines() if "recops: " in text] == [line]
    assert "recops was not built: see the line above" in build.stdout
    assert list(tmp_path.glob("*.whl")) == []


@pytest.mark.full
def test_wheel_from_an_sdist_is_complete(tmp_path: Path) -> None:
    hook = "from scikit_build_core.build import build_sdist as b; import sys; b(sys.argv[1])"
    build = subprocess.run([sys.executable, "-c", hook, tmp_path], cwd=ROOT, check=False)
    assert build.returncode == 0
    (sdist,) = tmp_path.glob("recops-*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")  # A source tree without .git.
    source = tmp_path / sdist.name.removesuffix(".tar.gz")

    build = build_wheel(source, tmp_path, RECOPS_CUDA="OFF", RECOPS_WERROR="ON")
    assert build.returncode == 0, build.stdout
    (wheel,) = tmp_path.glob("recops-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    sources = {
        path.relative_to(top).as_posix()
        for top in (ROOT / "src", ROOT / "python_models")
        for path in top.rglob("*")
        if path.suffix in {".py", ".pyi", ".typed"}
    }
    assert sources <= names
    assert "recops/_ops.so" in names
    assert "recops/_ops_cuda.so" not in names
    assert [name for name in names if name.startswith("recops/_catalog.")]
    assert not [name for name in names if name.startswith(("csrc/", "tests/", "recops/csrc"))]


@pytest.mark.full
def test_editable_install_imports_the_source(tmp_path: Path) -> None:
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    # The new environment uses this one's packages except recops.
    borrow = tmp_path / "venv/lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    folders = [path for path in sys.path if path.endswith("site-packages")]
    (borrow / "site-packages" / "borrowed.pth").write_text("\n".join(folders))
    completed = run(
        *(sys.executable, "-m", "pip", "--python", python, "install", "--no-build-isolation"),
        *("--no-deps", "--ignore-installed", f"--config-settings=build-dir={tmp_path}/build"),
        *("--editable", ROOT),
        RECOPS_CUDA="OFF",
    )
    assert completed.returncode == 0, completed.stdout
    completed = run(python, "-c", "import recops; print(recops.__file__, recops.cpu_isa())")
    assert completed.stdout.startswith(f"{ROOT}/src/recops/__init__.py"), completed.stdout


@pytest.mark.full
def test_the_nvcc_of_python_packages_builds_the_cuda_library() -> None:
    packages = importlib.util.find_spec("nvidia")
    folders = packages.submodule_search_locations if packages else None
    if not any(Path(folder, "cu13/bin/nvcc").exists() for folder in folders or ()):
        pytest.skip("the extra `cuda` is not installed")
    report = run(
        sys.executable, ROOT / "tools/cuda_resources.py", CUDACXX="", PATH=path_without("nvcc")
    )
    assert report.returncode == 0, report.stdout
