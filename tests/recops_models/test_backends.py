"""Backends are named, and tensors copied to the host, in ``training/device.py`` only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "python_models" / "recops_models"
DEVICE = PACKAGE / "training" / "device.py"

ON_DEVICES = ("click", "evaluation", "exploration", "generative", "layers", "training")
"""Folders whose tensors may be on any device; files of other folders count by their name."""
ON_DEVICES_BY_NAME = ("*_task.py", "*_stage.py")

_BACKEND = re.compile(r"(cuda|mps|xpu)(:\d+)?")
_HOST_READS = ("cpu", "numpy", "item", "tolist")


def backends(source: str) -> Iterator[str]:
    """Yield the names of backends in a file, and the devices it makes by name."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if _BACKEND.fullmatch(node.value):
                yield f"{node.value} in line {node.lineno}"
        elif isinstance(node, ast.Call) and re.match(r"torch\.device\('", ast.unparse(node)):
            yield f"{ast.unparse(node)} in line {node.lineno}"


def host_reads(source: str) -> Iterator[str]:
    """Yield the calls of a file that copy tensors to the host."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr in _HOST_READS and not node.args:
            yield f".{node.func.attr}() in line {node.lineno}"


def files_on_devices() -> list[Path]:
    """Return the files whose tensors may be on any device."""
    paths = {path for folder in ON_DEVICES for path in (PACKAGE / folder).rglob("*.py")}
    for pattern in ON_DEVICES_BY_NAME:
        paths |= set(PACKAGE.rglob(pattern))
    return sorted(paths - {DEVICE})


def test_one_file_names_backends() -> None:
    findings = {
        str(path.relative_to(PACKAGE)): names
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != DEVICE and (names := list(backends(path.read_text("utf-8"))))
    }
    assert findings == {}
    assert list(backends(DEVICE.read_text("utf-8")))


def test_no_other_file_copies_a_tensor_of_any_device() -> None:
    """``.cpu()`` is for tensors of devices; the other calls also read arrays."""
    findings = {
        str(path.relative_to(PACKAGE)): calls
        for path in sorted(PACKAGE.rglob("*.py"))
        if path != DEVICE
        and (calls := [c for c in host_reads(path.read_text("utf-8")) if c.startswith(".cpu()")])
    }
    assert findings == {}


def test_one_file_copies_to_the_host() -> None:
    findings = {
        str(path.relative_to(PACKAGE)): calls
        for path in files_on_devices()
        if (calls := list(host_reads(path.read_text("utf-8"))))
    }
    assert findings == {}
    assert list(host_reads(DEVICE.read_text("utf-8")))


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ('x = y.to("cuda")', ["cuda in line 1"]),
        ('x = y.device.type == "mps"', ["mps in line 1"]),
        ('x = torch.device("cpu")', ["torch.device('cpu') in line 1"]),
        ('x = "cuda_runtime"', []),
        ("x = torch.device(name)", []),
    ],
)
def test_a_planted_backend_is_reported(line: str, names: list[str]) -> None:
    assert list(backends(line)) == names


@pytest.mark.parametrize("call", ["cpu", "numpy", "item", "tolist"])
def test_a_planted_copy_is_reported(call: str) -> None:
    assert list(host_reads(f"y = x.sum().{call}()")) == [f".{call}() in line 1"]
    assert not list(host_reads(f"y = '>>> x.{call}()'"))
