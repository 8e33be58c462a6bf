"""Entropies of a path's steps, on laws whose entropies are known."""

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
    """Attributes of three levels, 8 · 8 · 6 leaves, and three codes, each one of four that the leaf
    allows.
    """
    rng, law = np.random.default_rng(seed), np.random.default_rng(7)
    first = rng.integers(8, size=items)
    second = 8 * first + rng.integers(8, size=items)
    leaf = 6 * second + rng.integers(6, size=items)
    allowed = law.integers(CODES, size=(3, 384, 4))
    codes = [level[leaf, rng.integers(4, size=items)] for level in allowed]
    return np.stack([first, second, leaf], 1), np.stack(codes, 1)


def test_every_estimator_finds_the_entropy_of_a_law_that_was_sampled_often() -> None:
    rng = np.random.default_rng(0)
    first = rng.integers(4, size=40_000)
    second = 2 * first + rng.integers(2, size=40_000)
    one, two = step_entropies(np.stack([first, second], 1))
    for key in ("plug_in", "miller_madow", "held_out"):
        assert {**one}[key] == pytest.approx(2, abs=0.01)
        assert {**two}[key] == pytest.approx(1, abs=0.01)


def test_miller_madow_lies_nearer_than_plug_in_where_samples_are_few() -> None:
    rng = np.random.default_rng(1)
    found = [step_entropies(rng.integers(32, size=(60, 1)))[0] for _ in range(50)]
    plug_in = np.mean([each["plug_in"] for each in found])
    corrected = np.mean([each["miller_madow"] for each in found])
    assert plug_in < corrected < 5.05
    assert 5 - corrected < 0.4 * (5 - plug_in)


def test_attributes_take_from_the_codes_and_deeper_ones_more() -> None:
    attributes, codes = taxonomy(12_000)
    gains = [chain_entropies(codes, attributes[:, [level]], folds=2) for level in range(2)]
    for estimator in ("plug_in", "miller_madow", "held_out"):
        assert {**gains[0]["gain"]}[estimator] > 0.5
        assert {**gains[1]["gain"]}[estimator] > {**gains[0]["gain"]}[estimator] + 1


def test_shuffled_attributes_fool_the_plug_in_estimate_alone() -> None:
    attributes, codes = taxonomy(30_000)
    found = chain_entropies(codes, attributes[:, [1]], folds=2)
    assert found["shuffled_gain"]["plug_in"] > 0.6 * found["gain"]["plug_in"]
    assert found["gain"]["miller_madow"] > found["shuffled_gain"]["miller_madow"] + 1
    assert found["gain"]["held_out"] > 3
    assert found["shuffled_gain"]["held_out"] <= 0


def test_held_out_bits_are_an_upper_bound() -> None:
    _, codes = taxonomy(2_000)
    for step in step_entropies(codes):
        assert step["plug_in"] <= step["miller_madow"]
        assert step["plug_in"] < step["held_out"]
    assert all(step["held_out"] < np.log2(CODES) + 0.3 for step in step_entropies(codes))


def test_a_diagnosis_with_attributes_tells_and_shows_their_chain() -> None:
    attributes, codes = taxonomy(300)
    found = diagnose(torch.from_numpy(codes), attributes=torch.from_numpy(attributes[:, :2]))
    assert found["chain"] == chain_entropies(codes, attributes[:, :2])
    page = render(found, codes.astype(np.int32), title="t", provenance={})
    assert "What attributes say of the codes" in page
    total = sum(step["held_out"] for step in found["chain"]["shuffled"])
    assert f"<td>{total:.2f}</td>" in page


@pytest.mark.parametrize(
    ("codes", "attributes", "folds", "message"),
    [
        (10, 9, 5, "chain_entropies: attributes must have 10 rows, one an item, got 9"),
        (4, 4, 5, "step_entropies: folds must be from 2 to the number of items 4, got 5"),
        (4, 4, 1, "step_entropies: folds must be from 2 to the number of items 4, got 1"),
    ],
)
def test_bad_input_is_one_line(codes: int, attributes: int, folds: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        chain_entropies(
            np.zeros((codes, 2), np.int64), np.zeros((attributes, 1), np.int64), folds=folds
        )


def test_diagnose_refuses_other_attributes() -> None:
    codes = torch.zeros(6, 2, dtype=torch.int64)
    for bad in (torch.zeros(6, 1), codes[:, :0], codes[:2]):
        with pytest.raises(ValueError, match=r"diagnose: attributes must be integers \[6, m\]"):
            diagnose(codes, attributes=bad)
