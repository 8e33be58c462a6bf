"""Entropies of the steps of paths, for distributions with known entropy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recops_models.tokenizers.diagnosis import diagnose
from recops_models.tokenizers.diagnosis.page import render
from recops_models.tokenizers.diagnosis.step_entropy import (
    Ints,
    chain_entropies,
    step_entropies,
)

CODES = 64


def taxonomy(items: int, seed: int = 0) -> tuple[Ints, Ints]:
    """Return attributes ``[N, 3]`` with 8 · 8 · 6 leaves, and codes ``[N, 3]``.

    Each leaf allows four values per code.
    """
    rng, leaf_rng = np.random.default_rng(seed), np.random.default_rng(7)
    first = rng.integers(8, size=items)
    second = 8 * first + rng.integers(8, size=items)
    leaf = 6 * second + rng.integers(6, size=items)
    allowed = leaf_rng.integers(CODES, size=(3, 384, 4))
    codes = [level[leaf, rng.integers(4, size=items)] for level in allowed]
    return np.stack([first, second, leaf], 1), np.stack(codes, 1)


def test_estimators_agree_with_the_entropy_for_many_samples() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(4, size=40_000)
    second = 2 * first + rng.integers(2, size=40_000)
    one, two = step_entropies(np.stack([first, second], 1))
    for key in ("plug_in", "miller_madow", "held_out"):
        assert {**one}[key] == pytest.approx(2, abs=0.01)
        assert {**two}[key] == pytest.approx(1, abs=0.01)


def test_miller_madow_has_a_smaller_bias_than_plug_in_for_few_samples() -> None:
    rng = np.random.default_rng(1)
    estimates = [step_entropies(rng.integers(32, size=(60, 1)))[0] for _ in range(50)]
    plug_in = np.mean([each["plug_in"] for each in estimates])
    corrected = np.mean([each["miller_madow"] for each in estimates])
    assert plug_in < corrected < 5.05
    assert 5 - corrected < 0.4 * (5 - plug_in)


def test_finer_attributes_reduce_the_entropy_of_codes_more() -> None:
    attributes, codes = taxonomy(12_000)
    gains = [chain_entropies(codes, attributes[:, [level]], folds=2) for level in range(2)]
    for estimator in ("plug_in", "miller_madow", "held_out"):
        assert {**gains[0]["gain"]}[estimator] > 0.5
        assert {**gains[1]["gain"]}[estimator] > {**gains[0]["gain"]}[estimator] + 1


def test_shuffled_attributes_do_not_lower_the_held_out_entropy() -> None:
    attributes, codes = taxonomy(30_000)
    chain = chain_entropies(codes, attributes[:, [1]], folds=2)
    assert chain["shuffled_gain"]["plug_in"] > 0.6 * chain["gain"]["plug_in"]
    assert chain["gain"]["miller_madow"] > chain["shuffled_gain"]["miller_madow"] + 1
    assert chain["gain"]["held_out"] > 3
    assert chain["shuffled_gain"]["held_out"] <= 0


def test_held_out_entropy_is_an_upper_bound() -> None:
    _, codes = taxonomy(2_000)
    for step in step_entropies(codes):
        assert step["plug_in"] <= step["miller_madow"]
        assert step["plug_in"] < step["held_out"]
    assert all(step["held_out"] < np.log2(CODES) + 0.3 for step in step_entropies(codes))


def test_a_diagnosis_with_attributes_has_their_entropies_on_its_page() -> None:
    attributes, codes = taxonomy(300)
    diagnosis = diagnose(torch.from_numpy(codes), attributes=torch.from_numpy(attributes[:, :2]))
    assert diagnosis["chain"] == chain_entropies(codes, attributes[:, :2])
    page = render(diagnosis, codes.astype(np.int32), title="t", details={})
    assert "Entropy of codes given attributes" in page
    total = sum(step["held_out"] for step in diagnosis["chain"]["shuffled"])
    assert f"<td>{total:.2f}</td>" in page


@pytest.mark.parametrize(
    ("codes", "attributes", "folds", "message"),
    [
        (10, 9, 5, "chain_entropies: attributes must have 10 rows, one per item, got 9"),
        (4, 4, 5, "step_entropies: folds must be from 2 to the number of items 4, got 5"),
        (4, 4, 1, "step_entropies: folds must be from 2 to the number of items 4, got 1"),
    ],
)
def test_invalid_arguments_are_errors(
    codes: int, attributes: int, folds: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        chain_entropies(
            np.zeros((codes, 2), np.int64), np.zeros((attributes, 1), np.int64), folds=folds
        )


def test_invalid_attributes_are_an_error() -> None:
    codes = torch.zeros(6, 2, dtype=torch.int64)
    for bad in (torch.zeros(6, 1), codes[:, :0], codes[:2]):
        with pytest.raises(ValueError, match=r"diagnose: attributes must be integers \[6, m\]"):
            diagnose(codes, attributes=bad)
