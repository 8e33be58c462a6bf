"""Tokenizers with an encoder: the specific behaviour of each method."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from callback_doubles import OnAdvance
from recops_models import cli
from recops_models.tokenizers import Tokenizer, make_tokenizer
from recops_models.tokenizers.methods.autoencoder import Autoencoder, VectorMoments
from recops_models.tokenizers.methods.drq_vae import info_nce
from recops_models.tokenizers.methods.fsq import FSQ, grid_of
from recops_models.tokenizers.methods.item_task import ItemBatch, ItemTask, Partners
from recops_models.tokenizers.methods.rqp_vae import MovingCodebook

pytestmark = pytest.mark.usefixtures("one_thread")

NETWORK = {"hidden": "32", "batch": "128", "learning_rate": "1e-2"}


def items(num: int = 240, dim: int = 10, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    middle = torch.randn(12, dim, generator=generator)
    return middle[torch.arange(num) % 12] + 0.3 * torch.randn(num, dim, generator=generator)


def fit(
    method: str, vectors: Tensor, *, codes: int = 8, pairs: Tensor | None = None, **settings: str
) -> Tokenizer:
    width = {} if method == "fsq" else {"width": "8"}
    tokenizer = make_tokenizer(method, 2, codes, {**NETWORK, **width, "steps": "60", **settings})
    return tokenizer.fit(vectors, torch.arange(len(vectors)), pairs=pairs)


def weights(tokenizer: Tokenizer) -> dict[str, Tensor]:
    return {k: v for k, v in tokenizer._state().items() if k.startswith("network.")}


def test_stage_one_of_drq_does_not_depend_on_codebooks() -> None:
    one, two = (fit("drq-vae", items(), codebook_seed=seed) for seed in ("1", "2"))
    three = fit("drq-vae", items(), codes=16)
    for other in (two, three):
        assert all(torch.equal(value, weights(other)[k]) for k, value in weights(one).items())
    assert not torch.equal(one._state()["codebook_0"], two._state()["codebook_0"])
    again = fit("drq-vae", items(), codebook_seed="1")
    assert torch.equal(again._state()["codebook_0"], one._state()["codebook_0"])


def test_contrast_moves_paired_items_closer() -> None:
    vectors = torch.randn(240, 10)  # independent of the pairs
    first = torch.arange(120)
    pairs = torch.stack([first, first + 120], dim=1)

    def nearness(**settings: str) -> float:
        tokenizer = fit("drq-vae-cl", vectors, pairs=pairs, **settings)
        latents = torch.nn.functional.normalize(tokenizer.latents(vectors), dim=1)  # type: ignore[attr-defined]
        return float((latents[:120] * latents[120:]).sum(dim=1).mean())

    assert nearness(steps="80") > nearness(steps="80", contrast="0.001") + 0.3


def test_contrast_without_pairs_is_an_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for pairs in (None, torch.zeros(0, 2, dtype=torch.int64), torch.tensor([[3, 3], [1, 999]])):
        with pytest.raises(ValueError, match=r"DRQVAEContrast\.fit: contrast needs pairs of items"):
            fit("drq-vae-cl", items(), pairs=pairs)
    np.save(tmp_path / "v.npy", items().numpy())
    arguments = ["tokenize", "--vectors", f"{tmp_path}/v.npy", "--method", "drq-vae-cl"]
    assert cli.run([*arguments, "--out", f"{tmp_path}/out"]) == 2
    assert "give a data set (--data) or a file of pairs (--pairs)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_info_nce_of_a_small_example() -> None:
    anchor, partner = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0, 0.0], [3.0, 3.0]])
    near = math.sqrt(0.5)
    rows = [(1.0, near), (near, 0.0)]
    expected = sum(math.log(1 + math.exp((other - own) / 0.5)) for own, other in rows) / 2
    assert info_nce(anchor, partner, 0.5) == pytest.approx(expected, rel=1e-6)


def test_partners_are_drawn_in_both_directions_by_frequency() -> None:
    partners = Partners(torch.tensor([[0, 1], [0, 1], [0, 2], [3, 0]]), 5)
    rows = np.zeros(400, dtype=np.int64)
    drawn = partners.draw(rows, np.arange(400) / 400)
    assert np.bincount(drawn, minlength=5).tolist() == [0, 200, 100, 100, 0]
    assert partners.draw(np.arange(5), np.full(5, 0.999)).tolist() == [3, 0, 0, 0, -1]


def test_an_epoch_draws_all_items_before_repeating_any() -> None:
    task = ItemTask(torch.arange(10.0)[:, None], None, steps=5, batch=4)

    def batches(epoch: int, skip: int = 0) -> list[ItemBatch]:
        _, pairs = task.start_epoch(nn.Identity(), 4, seed=0, epoch=epoch, skip=skip)
        return [batch for _, batch in pairs]

    complete = batches(1)
    seen = torch.cat([batch.x for batch in complete])[:, 0]
    assert seen[:10].sort().values.tolist() == seen[10:].sort().values.tolist() == list(range(10))
    remaining = batches(1, 3)
    assert [b.x.tolist() for b in remaining] == [b.x.tolist() for b in complete[3:]]
    assert [b.x.tolist() for b in batches(2)] != [b.x.tolist() for b in complete]


def test_training_does_not_depend_on_scale_and_offset_of_vectors() -> None:
    vectors = items()
    codes = fit("drq-vae", vectors).encode(vectors)
    moved = vectors * 1024 + 4096
    tokenizer = fit("drq-vae", moved)
    assert (tokenizer.encode(moved) == codes).all(dim=1).float().mean() > 0.9
    error = (tokenizer.decode(tokenizer.encode(moved)) - moved).square().sum()
    assert error < 0.5 * (moved - moved.mean(dim=0)).square().sum()


def test_scale_of_equal_vectors_is_one() -> None:
    network = Autoencoder(VectorMoments.of(torch.full((4, 3), 7.0)), (4,), 2)
    assert network.scale == 1.0
    assert torch.equal(network.to_scale(torch.full((1, 3), 7.0)), torch.zeros(1, 3))


@pytest.mark.parametrize(
    ("method", "name", "value", "message"),
    [
        ("drq-vae", "width", "0", "≥ 1, got 0"),
        ("fsq", "steps", "0", "≥ 1, got 0"),
        ("fsq", "batch", "0", "≥ 1, got 0"),
        ("fsq", "hidden", "8,0", r"≥ 1, got \(8, 0\)"),
        ("fsq", "learning_rate", "-1", "≥ 0, got -1.0"),
        ("fsq", "weight_decay", "-1", "≥ 0, got -1.0"),
        ("drq-vae", "kl", "-1", "≥ 0, got -1.0"),
        ("drq-vae", "contrast", "-1", "≥ 0, got -1.0"),
        ("drq-vae", "codebook_seed", "-1", "≥ 0, got -1"),
        ("drq-vae-cl", "temperature", "0", "> 0, got 0.0"),
        ("rq-vae", "commitment", "-1", "≥ 0, got -1.0"),
        ("rqp-vae", "decay", "1", r"within \[0, 1\), got 1.0"),
        ("rqp-vae", "dead", "-1", "≥ 0, got -1.0"),
    ],
)
def test_settings_out_of_range_are_an_error(
    method: str, name: str, value: str, message: str
) -> None:
    with pytest.raises(ValueError, match=f"tokenizer: {name} must (be|lie) {message}"):
        make_tokenizer(method, settings={name: value})


def test_settings_accept_their_minimum() -> None:
    least = {"hidden": "", "learning_rate": "0", "weight_decay": "0"}
    for method, more in (
        ("drq-vae", {"kl": "0", "contrast": "0", "codebook_seed": "0"}),
        ("rqp-vae", {"commitment": "0", "decay": "0", "dead": "0"}),
    ):
        make_tokenizer(method, settings={**least, **more})


def active(tokenizer: Tokenizer, vectors: Tensor) -> int:
    return len(tokenizer.encode(vectors)[:, 0].unique())


def test_resets_keep_codes_in_use_that_rq_vae_loses() -> None:
    vectors = items()
    rq_vae = fit("rq-vae", vectors, codes=32, start="random")
    without_resets, with_resets = (
        fit("rqp-vae", vectors, codes=32, start="random", decay="0.8", dead=dead)
        for dead in ("0", "0.1")
    )
    assert max(active(rq_vae, vectors), active(without_resets, vectors)) < 16
    assert active(with_resets, vectors) > 24


def test_moving_codebook_of_a_small_example() -> None:
    moving = MovingCodebook(torch.tensor([[1.0, 0.0], [0.0, 1.0], [9.0, 9.0]]), share=2.0)
    residual = torch.tensor([[2.0, 0.0], [4.0, 0.0], [0.0, 3.0]])
    moving.update(residual, torch.tensor([0, 0, 1]), decay=0.5)
    assert moving.count.tolist() == [2.0, 1.5, 1.0]
    assert moving.total.tolist() == [[4.0, 0.0], [0.0, 2.5], [9.0, 9.0]]
    assert torch.allclose(moving.book, torch.tensor([[2.0, 0.0], [0.0, 2.5 / 1.5], [9.0, 9.0]]))
    alive = moving.book[:2].clone()
    moving.revive(residual, dead=1.2)  # 1.2 · 3 rows / 3 codes.
    assert torch.equal(moving.book[:2], alive)
    assert moving.book[2].tolist() in residual.tolist()
    assert moving.count[2] == 1.0
    assert torch.equal(moving.total[2], moving.book[2])


def test_moving_averages_start_from_the_actual_batch_size() -> None:
    one, other = (fit("rqp-vae", items(), steps="20", batch=batch) for batch in ("240", "960"))
    assert weights(one).keys() == weights(other).keys()
    for name, value in one._state().items():
        assert torch.equal(value, other._state()[name]), name


@pytest.mark.parametrize(
    ("codes", "grid"),
    [(1, (1,)), (2, (2,)), (4, (4,)), (24, (24,)), (25, (5, 5)), (64, (8, 8)), (256, (7, 6, 6))],
)
def test_grids_of_small_examples(codes: int, grid: tuple[int, ...]) -> None:
    assert grid_of(codes) == grid


@pytest.mark.parametrize("codes", range(1, 700, 7))
def test_grids_fit_and_are_stable(codes: int) -> None:
    grid = grid_of(codes)
    assert codes / 2 < math.prod(grid) <= codes
    assert max(grid) - min(grid) <= 1
    assert grid_of(math.prod(grid)) == grid


def test_fsq_codes_are_the_nearest_values_of_the_latents() -> None:
    tokenizer = FSQ(2, 30)  # 6 · 5 values per level
    assert tokenizer.vocab_sizes == (30, 30)
    latents = torch.atanh(torch.tensor([[-0.99, 0.1, 0.59, 0.99]]))
    codes = tokenizer._quantize(latents)
    assert codes.tolist() == [[0 * 5 + 2, 4 * 5 + 4]]
    values = torch.tensor([[-1.0, 0.0, 0.6, 1.0]])
    assert torch.allclose(tokenizer._dequantize(codes), values)
    half = tokenizer._dequantize(torch.tensor([[-1, 24]]))
    assert torch.allclose(half, torch.tensor([[0.0, 0.0, 0.6, 1.0]]))


def test_fsq_cannot_be_refitted() -> None:
    tokenizer = fit("fsq", items())
    with pytest.raises(ValueError, match=r"FSQ\.refit: FSQ has no codebooks to fit"):
        tokenizer.refit(items(), torch.arange(240))


def test_fsq_accepts_fewer_items_than_codes() -> None:
    vectors = items()[:5]
    assert fit("fsq", vectors, codes=64).encode(vectors).shape == (5, 2)


def test_progress_ends_with_the_objective_of_the_best_epoch() -> None:
    received: list[tuple[str, float, Mapping[str, float]]] = []
    tokenizer = make_tokenizer("fsq", 1, 8, {**NETWORK, "steps": "20"})
    tokenizer.fit(
        items(), torch.arange(240), callbacks=OnAdvance(lambda *state: received.append(state))
    )
    stage, share, metrics = received[-1]
    assert (stage, share) == ("network", 1.0)
    assert 0 < metrics["objective"] < received[0][2]["loss"]
