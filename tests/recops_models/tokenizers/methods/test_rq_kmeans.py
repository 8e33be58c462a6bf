"""Residual k-means: quality, resets of empty codes, repeatability, files and metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from callback_doubles import OnAdvance
from recops.files import CorruptFileError
from recops_models.tokenizers import RQKMeans, Sids, load_sids, save_sids, sid_metrics


def clusters(num: int = 600, centers: int = 16, dim: int = 12, spread: float = 0.1) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    middle = torch.randn(centers, dim, generator=generator)
    chosen = torch.arange(num) % centers
    return middle[chosen] + spread * torch.randn(num, dim, generator=generator)


def fit(vectors: Tensor, levels: int = 3, codes: int = 16, **options: int) -> RQKMeans:
    return RQKMeans(levels, codes).fit(vectors, torch.arange(len(vectors)), **options)


def test_one_level_has_a_similar_error_to_scikit_learn() -> None:
    vectors = clusters(spread=0.6)
    tokenizer = fit(vectors, levels=1, codes=32)
    error = float(((vectors - tokenizer.decode(tokenizer.encode(vectors))) ** 2).sum())
    reference = KMeans(32, n_init=1, random_state=0).fit(vectors.numpy()).inertia_
    assert error < 1.08 * reference


def test_separate_clusters_get_separate_codes() -> None:
    codes = fit(clusters(spread=0.01), levels=1).encode(clusters(spread=0.01))[:, 0]
    for center in range(16):
        assert len(codes[center::16].unique()) == 1
    assert len(codes.unique()) == 16


def test_every_level_lowers_the_error_and_reports_progress() -> None:
    vectors = clusters(spread=0.6)
    seen: list[tuple[str, float, Mapping[str, float]]] = []
    tokenizer = RQKMeans(4, 8).fit(
        vectors, torch.arange(600), callbacks=OnAdvance(lambda *state: seen.append(state))
    )
    shares = [
        level["error_share"]
        for level in sid_metrics(tokenizer, vectors, tokenizer.encode(vectors))["levels"]
    ]
    assert shares == sorted(shares, reverse=True)
    assert tuple(dict.fromkeys(stage for stage, _, _ in seen)) == tokenizer.stages
    for stage in tokenizer.stages:
        errors = [metrics["error"] for at, _, metrics in seen if at == stage]
        assert errors == sorted(errors, reverse=True)
        shares = [share for at, share, _ in seen if at == stage]
        assert (shares[0], shares[-1]) == (0.0, 1.0)
        assert shares == sorted(shares)


def test_same_seed_same_bits_at_any_number_of_threads(set_threads: Callable[[int], None]) -> None:
    vectors = clusters(num=3000, spread=0.6)
    books = []
    for threads in (1, 2, 3):
        set_threads(threads)
        books.append(torch.stack(fit(vectors, codes=64, seed=5).codebooks))
    assert torch.equal(books[0], books[1])
    assert torch.equal(books[0], books[2])
    assert not torch.equal(books[0], torch.stack(fit(vectors, codes=64, seed=6).codebooks))


def test_empty_codes_are_reset() -> None:
    # Two clusters and a few outliers: a start with repeated points leaves codes empty.
    vectors = torch.cat([torch.zeros(500, 4), torch.ones(500, 4)])
    vectors[:6] = torch.arange(24.0).reshape(6, 4) * 10
    for seed in range(5):
        codes = fit(vectors, levels=1, codes=8, seed=seed).encode(vectors)
        assert len(codes.unique()) == 8


def test_fewer_different_vectors_than_codes_are_accepted() -> None:
    vectors = torch.eye(4).repeat(10, 1)
    tokenizer = fit(vectors, levels=2, codes=16)
    codes = tokenizer.encode(vectors)
    assert torch.equal(tokenizer.decode(codes), vectors)
    assert len(torch.unique(codes, dim=0)) == 4


def test_levels_may_differ_in_size(tmp_path: Path) -> None:
    vectors = clusters()
    tokenizer = RQKMeans(3, (4, 8, 16)).fit(vectors, torch.arange(600))
    assert tokenizer.vocab_sizes == (4, 8, 16)
    tokenizer.save(tmp_path / "t.safetensors")
    again = RQKMeans.load(tmp_path / "t.safetensors")
    assert again.config() == tokenizer.config()
    assert torch.equal(again.encode(vectors), tokenizer.encode(vectors))


def test_fewer_items_than_codes_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"10 items cannot fill 16 codes; use fewer codes"):
        fit(torch.randn(10, 4))


@pytest.mark.parametrize(
    ("vectors", "ids", "message"),
    [
        (torch.full((20, 3), torch.nan), 20, "vector 0 is not finite"),
        (torch.zeros(20), 20, r"must be floats \[N, D\]"),
        (torch.zeros(20, 3, dtype=torch.int64), 20, r"got torch.int64 \[20, 3\]"),
        (torch.zeros(20, 3), 19, r"item_ids must be \[20\], one per vector, got \[19\]"),
    ],
)
def test_invalid_vectors_are_an_error(vectors: Tensor, ids: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RQKMeans(2, 4).fit(vectors, torch.arange(ids))


@pytest.mark.parametrize(("levels", "codes"), [(0, 4), (2, 0), (2, (4,))])
def test_invalid_sizes_are_an_error(levels: int, codes: int) -> None:
    with pytest.raises(ValueError, match="codes must be a number of at least 1, or"):
        RQKMeans(levels, codes)


def test_use_before_fit_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="call fit or load first"):
        RQKMeans(2, 4).encode(torch.zeros(1, 3))


def test_a_flipped_bit_is_an_error(tmp_path: Path) -> None:
    vectors = clusters()
    tokenizer = fit(vectors)
    tokenizer.save(tmp_path / "tokenizer.safetensors")
    save_sids(tmp_path / "sids.parquet", Sids(np.arange(600), tokenizer.encode(vectors).numpy()))
    for name, load in (("tokenizer.safetensors", RQKMeans.load), ("sids.parquet", load_sids)):
        content = bytearray((tmp_path / name).read_bytes())
        content[len(content) // 2] ^= 4
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CorruptFileError, match=name):
            load(tmp_path / name)


def test_files_keep_ids_above_two_to_the_53(tmp_path: Path) -> None:
    ids = np.array([3, 2**53 + 1, 2**63 - 1])
    codes = np.array([[0, 1], [2, 3], [2, 3]], dtype=np.int32)
    save_sids(tmp_path / "sids.parquet", Sids(ids, codes))
    again = load_sids(tmp_path / "sids.parquet")
    assert np.array_equal(again.item_ids, ids)
    assert np.array_equal(again.codes, codes)
    assert again.codes.dtype == np.int32


def test_metrics_of_a_small_example() -> None:
    tokenizer = RQKMeans(2, 2)
    tokenizer.codebooks = [torch.tensor([[0.0], [4.0]]), torch.tensor([[0.0], [1.0]])]
    vectors = torch.tensor([[0.0], [1.0], [4.0], [4.0]])
    codes = tokenizer.encode(vectors)
    assert codes.tolist() == [[0, 0], [0, 1], [1, 0], [1, 0]]
    metrics = sid_metrics(tokenizer, vectors, codes)
    assert (metrics["items"], metrics["unique_sids"]) == (4, 3)
    assert metrics["collision_rate"] == 0.5
    assert metrics["error_share"] == 0.0
    first, second = metrics["levels"]
    assert (first["usage"], first["active"]) == ([2, 2], 2)
    assert first["perplexity"] == pytest.approx(2.0)
    assert first["error_share"] == pytest.approx(1 / 12.75)
    assert second["usage"] == [3, 1]
