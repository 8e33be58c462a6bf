"""Fixtures with a small data set in RecBole's format, which need neither network nor cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recops_models.data import Dataset, load
from recops_models.data.importers.recbole import read_recbole
from recops_models.data.wheels import ML_100K

GENRES = ("Action", "Comedy", "Drama", "Horror", "Sci-Fi")


def write_atomic_files(
    folder: Path, *, users: int = 60, items: int = 90, events: int = 12, seed: int = 0
) -> Path:
    """Write atomic files of users who each prefer one genre.

    Each user has at least ``events`` events.
    """
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    genre = rng.integers(len(GENRES), size=items)
    lines = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    for user in range(1, users + 1):
        weight = np.where(genre == user % len(GENRES), 20.0, 1.0)
        count = events + int(rng.integers(8))
        sample = rng.choice(items, size=count, replace=False, p=weight / weight.sum())
        times = 880_000_000 + np.sort(rng.integers(10_000_000, size=count))
        lines += [
            f"{user}\t{item + 1}\t{1 + rng.integers(5)}\t{time}"
            for item, time in zip(sample, times, strict=True)
        ]
    (folder / "small.inter").write_text("\n".join(lines) + "\n")
    lines = ["item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"]
    lines += [
        f'{item + 1}\tThe {GENRES[genre[item]]} "{item}" Story\t{1990 + item % 9}\t'
        f"{GENRES[genre[item]]} {GENRES[(genre[item] + item) % len(GENRES)]}"
        for item in range(items)
    ]
    (folder / "small.item").write_text("\n".join(lines) + "\n")
    lines = ["user_id:token\tage:token\tgender:token"]
    lines += [f"{user}\t{20 + user % 40}\t{'FM'[user % 2]}" for user in range(1, users + 1)]
    (folder / "small.user").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def atomic_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small.inter, small.item and small.user."""
    return write_atomic_files(tmp_path_factory.mktemp("atomic"))


@pytest.fixture(scope="session")
def small(atomic_files: Path) -> Dataset:
    """The small data set: 60 users, 90 items, 12 to 19 events per user."""
    return read_recbole(atomic_files)


@pytest.fixture(scope="session")
def ml_100k() -> Dataset:
    """MovieLens 100K, if it is available locally; tests fetch nothing."""
    if not (ML_100K.local or ML_100K.cached.exists()):
        pytest.skip("ml-100k is not here: `recops data get ml-100k`, or set RECOPS_DATA")
    return load("ml-100k")
