"""SidCatalog and decoding in many threads: each result is correct for its version."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

import recops

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def tsan_driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("cmake") is None:
        pytest.skip("building the driver needs cmake")
    folder = tmp_path_factory.mktemp("tsan")
    options = ["-DCMAKE_CXX_FLAGS=-g -fsanitize=thread", "-DRECOPS_OPTIMIZATION=-O0", "-G", "Ninja"]
    configure = ["cmake", "-S", ROOT / "csrc/tests", "-B", folder, *options]
    subprocess.run(configure, check=True, stdout=subprocess.DEVNULL)
    build = ["cmake", "--build", folder, "--target", "catalog"]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    return folder / "catalog"


@pytest.mark.parametrize(
    "seconds",
    [pytest.param(3, marks=pytest.mark.slow), pytest.param(60, marks=pytest.mark.full)],
)
def test_thread_sanitizer_finds_no_race(tsan_driver: Path, seconds: int) -> None:
    """Eight threads decode while one inserts, removes and replaces items."""
    result = subprocess.run(
        [tsan_driver, str(seconds), "8"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


class RandomModel:
    """Model with equal logits for all beams of a level."""

    def __init__(self, levels: int, generator: torch.Generator) -> None:
        self.logits = list(torch.randn(levels, 64, generator=generator))

    def __call__(self, tokens: torch.Tensor | None, parents: torch.Tensor | None) -> torch.Tensor:
        width = 1 if tokens is None else tokens.shape[1]
        return self.logits.pop().expand(1, width, 64)


@pytest.mark.parametrize(
    ("seconds", "readers"),
    [pytest.param(5, 4, marks=pytest.mark.slow), pytest.param(60, 8, marks=pytest.mark.full)],
)
def test_python_threads_decode_while_the_catalogue_changes(seconds: int, readers: int) -> None:
    """The SID of item i at version v depends only on v and i, so each result can be checked."""
    size, levels, beams = 2000, 3, 20
    ids = np.arange(size)
    catalog = recops.SidCatalog([64] * levels, history=16)
    owner = {0: 0}  # version → version that defined its SIDs
    failures: list[str] = []
    decoded = [0] * readers
    result = threading.Event()

    def sids_of(version: int, items: np.ndarray) -> np.ndarray:
        mixed = (items[:, None] * 7919 + version * 104_729 + np.arange(levels) * 31) % 65_537
        return mixed * 40_503 % 65_537 % 64

    def write() -> None:
        generator = np.random.default_rng(0)
        newest = 0
        while not result.is_set():
            chance = generator.random()
            if chance < 0.2:
                catalog.rollback(int(generator.integers(max(0, newest - 16), newest + 1)))
            elif chance < 0.4 and catalog.version:
                newest += 1
                owner[newest] = 0
                catalog.remove(ids, missing_ok=True)
                if catalog.version != newest:  # there was nothing to remove
                    newest -= 1
            else:
                newest += 1
                owner[newest] = newest
                catalog.insert(ids, sids_of(newest, ids), replace=True)

    def read(reader: int) -> None:
        generator = torch.Generator().manual_seed(reader)
        while not result.is_set():
            trie = catalog.snapshot()
            model = RandomModel(levels, generator)
            actual = recops.constrained_beam_search(model, trie, batch_size=1, num_beams=beams)
            live = actual.item_ids[0] >= 0
            items, sids = actual.item_ids[0][live].numpy(), actual.sids[0][live].numpy()
            source = owner[trie.version]
            if (len(items) > 0) != (source > 0) or not np.array_equal(sids, sids_of(source, items)):
                failures.append(f"version {trie.version} decodes to what it does not hold")
            decoded[reader] += 1

    threads = [threading.Thread(target=read, args=(reader,)) for reader in range(len(decoded))]
    threads.append(threading.Thread(target=write))
    for thread in threads:
        thread.start()
    time.sleep(seconds)
    result.set()
    for thread in threads:
        thread.join()
    assert failures == []
    assert min(decoded) > 0
    assert len(owner) > 20
