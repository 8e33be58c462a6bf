"""Residual k-means by cosine, and in groups of dimensions."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

import recops
from callback_doubles import Interrupt, OnAdvance
from recops_models import cli
from recops_models.item_vectors.vector_file import VectorFile
from recops_models.tokenizers import Tokenizer, diagnose, load_tokenizer, make_tokenizer
from recops_models.tokenizers.methods.balanced_rq import BalancedRQ, BalancedSettings, capacity_of
from recops_models.tokenizers.methods.rq_kmeans import RQKMeans, RQKMeansSettings

pytestmark = pytest.mark.usefixtures("one_thread")

COSINE, GROUPS = {"metric": "cosine"}, {"groups": "2"}
variants = pytest.mark.parametrize("settings", [COSINE, GROUPS, {**COSINE, **GROUPS}])


def items(num: int = 400, dim: int = 12) -> Tensor:
    """Return vectors with clustered directions and lengths over three orders of magnitude."""
    generator = torch.Generator().manual_seed(0)
    middle = torch.randn(15, dim, generator=generator)
    vectors = middle[torch.arange(num) % 15] + 0.2 * torch.randn(num, dim, generator=generator)
    return vectors * 10 ** (3 * torch.rand(num, 1, generator=generator) - 2)


def fit(settings: dict[str, str], method: str = "rq-kmeans", **options: object) -> Tokenizer:
    vectors = items()
    tokenizer = make_tokenizer(method, 4, 16, settings)
    return tokenizer.fit(vectors, torch.arange(len(vectors)), **options)  # type: ignore[arg-type]


def books(tokenizer: Tokenizer) -> list[Tensor]:
    assert isinstance(tokenizer, RQKMeans)
    return list(tokenizer.codebooks)


@variants
@pytest.mark.parametrize("method", ["rq-kmeans", "balanced-rq"])
def test_each_level_lowers_the_error_and_loading_restores_it(
    method: str, settings: dict[str, str], tmp_path: Path
) -> None:
    vectors, tokenizer = items(), fit(settings, method)
    codes = tokenizer.encode(vectors)
    assert codes.shape == (400, 4)
    errors = [
        float((vectors - tokenizer.decode(codes.where(torch.arange(4) <= level, -1))).norm())
        for level in range(4)
    ]
    assert sorted(errors, reverse=True) == errors
    tokenizer.save(tmp_path / "t.safetensors")
    again = load_tokenizer(tmp_path / "t.safetensors")
    assert again.config() == tokenizer.config()
    assert torch.equal(again.encode(vectors), codes)


@variants
def test_a_resumed_fit_equals_an_uninterrupted_one(
    settings: dict[str, str], tmp_path: Path, set_threads: Callable[[int], None]
) -> None:
    uninterrupted = books(fit(settings, seed=3))

    set_threads(3)
    with pytest.raises(KeyboardInterrupt):
        fit(settings, seed=3, folder=tmp_path, callbacks=Interrupt("level 2", after=0))
    again = books(fit(settings, seed=3, folder=tmp_path, resume=True))
    assert all(torch.equal(one, other) for one, other in zip(again, uninterrupted, strict=True))


@variants
@pytest.mark.parametrize("keep", [1, 3])
def test_refit_keeps_the_first_levels(settings: dict[str, str], keep: int) -> None:
    tokenizer = fit(settings)
    before = books(tokenizer)
    tokenizer.refit(items() + 0.5, torch.arange(400), keep_levels=keep, seed=1)
    same = [torch.equal(a, b) for a, b in zip(books(tokenizer), before, strict=True)]
    assert same == [True] * keep + [False] * (4 - keep)


@variants
def test_codebooks_of_a_file_equal_those_of_memory(
    settings: dict[str, str], tmp_path: Path
) -> None:
    vectors = items()
    lists = pa.FixedSizeListArray.from_arrays(vectors.numpy().ravel(), vectors.shape[1])
    table = pa.table({"item_id": np.arange(len(vectors)), "v": lists})
    pa.parquet.write_table(table, tmp_path / "v.parquet", row_group_size=150)
    streamed = make_tokenizer("rq-kmeans", 4, 16, settings)
    assert isinstance(streamed, RQKMeans)
    streamed.fit_file(VectorFile(tmp_path / "v.parquet"))
    for book, expected in zip(streamed.codebooks, books(fit(settings)), strict=True):
        torch.testing.assert_close(book, expected, rtol=1e-4, atol=1e-5)


def test_codes_do_not_depend_on_the_length_of_vectors() -> None:
    vectors, tokenizer = items(), fit({**COSINE, "iterations": "5"})
    first = tokenizer.encode(vectors)[:, 0]
    assert torch.equal(tokenizer.encode(vectors * 64)[:, 0], first)
    cosines = normalize(vectors) @ normalize(books(tokenizer)[0]).T
    assert (cosines.gather(1, first.long()[:, None])[:, 0] >= cosines.amax(1) - 1e-5).all()


def test_spherical_k_means_lowers_the_error_and_finds_the_clusters() -> None:
    errors: list[float] = []
    tokenizer = RQKMeans(1, 15, RQKMeansSettings(metric="cosine", tolerance=0.0))
    vectors = items()
    show = OnAdvance(lambda stage, share, metrics: errors.append(metrics["error"]))
    tokenizer.fit(vectors, torch.arange(400), callbacks=show)
    assert all(later <= earlier * (1 + 1e-6) for earlier, later in pairwise(errors))
    codes = tokenizer.encode(vectors)[:, 0]
    pure = sum(len(codes[cluster::15].unique()) == 1 for cluster in range(15))
    assert pure >= 12
    by_distance = RQKMeans(1, 15).fit(vectors, torch.arange(400)).encode(vectors)[:, 0]
    assert pure > sum(len(by_distance[cluster::15].unique()) == 1 for cluster in range(15))


def test_codewords_are_the_means_of_their_points() -> None:
    vectors = normalize(items())
    settings = RQKMeansSettings(metric="cosine", iterations=100, tolerance=0.0)
    tokenizer = RQKMeans(1, 8, settings).fit(vectors, torch.arange(400))
    codes = tokenizer.encode(vectors)[:, 0]
    sums, counts = recops.accumulate_codes(vectors, codes, 8)
    torch.testing.assert_close(tokenizer.codebooks[0], sums / counts[:, None])


def test_drq_supports_cosine() -> None:
    small = {"hidden": "16", "steps": "20", "width": "8", "metric": "cosine"}
    tokenizer = fit(small, "drq-vae")
    latents = tokenizer.latents(items())  # type: ignore[attr-defined]
    expected, _ = recops.rq_encode(latents, tokenizer.codebooks, metric="cosine")  # type: ignore[attr-defined]
    assert torch.equal(tokenizer.encode(items()), expected)


@pytest.mark.parametrize("settings", [COSINE, {**COSINE, **GROUPS}])
def test_equal_and_zero_vectors_by_cosine(settings: dict[str, str]) -> None:
    for vectors in (torch.full((40, 4), 2.5), torch.zeros(40, 4)):
        tokenizer = make_tokenizer("rq-kmeans", 2, 8, settings).fit(vectors, torch.arange(40))
        codes = tokenizer.encode(vectors)
        assert len(codes.unique(dim=0)) == 1
        torch.testing.assert_close(tokenizer.decode(codes), vectors)


def test_the_diagnosis_uses_the_metric() -> None:
    vectors, tokenizer = items(), fit(COSINE)
    diagnosis = diagnose(tokenizer.encode(vectors), tokenizer, vectors=vectors)
    assert diagnosis["greedy_share"] == 1.0
    assert "cosine" in diagnosis["missing"]["flips"]
    assert diagnosis["levels"][0]["noise"]


def test_levels_of_a_group_depend_only_on_their_dimensions() -> None:
    vectors, tokenizer = items(), fit(GROUPS)
    for level, book in enumerate(books(tokenizer)):
        other = slice(6, 12) if level < 2 else slice(0, 6)
        assert not book[:, other].any()
        assert book[:, [0, 6][level // 2]].any()
    first = RQKMeans(2, 16).fit(vectors[:, :6].contiguous(), torch.arange(400))
    for book, expected in zip(books(tokenizer), first.codebooks, strict=False):
        assert torch.equal(book[:, :6], expected)
    codes = tokenizer.encode(vectors)
    assert torch.equal(codes[:, :2], first.encode(vectors[:, :6]))
    greedy, _ = recops.rq_encode(vectors, books(tokenizer))
    assert (greedy == codes).double().mean() > 0.999
    diagnosis = diagnose(codes, tokenizer, vectors=vectors)
    assert diagnosis["greedy_share"] > 0.999
    assert diagnosis["flips"]


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_balanced_groups_respect_the_capacity(metric: str) -> None:
    vectors, weights = items(), torch.rand(400)
    settings = BalancedSettings(groups=2, metric=metric)  # type: ignore[arg-type]
    tokenizer = BalancedRQ(4, 8, settings).fit(vectors, torch.arange(400), weights=weights)
    codes = tokenizer.encode(vectors, weights=weights)
    clipped, capacity = capacity_of(weights, 8, settings.slack, settings.clip)
    for level in range(4):
        load = torch.zeros(8).index_add(0, codes[:, level].long(), clipped)
        assert float(load.max()) <= capacity * (1 + 1e-6)


def test_invalid_groups_are_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="levels must be a multiple of groups 2, got 3"):
        make_tokenizer("rq-kmeans", 3, 8, GROUPS)
    with pytest.raises(ValueError, match="groups must be 1 or more, got 0"):
        make_tokenizer("rq-kmeans", 3, 8, {"groups": "0"})
    with pytest.raises(ValueError, match="metric must be one of l2, cosine, got 'dot'"):
        make_tokenizer("rq-kmeans", 3, 8, {"metric": "dot"})
    with pytest.raises(ValueError, match="must be a multiple of groups 5, got 12"):
        make_tokenizer("rq-kmeans", 5, 8, {"groups": "5"}).fit(items(), torch.arange(400))
    np.save(tmp_path / "v.npy", items().numpy())
    arguments = ["tokenize", "--vectors", f"{tmp_path}/v.npy", "--codes", "8"]
    arguments += ["--set", "groups=2", "--out", f"{tmp_path}/out"]
    assert cli.run(arguments) == 2
    assert "must be a multiple of groups" in capsys.readouterr().err
    assert cli.run([*arguments, "--levels", "4", "--set", "metric=cosine"]) == 0
    assert cli.run(["diagnose", f"{tmp_path}/out"]) == 0
