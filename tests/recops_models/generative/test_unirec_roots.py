"""Latent roots of UniRec: exact mixtures in the loss and in beam search."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
import torch

from recops_models.generative.candidates import path_scores
from recops_models.generative.path_ranker import GradScope
from recops_models.generative.unirec import UniRec, UniRecConfig
from recops_models.recipes.files import load_model, save_model

SIZES = (2, 3, 3)
PATHS = torch.tensor(list(product(*map(range, SIZES))))
"""All paths, so that the items have the whole probability."""
HISTORY = torch.tensor([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 9]])
TARGET = torch.tensor([[2, 3, 4, 0, 0, 0], [5, 6, 7, 8, 9, 10]])
LENGTHS = torch.tensor([3, 6])


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # The models are too small for several threads.


def build(roots: int, **changes: object) -> UniRec:
    """Return a model with weights that make the roots differ."""
    small = UniRecConfig(history=6, width=8, heads=2, expert_hidden=8, item_scores=0.0)
    config = dataclasses.replace(small, roots=roots, **changes)
    torch.manual_seed(0)
    model = UniRec(PATHS, SIZES, torch.arange(float(len(PATHS))), config).eval()
    if model.roots is not None:
        torch.nn.init.normal_(model.roots.prior.weight)
        torch.nn.init.normal_(model.roots.embedding)
    return model


def test_one_root_is_the_default_and_has_no_weights() -> None:
    assert UniRecConfig().roots == 1
    one = build(1)
    assert one.roots is None
    several = build(3)
    assert set(several.state_dict()) - set(one.state_dict()) == {
        "roots.embedding",
        "roots.prior.weight",
        "roots.prior.bias",
    }


def test_equal_roots_are_one_root() -> None:
    one, several = build(1), build(3)
    several.load_state_dict(one.state_dict(), strict=False)
    assert several.roots is not None
    torch.nn.init.zeros_(several.roots.embedding)
    torch.testing.assert_close(
        several.path_log_probs(HISTORY, TARGET), one.path_log_probs(HISTORY, TARGET)
    )
    rankings = [model.decode(HISTORY, LENGTHS, len(PATHS)) for model in (several, one)]
    assert torch.equal(rankings[0].items, rankings[1].items)
    torch.testing.assert_close(rankings[0].scores, rankings[1].scores)


def test_probabilities_are_mixtures_of_models_with_one_root() -> None:
    """A root acts like a model with one root whose positions include the root's embedding."""
    model = build(3)
    assert model.roots is not None
    each = []
    for root in model.roots.embedding.detach():
        one = build(1)
        weights = model.state_dict()
        weights["position"] = weights["position"] + root
        one.load_state_dict({name: weights[name] for name in one.state_dict()})
        each.append(one.path_log_probs(HISTORY, TARGET).sum(-1))
    aggregate = model.encode(HISTORY).aggregate[TARGET > 0]
    prior = torch.softmax(model.roots.prior(aggregate), -1)
    assert prior.amax(-1).min() > 0.4  # The test needs roots of unequal weight.
    expected = (prior * torch.stack(each, -1).exp()).sum(-1)
    actual = model.path_log_probs(HISTORY, TARGET).sum(-1).exp()
    torch.testing.assert_close(actual, expected)
    assert (torch.stack(each, -1).std(-1) > 0.01).all()


def test_probabilities_of_all_items_sum_to_1() -> None:
    model = build(4)
    ranking = model.decode(HISTORY, LENGTHS, len(PATHS))
    assert all(len(set(row.tolist())) == len(PATHS) for row in ranking.items)
    torch.testing.assert_close(ranking.scores.exp().sum(1), torch.ones(2))
    encoded = model.encode_requests(HISTORY, LENGTHS)
    torch.testing.assert_close(path_scores(model, encoded, ranking.items), ranking.scores)


def test_scores_of_beams_are_those_of_the_loss() -> None:
    model = build(3)
    narrow = dataclasses.replace(model.config, beams=4)
    model.config = narrow
    ranking = model.decode(HISTORY, LENGTHS, 4)
    assert (ranking.scores.diff() <= 0).all()
    for row, length in enumerate(LENGTHS.tolist()):
        for item, score in zip(ranking.items[row], ranking.scores[row], strict=True):
            target = torch.zeros_like(HISTORY[:1])
            target[0, length - 1] = item + 1
            loss = model.loss(HISTORY[[row]], target)
            torch.testing.assert_close(-loss, score)


@pytest.mark.parametrize("scope", ["all", "last_step", "last_head"])
def test_gradients_reach_the_roots_only_in_scope(scope: GradScope) -> None:
    model = build(2)
    assert model.roots is not None
    log_probs = model.path_log_probs(HISTORY, TARGET, scope=scope)
    torch.testing.assert_close(log_probs, model.path_log_probs(HISTORY, TARGET))
    log_probs.sum().backward()
    prior, embedding = model.roots.prior.weight.grad, model.roots.embedding.grad
    assert (prior is not None) == (scope == "all")
    assert (embedding is not None) == (scope != "last_head")
    assert model.head[2].logits.weight.grad.abs().sum() > 0
    assert (model.head[0].logits.weight.grad is not None) == (scope == "all")
    if embedding is not None:
        assert (embedding.abs().sum(1) > 1e-4).all()


def test_roots_learn_to_differ() -> None:
    """A few steps from the initial weights make the prior of the roots unequal."""
    torch.manual_seed(0)
    model = UniRec(PATHS, SIZES, torch.ones(len(PATHS)), build(2).config)
    assert model.roots is not None
    assert model.roots.log_prior(torch.randn(3, 16)).diff().eq(0).all()
    losses = []
    for _ in range(15):
        loss = model.loss(HISTORY, TARGET)
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for weight in model.parameters():
                weight -= 0.1 * weight.grad
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.5
    prior = model.roots.log_prior(model.encode(HISTORY).aggregate[TARGET > 0]).exp()
    assert (prior[:, 0] - 0.5).abs().max() > 0.05


def test_a_saved_model_keeps_its_roots(tmp_path: Path) -> None:
    model = build(3)
    save_model(tmp_path / "model.safetensors", "unirec", model)
    loaded = load_model(tmp_path / "model.safetensors")
    assert isinstance(loaded, UniRec)
    assert loaded.config.roots == 3
    one, other = (each.decode(HISTORY, LENGTHS, 9) for each in (model, loaded))
    assert torch.equal(one.items, other.items)
    assert torch.equal(one.scores, other.scores)


@pytest.mark.parametrize("roots", [0, -2])
def test_too_few_roots_are_an_error(roots: int) -> None:
    with pytest.raises(ValueError, match=f"unirec: roots must be ≥ 1, got {roots}"):
        UniRecConfig(roots=roots)
