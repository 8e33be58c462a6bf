"""Residual k-means under a capacity."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from callback_doubles import OnAdvance
from recops_evidence.experiments.balancing import metrics_of
from recops_evidence.experiments.exposed_items import synthetic_exposed_items
from recops_evidence.experiments.synthetic_items import synthetic_items
from recops_evidence.harness.experiment import Metrics
from recops_models import cli
from recops_models.tokenizers import RQKMeans, load_sids
from recops_models.tokenizers.methods.balanced_rq import BalancedRQ, BalancedSettings, capacity_of

pytestmark = pytest.mark.usefixtures("one_thread")


def items(num: int = 2000, dim: int = 8) -> tuple[Tensor, Tensor]:
    """Return vectors, a third of them in one cluster, and exposures by Zipf's law."""
    generator = torch.Generator().manual_seed(0)
    middle = torch.randn(20, dim, generator=generator)
    chosen = torch.randint(30, (num,), generator=generator).clamp(max=19)
    vectors = middle[chosen] + 0.5 * torch.randn(num, dim, generator=generator)
    rank = torch.randperm(num, generator=generator) + 1
    return vectors, 1000 * rank.float() ** -0.8


def loads(codes: Tensor, weights: Tensor, size: int) -> list[Tensor]:
    return [
        torch.bincount(codes[:, level].long(), weights.double(), minlength=size)
        for level in range(codes.shape[1])
    ]


def gini(load: Tensor) -> float:
    ordered = load.sort().values
    rank = torch.arange(1, len(load) + 1)
    return float(((2 * rank - len(load) - 1) * ordered).sum() / (len(load) * ordered.sum()))


def test_no_code_exceeds_its_capacity() -> None:
    vectors, exposure = items()
    ids = torch.arange(len(vectors))
    balanced = BalancedRQ(3, 32).fit(vectors, ids, weights=exposure)
    codes = balanced.encode(vectors, weights=exposure)
    clipped, capacity = capacity_of(exposure, 32, 1.05, 0.25)
    plain = RQKMeans(3, 32).fit(vectors, ids)
    nearest = plain.encode(vectors)
    pairs = zip(loads(codes, clipped, 32), loads(nearest, clipped, 32), strict=True)
    for load, nearest_load in pairs:
        assert float(load.max()) <= capacity * (1 + 1e-6)
        assert gini(load) < 0.3 * gini(nearest_load)

    def error(tokenizer: RQKMeans, codes: Tensor) -> float:
        return float((vectors - tokenizer.decode(codes)).square().sum())

    assert error(balanced, codes) < 1.15 * error(plain, nearest)


@pytest.mark.slow
def test_a_large_catalogue_is_balanced_with_a_small_increase_of_the_error() -> None:
    """20,000 items with Zipf exposures, three levels of 32 codes, as in the paper."""
    items = synthetic_exposed_items(0)
    ids = torch.arange(len(items.vectors))

    def measured(tokenizer: RQKMeans) -> Metrics:
        tokenizer.fit(items.vectors, ids, weights=items.exposure, seed=0)
        codes = tokenizer.encode(items.vectors, weights=items.exposure)
        return metrics_of(tokenizer, items, codes)

    def less(metric: str, than: Metrics, of: Metrics) -> float:
        now, before = of[metric], than[metric]
        assert now is not None
        assert before is not None
        return 1 - now / before

    plain = measured(RQKMeans(3, 32))
    tight = measured(BalancedRQ(3, 32, BalancedSettings(slack=1.05, clip=0.25)))
    loose = measured(BalancedRQ(3, 32, BalancedSettings(slack=1.2, clip=0.25)))
    assert tight["over_capacity"] == 0
    assert min(less(f"gini@{level}", plain, tight) for level in range(3)) >= 0.7
    assert less("prefixes@1%", plain, tight) > 0.2
    assert -0.05 < less("nmse", plain, tight) < -0.005  # the error increases by at most 5 %
    assert less("nmse", plain, loose) > -0.01


def test_without_weights_codes_have_equal_numbers_of_items() -> None:
    vectors, _ = items()
    ones = torch.ones(len(vectors))
    tokenizer = BalancedRQ(2, 32).fit(vectors, torch.arange(len(vectors)))
    for load in loads(tokenizer.encode(vectors, weights=ones), ones, 32):
        assert float(load.max()) <= 1.05 * 2000 / 32
    assert max(float(load.max()) for load in loads(tokenizer.encode(vectors), ones, 32)) > 66


def test_refit_respects_the_capacity_of_the_new_catalogue() -> None:
    vectors, exposure = items()
    tokenizer = BalancedRQ(2, 16).fit(vectors[:1000], torch.arange(1000), weights=exposure[:1000])
    first = tokenizer.codebooks[0]
    tokenizer.refit(vectors, torch.arange(2000), keep_levels=1, weights=exposure)
    assert torch.equal(tokenizer.codebooks[0], first)
    clipped, capacity = capacity_of(exposure, 16, 1.05, 0.25)
    for load in loads(tokenizer.encode(vectors, weights=exposure), clipped, 16):
        assert float(load.max()) <= capacity * (1 + 1e-6)


def test_k_means_continues_after_an_increase_of_the_error() -> None:
    vectors = torch.from_numpy(synthetic_items(0, items=4000, dim=32, pairs_per_item=1).vectors)
    _, exposure = items(4000)
    errors = {}
    for patience in (1, 10):
        history: dict[str, list[float]] = {}
        BalancedRQ(2, 32, BalancedSettings(patience=patience)).fit(
            vectors,
            torch.arange(len(vectors)),
            weights=exposure,
            callbacks=OnAdvance(
                lambda stage, _, metrics, history=history: history.setdefault(stage, []).append(
                    metrics["error"]
                )
            ),
        )
        errors[patience] = history
    for patient in errors[10].values():
        assert patient != sorted(patient, reverse=True)
        assert patient[-1] == min(patient)
    assert errors[10]["level 0"][-1] < 0.98 * errors[1]["level 0"][-1]


def test_capacities_of_small_examples() -> None:
    weights = torch.tensor([20.0, 1.0, 1.0, 2.0, 0.0])
    clipped, capacity = capacity_of(weights, 2, slack=1.5, clip=0.5)
    bound = 0.5 * 1.5 * 4 / (2 - 0.75)  # b = ρ τ (b + 1 + 1 + 2) / 2
    assert clipped.tolist() == pytest.approx([bound, 1.0, 1.0, 2.0, 0.0])
    assert capacity == pytest.approx(2 * bound)
    clipped, capacity = capacity_of(weights, 2, slack=1.5, clip=0.25)
    assert clipped.tolist() == [1.0, 1.0, 1.0, 1.0, 0.0]  # four items are too few for ρ
    assert capacity == pytest.approx(3.0)
    clipped, capacity = capacity_of(weights, 2, slack=1.5, clip=0.0)
    assert clipped.tolist() == weights.tolist()
    assert capacity == pytest.approx(18.0)
    _, capacity = capacity_of(torch.ones(5), 2, slack=1.05, clip=0.0)
    assert capacity == pytest.approx(3.0)  # 2.625 would hold only four of the five


def test_an_item_above_the_capacity_is_an_error_unless_clipped() -> None:
    vectors, _ = items(200)
    weights = torch.ones(200)
    weights[7] = 1000.0
    ids = torch.arange(200)
    with pytest.raises(ValueError, match=r"level 0 cannot hold items of these weights.*less clip"):
        BalancedRQ(2, 8, BalancedSettings(clip=0.0)).fit(vectors, ids, weights=weights)
    BalancedRQ(2, 8).fit(vectors, ids, weights=weights)


def test_items_without_exposure_do_not_count() -> None:
    vectors, exposure = items(400)
    exposure[200:] = 0
    tokenizer = BalancedRQ(1, 8).fit(vectors, torch.arange(400), weights=exposure)
    codes = tokenizer.encode(vectors, weights=exposure)
    assert torch.equal(codes[200:], tokenizer.encode(vectors[200:]))
    with pytest.raises(ValueError, match="weights must have a positive entry"):
        BalancedRQ(1, 8).fit(vectors, torch.arange(400), weights=torch.zeros(400))


def test_equal_items_are_spread_over_equal_codewords() -> None:
    vectors, ones = torch.full((20, 3), 2.5), torch.ones(20)
    tokenizer = BalancedRQ(2, 8).fit(vectors, torch.arange(20))
    codes = tokenizer.encode(vectors, weights=ones)
    assert max(float(load.max()) for load in loads(codes, ones, 8)) <= 3
    assert torch.equal(tokenizer.decode(codes), vectors)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"slack": 0.9}, "slack must be 1 or more"),
        ({"clip": -1.0}, "clip must be 0 or more"),
        ({"batch": 5}, "batch must be 0"),
        ({"slack": float("nan")}, "slack must be 1 or more"),
        ({"patience": 0}, "patience must be 1 or more"),
    ],
)
def test_invalid_settings_are_an_error(setting: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        BalancedSettings(**setting)  # type: ignore[arg-type]


def test_the_command_balances_by_training_events_or_by_items(
    atomic_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    cli.run(["data", "import", "recbole", str(atomic_files), "--out", str(data)])
    arguments = ["tokenize", "--data", str(data), "--method", "balanced-rq", "--codes", "8"]
    codes = {}
    for weights in ("exposure", "items"):
        out = tmp_path / weights
        assert cli.run([*arguments, "--weights", weights, "--out", str(out)]) == 0
        codes[weights] = load_sids(out / "sids.parquet").codes
    for level in range(3):
        counts = np.bincount(codes["items"][:, level], minlength=8)
        assert counts.max() <= 12  # ⌈90 / 8⌉, above 1.05 · 90 / 8
    assert not np.array_equal(codes["items"], codes["exposure"])
    capsys.readouterr()
    arguments = ["tokenize", "--vectors", "v.npy", "--weights", "exposure", "--out", "x"]
    assert cli.run(arguments) == 2
    assert "--weights exposure counts training events" in capsys.readouterr().err
