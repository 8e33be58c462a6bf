"""SidTrie.save and load: atomic saves, and errors for damaged or other files."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest
import torch

import recops
from recops.files import CorruptFileError, save_tensors
from trie_inputs import catalogue


@pytest.fixture
def trie() -> recops.SidTrie:
    return catalogue(items=50, depth=3, vocab=9).trie


@pytest.mark.parametrize("vocab", [1, 9, 100_000])
@pytest.mark.parametrize("items", [0, 1, 50])
def test_a_loaded_trie_equals_the_saved_one(tmp_path: Path, vocab: int, items: int) -> None:
    trie = catalogue(items=items, depth=3, vocab=vocab).trie
    trie.save(tmp_path / "trie.safetensors")
    loaded = recops.SidTrie.load(tmp_path / "trie.safetensors")
    for field in dataclasses.fields(trie):
        actual, expected = getattr(loaded, field.name), getattr(trie, field.name)
        assert (
            torch.equal(actual, expected)
            if isinstance(actual, torch.Tensor)
            else actual == expected
        )
    assert loaded.version == trie.version


def test_every_flipped_bit_and_every_truncation_is_refused(
    tmp_path: Path, trie: recops.SidTrie
) -> None:
    path = tmp_path / "trie.safetensors"
    trie.save(path)
    data = path.read_bytes()
    random = torch.Generator().manual_seed(0)
    positions = torch.randint(0, 8 * len(data), (200,), generator=random).tolist()
    for position in positions:
        damaged = bytearray(data)
        damaged[position // 8] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.raises(CorruptFileError):
            recops.SidTrie.load(path)
    for length in [0, 1, 8, *(position // 8 for position in positions[:50])]:
        path.write_bytes(data[:length])
        with pytest.raises(CorruptFileError):
            recops.SidTrie.load(path)
    path.write_bytes(data)
    recops.SidTrie.load(path)


def test_foreign_files_are_refused(tmp_path: Path, trie: recops.SidTrie) -> None:
    path = tmp_path / "trie.safetensors"
    path.write_text("item_id,c0,c1\n1,2,3\n")
    with pytest.raises(CorruptFileError, match="not a recops file"):
        recops.SidTrie.load(path)
    save_tensors(path, {"tokens": trie.tokens}, kind="codebooks")
    with pytest.raises(CorruptFileError, match="holds 'codebooks', not 'sid_trie'"):
        recops.SidTrie.load(path)
    save_tensors(path, {"tokens": trie.tokens}, kind="sid_trie", meta={"vocab_sizes": [9] * 3})
    with pytest.raises(CorruptFileError, match="holds no trie"):
        recops.SidTrie.load(path)
    with pytest.raises(FileNotFoundError):
        recops.SidTrie.load(tmp_path / "none")


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_failed_save_leaves_the_old_file(
    tmp_path: Path, trie: recops.SidTrie, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "trie.safetensors"
    trie.save(path)
    before = path.read_bytes()

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(*((os, "fsync") if call == "fsync" else (Path, "replace")), full)
        with pytest.raises(OSError, match="No space left"):
            catalogue(items=99, depth=2, vocab=5).trie.save(path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def damage(trie: recops.SidTrie, name: str) -> recops.SidTrie:
    values = getattr(trie, name).clone()
    match name:
        case "first_child":
            values[5] = values[-1] + 7
        case "tokens":
            values = values.to(torch.int32)
            values[1], values[2] = values[2].item(), values[1].item()
            values = values.to(torch.uint16)
        case _:
            values[3] = values[4]
    return dataclasses.replace(trie, **{name: values})


@pytest.mark.parametrize("name", ["first_child", "tokens", "item_rows", "id_order", "item_ids"])
def test_sealed_files_without_a_trie_are_refused(
    tmp_path: Path, trie: recops.SidTrie, name: str
) -> None:
    wrong = damage(trie, name)
    named = "id_order" if name == "item_ids" else name
    with pytest.raises(ValueError, match=f"SidTrie.validate: {named} "):
        wrong.validate()
    wrong.save(tmp_path / "trie.safetensors")
    with pytest.raises(CorruptFileError, match="holds no trie"):
        recops.SidTrie.load(tmp_path / "trie.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocab_sizes": (9, 9)}, "first_child must make a trie of depth 2"),
        ({"vocab_sizes": (9, 9, 2)}, "tokens must be from 0 to 1 at level 2"),
    ],
)
def test_validate_names_the_error(
    trie: recops.SidTrie, change: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=f"SidTrie.validate: {message}"):
        dataclasses.replace(trie, **change).validate()
