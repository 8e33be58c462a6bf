"""Pages on capacity and on data larger than memory: figures that follow from the constants."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "tools" / "render_capacity.py"


@pytest.fixture(scope="module")
def capacity() -> ModuleType:
    spec = importlib.util.spec_from_file_location("render_capacity", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_pages_have_the_figures_of_the_constants(capacity: ModuleType) -> None:
    assert capacity.PAGE.read_text("utf-8") == capacity.page()
    assert capacity.LARGE_PAGE.read_text("utf-8") == capacity.large_page()


def test_every_measured_constant_is_on_its_page(capacity: ModuleType) -> None:
    for constant in capacity.MEASURED:
        assert constant.quote in (ROOT / constant.page).read_text("utf-8"), constant.meaning


@pytest.mark.parametrize("size", [10_000_000, 1_000_000_000])
def test_needs_by_hand(size: int, capacity: ModuleType) -> None:
    ids, tables, trie, states, scores = capacity.steps(size)
    assert states.disk == pytest.approx(size * 4200 / 1e9)
    assert states.cores == pytest.approx(size * 20 * 3 / 86_400 / 3600)
    assert scores.cores == pytest.approx(size * 5 * 3 / 86_400 * 0.011)
    assert scores.network == pytest.approx(size * 15 / 86_400 * (3957 + 1200) / 1e6)
    assert tables.memory == pytest.approx(2 * size * 16 * 4 * 3 / 1e9)
    assert trie.disk == pytest.approx(size * 2.18 * 6 / 1e9)
    assert ids.disk == pytest.approx(size * 20 * 80 / 1e9)
    assert scores.cost == pytest.approx(scores.cores * 25)


def test_bottlenecks_change_with_the_size(capacity: ModuleType) -> None:
    small, large = ([step.bottleneck for step in capacity.steps(size)] for size in capacity.SIZES)
    assert small[1:3] == ["one machine holds the tables", "memory while building"]
    assert large[1].startswith("memory: tables must be sharded over 2 machines")
    assert large[2].startswith("32-bit node numbers: 2 tries")


def test_the_end_of_a_machines_memory_continues_the_measurements(capacity: ModuleType) -> None:
    before, last = capacity.records("trie")[-2:]
    assert capacity.last_items(last["peak_mb"] / 1024) == pytest.approx(last["rows"])
    assert capacity.last_items(before["peak_mb"] / 1024) == pytest.approx(before["rows"])
