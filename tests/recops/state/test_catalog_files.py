"""Files of tries and catalogues: atomic saves, and errors for any flipped bit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import recops
from catalogue_calls import Items, assert_holds, change
from recops.files import CorruptFileError, load_tensors, save_tensors


def some_catalogue(calls: int = 20) -> tuple[recops.SidCatalog, Items]:
    generator = np.random.default_rng(calls)
    catalog = recops.SidCatalog([5, 3, 70])
    items: Items = {}
    for _ in range(calls):
        change(catalog, items, generator)
    return catalog, items


@pytest.mark.parametrize("calls", [0, 1, 20])
def test_a_loaded_catalogue_is_equal_and_accepts_changes(tmp_path: Path, calls: int) -> None:
    path = tmp_path / "catalogue.safetensors"
    catalog, items = some_catalogue(calls)
    catalog.save(path)
    loaded = recops.SidCatalog.load(path, history=2)
    assert loaded.version == catalog.version
    assert (loaded.vocab_sizes, loaded.history) == ((5, 3, 70), 2)
    assert_holds(loaded, items)
    for _ in range(5):
        change(loaded, items, np.random.default_rng(1))
    assert_holds(loaded, items)


def test_a_loaded_catalogue_continues_after_the_newest_version(tmp_path: Path) -> None:
    catalog, _ = some_catalogue()
    newest = catalog.version
    catalog.rollback(newest - 2)
    catalog.save(tmp_path / "catalogue.safetensors")
    loaded = recops.SidCatalog.load(tmp_path / "catalogue.safetensors")
    assert loaded.version == newest - 2
    loaded.insert([1000], [[0, 0, 0]])
    assert loaded.version == newest + 1


@pytest.mark.parametrize("kind", [recops.SidCatalog, recops.SidTrie])
def test_every_flipped_bit_and_every_truncation_is_refused(tmp_path: Path, kind: type) -> None:
    path = tmp_path / "file.safetensors"
    catalog = recops.SidCatalog([3, 2])
    catalog.insert([4, 7], [[0, 1], [2, 1]])
    (catalog if kind is recops.SidCatalog else catalog.snapshot()).save(path)
    data = path.read_bytes()
    with path.open("r+b", buffering=0) as file:
        for position in range(8 * len(data)):
            byte = data[position // 8]
            file.seek(position // 8)
            file.write(bytes([byte ^ 1 << position % 8]))
            with pytest.raises(CorruptFileError):
                kind.load(path)
            file.seek(position // 8)
            file.write(bytes([byte]))
    kind.load(path)
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with pytest.raises(CorruptFileError):
            kind.load(path)
    path.write_bytes(data + b"\0")
    with pytest.raises(CorruptFileError):
        kind.load(path)


@pytest.mark.parametrize(
    ("kind", "name"), [(recops.SidCatalog, "sid_catalog"), (recops.SidTrie, "sid_trie")]
)
def test_files_of_another_format_or_kind_are_refused(tmp_path: Path, kind: type, name: str) -> None:
    path = tmp_path / "file.safetensors"
    catalog, _ = some_catalogue()
    (catalog if kind is recops.SidCatalog else catalog.snapshot()).save(path)
    tensors, meta = load_tensors(path, kind=name)
    save_tensors(path, tensors, kind=name, version=2, meta=meta)
    with pytest.raises(CorruptFileError, match=f"{name} format 2, but this version reads up to 1"):
        kind.load(path)
    save_tensors(path, tensors, kind="codebooks", meta=meta)
    with pytest.raises(CorruptFileError, match=f"holds 'codebooks', not '{name}'"):
        kind.load(path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"vocab_sizes": [5, 3]}, "first_child must make a trie of depth 2"),
        ({"vocab_sizes": [5, 3, 2]}, "tokens must be from 0 to 1 at level 2"),
        ({"version": -1}, "version must be from 0"),
        ({"version": 21}, "from 0 to the last version"),
        ({"version": "new"}, "holds no catalogue"),
        ({"last_version": None}, "holds no catalogue"),
    ],
)
def test_sealed_files_without_a_catalogue_are_refused(
    tmp_path: Path, wrong: dict[str, object], message: str
) -> None:
    path = tmp_path / "catalogue.safetensors"
    some_catalogue()[0].save(path)
    tensors, meta = load_tensors(path, kind="sid_catalog")
    save_tensors(path, tensors, kind="sid_catalog", meta={**meta, **wrong})
    with pytest.raises(CorruptFileError, match=message):
        recops.SidCatalog.load(path)
    without = {name: tensor for name, tensor in tensors.items() if name != "id_order"}
    save_tensors(path, without, kind="sid_catalog", meta=meta)
    with pytest.raises(CorruptFileError, match="holds no catalogue"):
        recops.SidCatalog.load(path)


KILL_SAVES = """
import os, random, signal, sys, time
import numpy as np
import recops

path, rounds = sys.argv[1], int(sys.argv[2])
catalogs = []
for items in (3, 4000):
    catalogs.append(recops.SidCatalog([64, 64, 64]))
    catalogs[-1].insert(np.arange(items), np.random.default_rng(0).integers(0, 64, (items, 3)))
started = time.monotonic()
for catalog in catalogs:
    catalog.save(path)
both = time.monotonic() - started
random.seed(0)
found = set()
for place in range(rounds):
    child = os.fork()
    if child == 0:
        while True:
            for catalog in catalogs:
                catalog.save(path)
    # Some children get more time, since they may be slower than the first saves.
    time.sleep(random.uniform(0, 2 * both * (1 + place % 40 / 10)))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found.add(len(recops.SidCatalog.load(path)))
assert found == {3, 4000}, found
"""


@pytest.mark.parametrize(
    "rounds",
    [pytest.param(40, marks=pytest.mark.slow), pytest.param(1000, marks=pytest.mark.full)],
)
def test_a_killed_save_leaves_a_complete_file(tmp_path: Path, rounds: int) -> None:
    path = tmp_path / "catalogue.safetensors"
    subprocess.run([sys.executable, "-c", KILL_SAVES, path, str(rounds)], check=True)
    recops.SidCatalog.load(path)
