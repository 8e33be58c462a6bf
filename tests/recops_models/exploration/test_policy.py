"""Policies: seeded, with the probabilities that they tell."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from click_inputs import batch, schema
from click_recipes import net
from recops_models.click.age import Age, AgeConfig
from recops_models.click.age_scores import Exploration
from recops_models.examples.batch import Batch
from recops_models.exploration.policy import POLICIES, Policy, named_policy
from recops_models.exploration.scoring import (
    AgeScoring,
    BonusScoring,
    EnsembleScoring,
    PlainScoring,
    Scoring,
)
from recops_models.exploration.selection import Greedy, Selection, Softmax

FITTED = replace(schema(), moments={"age": (3.0, 2.0)})
USERS, ITEMS = 6, 5
HOW = AgeConfig(mc_dropout=0.2, lam=50.0, gate="off", samples=4)
SELECTION = {"epsilon-greedy": Greedy(0.2)}
NOT_DRAWN = ("greedy", "ensemble-ucb", "gradient-ucb", "ur-gradient-ucb")
SHOWN = torch.arange(USERS * ITEMS) * 10


@pytest.fixture(autouse=True)
def _one_thread(set_threads) -> None:
    set_threads(1)


class Given(Scoring):
    """Scores as they are, or with noise of the seed's."""

    def __init__(self, scores: Tensor, *, noise: float = 0.0) -> None:
        self.given, self.noise = scores, noise

    @property
    def drawn(self) -> bool:
        return self.noise > 0

    def scores(self, batch: Batch, *, seed: int, impressions: Tensor | None = None) -> Tensor:
        generator = torch.Generator().manual_seed(seed % (1 << 60))
        return self.given + self.noise * torch.randn(len(self.given), generator=generator)


def model(seed: int = 0) -> Age:
    torch.manual_seed(seed)
    found = Age(net("din", FITTED, width=8, hidden=(16, 8)), HOW)
    for table in found.embedding.tables.values():
        nn.init.normal_(table.weight[1:])
    return found.eval()


def requests() -> Batch:
    some = batch([3] * USERS * ITEMS)
    return some._replace(group=torch.arange(USERS).repeat_interleave(ITEMS))


def rows(users: int) -> Batch:
    return Batch({}, {}, torch.zeros(users * 4), torch.arange(users).repeat_interleave(4))


def policy(name: str) -> Policy:
    models = [model(seed) for seed in range(3)] if name.startswith("ensemble") else model()
    return named_policy(name, models, exploration=HOW, c=2.0, selection=SELECTION.get(name))


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_chooses_by_its_seed(name: str) -> None:
    some, of = requests(), policy(name)
    found, again = (
        of.choose(some, seed=4, candidates=ITEMS, k=2, impressions=SHOWN) for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(found[:3], again[:3], strict=True))
    assert found.items.shape == found.propensity.shape == (USERS, 2)
    assert (found.items[:, 0] != found.items[:, 1]).all()
    assert ((found.propensity > 0) & (found.propensity <= 1)).all()
    assert found.exact == (name in (*NOT_DRAWN, "random", "epsilon-greedy"))
    draws = torch.stack(
        [of.choose(some, seed=s, candidates=ITEMS, impressions=SHOWN).items for s in range(12)]
    )
    assert (draws == draws[:1]).all() == (name in NOT_DRAWN)


@pytest.mark.parametrize("name", POLICIES)
def test_a_user_is_shown_the_same_whoever_else_asks(name: str) -> None:
    some, of = requests(), policy(name)
    if name.startswith("age"):
        of = named_policy(name, model(), exploration=HOW)
    whole = of.choose(some, seed=4, candidates=ITEMS, impressions=SHOWN)
    part = slice(2 * ITEMS, 4 * ITEMS)
    two = Batch(
        {key: value[part] for key, value in some.features.items()},
        {key: value[part] for key, value in some.lengths.items()},
        some.label[part],
        some.group[part],
    )
    found = of.choose(two, seed=4, candidates=ITEMS, impressions=SHOWN[part])
    assert torch.equal(found.items, whole.items[2:4])


@pytest.mark.parametrize(
    "selection", [Greedy(), Greedy(0.3), Greedy(1.0), Softmax(temperature=0.5), Softmax(0.2, 0.3)]
)
def test_items_come_as_often_as_told(selection: Selection) -> None:
    users = 4000
    scores = torch.tensor([0.1, 0.7, 0.4, 0.7]).repeat(users)
    available = torch.tensor([True, True, True, True] * users)
    available[2::4] = False
    of = Policy(Given(scores), selection)
    found = of.choose(rows(users), seed=0, candidates=4, available=available)
    told = of.propensities(rows(users), seed=0, candidates=4, available=available)
    assert found.exact
    assert torch.equal(told[:, 2], torch.zeros(users, dtype=torch.float64))
    torch.testing.assert_close(told.sum(1), torch.ones(users, dtype=torch.float64))
    assert torch.equal(found.propensity, told.gather(1, found.items))
    count = torch.bincount(found.items[:, 0], minlength=4) / users
    assert (count - told[0]).abs().max() < 4 * 0.5 / users**0.5


def test_formulas_of_selections() -> None:
    scores, there = torch.tensor([[0.1, 0.7, 0.7]]), torch.ones(1, 3, dtype=torch.bool)
    assert Greedy().probabilities(scores, there).tolist() == [[0, 1, 0]]
    mixed = Greedy(0.3).probabilities(scores, there)
    torch.testing.assert_close(mixed, torch.tensor([[0.1, 0.8, 0.1]], dtype=torch.float64))
    soft = Softmax(0.0, 0.5).probabilities(scores, there)
    torch.testing.assert_close(soft, (scores.double() / 0.5).softmax(1))


def test_a_list_has_the_probability_of_its_steps() -> None:
    """All ordered pairs of four, against their frequency."""
    users = 20_000
    scores = torch.tensor([0.1, 0.7, 0.4, 0.2]).repeat(users)
    found = Policy(Given(scores), Softmax(temperature=0.5)).choose(
        rows(users), seed=1, candidates=4, k=2
    )
    pair, told = found.items[:, 0] * 4 + found.items[:, 1], found.propensity.prod(1)
    for each in pair.unique():
        share = (pair == each).double().mean()
        assert abs(share - told[pair == each][0]) < 4 * 0.5 / users**0.5
    assert len(pair.unique()) == 12


def test_propensities_of_drawn_scores_are_estimated() -> None:
    """Two of four equal scores with noise: a quarter each by symmetry."""
    scores = torch.tensor([0.5, 0.5, 0.5, 0.5])
    of = Policy(Given(scores, noise=0.1), Greedy(0.2))
    told = of.propensities(rows(1), seed=3, draws=2000)
    assert (told - 0.25).abs().max() < 4 * (0.25 * 0.75 / 2000) ** 0.5
    assert told.min() >= 0.2 / 4
    assert torch.equal(told, of.propensities(rows(1), seed=3, draws=2000))
    assert not of.choose(rows(1), seed=3).exact


def test_scores_are_their_formulas() -> None:
    some, age = requests(), model()
    y = age(some).sigmoid()
    assert torch.equal(PlainScoring(age).scores(some, seed=0), y)
    ucb = replace(HOW, uncertainty="ucb")
    bonus = BonusScoring(age.base, ucb, 3.0).scores(some, seed=2)
    found = age.explore(some, seed=2, exploration=ucb)
    torch.testing.assert_close(bonus, found.y + 3 * found.delta)
    assert torch.equal(AgeScoring(age, ucb).scores(some, seed=2), found.score)
    models = [model(seed) for seed in range(3)]
    each = torch.stack([one(some).sigmoid() for one in models])
    upper = EnsembleScoring(models, "ucb", 2.0).scores(some, seed=0)
    torch.testing.assert_close(upper, each.mean(0) + 2 * each.std(0, correction=0))
    drawn = EnsembleScoring(models, "ts").scores(some, seed=0)
    member = [(each[m] == drawn).view(USERS, ITEMS).all(1) for m in range(3)]
    assert torch.stack(member).sum(0).eq(1).all(), "one model a user"


def test_what_age_found_is_told() -> None:
    some, found = requests(), []
    of = named_policy("age-ucb", model(), exploration=HOW, told=found.append)
    choice = of.choose(some, seed=0, candidates=ITEMS)
    (scores,) = found
    assert torch.equal(scores.score.view(USERS, ITEMS), choice.scores)
    assert scores.shift > 0


def test_impressions_reach_who_looks_at_them() -> None:
    some, age = requests(), model()
    shown = torch.full((USERS * ITEMS,), 10**6)
    explored = AgeScoring(age).scores(some, seed=0, impressions=shown)
    assert torch.equal(explored, PlainScoring(age).scores(some, seed=0))
    assert not torch.equal(AgeScoring(age).scores(some, seed=0), explored)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Greedy(1.5), r"Selection: epsilon must lie within \[0, 1\], got 1\.5"),
        (lambda: Softmax(0.0, 0.0), r"Softmax: temperature must be > 0, got 0\.0"),
        (lambda: named_policy("gp", model()), "named_policy: no policy 'gp'; there are greedy"),
        (
            lambda: named_policy("age-ts", model().base),
            "named_policy: age-ts needs an Age, got Din",
        ),
        (lambda: named_policy("epsilon-greedy", model()), "needs a selection with epsilon > 0"),
        (lambda: named_policy("ensemble-ts", model()), "models must be two or more, got 1"),
        (lambda: BonusScoring(model(), HOW, -1.0), r"BonusScoring: c must be ≥ 0, got -1\.0"),
        (lambda: PlainScoring(model().train()).scores(requests(), seed=0), "call model.eval()"),
    ],
)
def test_bad_settings_are_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_bad_requests_are_named() -> None:
    four, of = rows(1), Policy(Given(torch.tensor([0.1, 0.2, torch.nan, 0.3])), Greedy())
    with pytest.raises(ValueError, match="Policy: candidates must divide the 4 rows, got 3"):
        of.choose(four, seed=0, candidates=3)
    with pytest.raises(ValueError, match=r"Policy: k must be ≥ 1 and no more than .* got 5"):
        of.choose(four, seed=0, k=5)
    with pytest.raises(ValueError, match=r"Policy: available must be \[4\], got \[2\]"):
        of.choose(four, seed=0, available=torch.ones(2, dtype=torch.bool))
    with pytest.raises(ValueError, match="Selection: scores must be finite where available"):
        of.choose(four, seed=0)
    there = torch.tensor([True, True, False, True])
    assert of.choose(four, seed=0, available=there).items.item() == 3
    with pytest.raises(ValueError, match="Policy: draws must be ≥ 1, got 0"):
        of.propensities(four, seed=0, draws=0)
    with pytest.raises(ValueError, match="available must hold a candidate in each row, not row 0"):
        Greedy().probabilities(torch.ones(1, 2), torch.zeros(1, 2, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"must be equal \[R, C\], got \[1, 2\] and \[1, 3\]"):
        Greedy().probabilities(torch.ones(1, 2), torch.ones(1, 3, dtype=torch.bool))


def test_exploration_of_a_plain_model_has_defaults() -> None:
    scoring = named_policy("ts", model().base).scoring
    assert isinstance(scoring, BonusScoring)
    assert scoring.scorer.exploration == Exploration()
