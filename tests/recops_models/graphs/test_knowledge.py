"""Stored knowledge: files, versions, the window, and the shuffled control."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
import torch

from knowledge_inputs import knowledge
from recops.files import CorruptFileError, load_tensors, save_tensors
from recops_models.examples.lookup import Lookup
from recops_models.graphs.knowledge import (
    Knowledge,
    KnowledgeError,
    LeakageError,
    Window,
    version_of,
)


@pytest.mark.parametrize("coding", ["float32", "bfloat16", "int8"])
def test_a_file_restores_all_knowledge(coding: str, tmp_path: Path) -> None:
    path = tmp_path / "knowledge.safetensors"
    names = Lookup(pa.array([f"user {number:02}" for number in range(18)]))
    lookups = {**knowledge().lookups, "user": names}
    saved = replace(knowledge(), lookups=lookups).coded(coding)
    saved.save(path)
    loaded = Knowledge.load(path)
    for name in ("user", "item"):
        assert torch.equal(loaded.tables[name].values, saved.tables[name].values)
        assert loaded.tables[name].coding == coding
        assert torch.equal(loaded.tables[name].decoded(), saved.tables[name].decoded())
    assert loaded.lookups["user"].keys == names.keys
    assert loaded.pair.keys() == saved.pair.keys()
    assert all(torch.equal(loaded.pair[key], saved.pair[key]) for key in loaded.pair)
    attributes = ("version", "source", "tasks", "window", "width", "nbytes")
    assert [getattr(loaded, name) for name in attributes] == [
        getattr(saved, name) for name in attributes
    ]


def test_damaged_foreign_and_newer_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "knowledge.safetensors"
    knowledge().save(path)
    tensors, meta = load_tensors(path, kind="knowledge")
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptFileError, match="damaged"):
        Knowledge.load(path)
    save_tensors(path, tensors, kind="recommender", meta=meta)
    with pytest.raises(CorruptFileError, match="holds 'recommender', not 'knowledge'"):
        Knowledge.load(path)
    save_tensors(path, tensors, kind="knowledge", meta=meta, version=2)
    with pytest.raises(
        CorruptFileError, match="knowledge format 2, but this version reads up to 1"
    ):
        Knowledge.load(path)
    del tensors["item.values"]
    save_tensors(path, tensors, kind="knowledge", meta=meta)
    with pytest.raises(CorruptFileError, match="not a valid knowledge file"):
        Knowledge.load(path)


def test_the_window_must_end_before_the_first_example() -> None:
    table = knowledge(last=99)
    table.check_before(100, data="ads", seconds=True)
    for first in (99, 50):
        with pytest.raises(
            LeakageError,
            match=r"must come from events before ads's first example at "
            r"1970-01-01 00:0\d:\d\d, got that of shop, 1970-01-01 00:00:00 to 1970-01-01 00:01:39",
        ):
            table.check_before(first, data="ads", seconds=True)
    with pytest.raises(LeakageError, match="must both have times"):
        table.check_before(100, data="ads", seconds=False)
    with pytest.raises(LeakageError, match="must both have times"):
        replace(table, window=Window(0, 9, False)).check_before(100, data="ads", seconds=True)
    assert issubclass(LeakageError, KnowledgeError)


def test_shuffled_knowledge_has_the_same_rows_in_another_order() -> None:
    before = knowledge()
    for coding in ("float32", "int8"):
        table = before.coded(coding)
        after = table.shuffled(3)
        assert torch.equal(after.tables["item"].values, table.shuffled(3).tables["item"].values)
        for name in ("user", "item"):
            rows, shuffled_rows = table.tables[name].decoded(), after.tables[name].decoded()
            assert (shuffled_rows[:2] == 0).all()
            assert not torch.equal(rows, shuffled_rows)
            assert torch.equal(rows.sort(0).values, shuffled_rows.sort(0).values)


def test_a_version_depends_on_every_bit_of_the_weights() -> None:
    weights = {"a": torch.randn(3), "b": torch.zeros((), dtype=torch.int64)}
    version = version_of(weights, ("click",))
    assert len(version) == 12
    assert version == version_of(dict(reversed(weights.items())), ("click",))
    assert version != version_of(weights, ("click", "kept"))
    weights["a"] = torch.nextafter(weights["a"], torch.tensor(9.0))
    assert version != version_of(weights, ("click",))
