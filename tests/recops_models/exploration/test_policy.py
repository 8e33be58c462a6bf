"""Exploration policies: seeds, propensities, and refused arguments."""

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
EXPLORATION = AgeConfig(mc_dropout=0.2, lam=50.0, gate="off", samples=4)
SELECTION = {"epsilon-greedy": Greedy(0.2)}
DETERMINISTIC = ("greedy", "ensemble-ucb", "gradient-ucb", "ur-gradient-ucb")
SHOWN = torch.arange(USERS * ITEMS) * 10


@pytest.fixture(autouse=True)
def _one_thread(set_threads) -> None:
    set_threads(1)


class FixedScores(Scoring):
    """Given scores, optionally with random noise."""

    def __init__(self, scores: Tensor, *, noise: float = 0.0) -> None:
        self.fixed, self.noise = scores, noise

    @property
    def drawn(self) -> bool:
        return self.noise > 0

    def scores(self, batch: Batch, *, seed: int, impressions: Tensor | None = None) -> Tensor:
        generator = torch.Generator().manual_seed(seed % (1 << 60))
        return self.fixed + self.noise * torch.randn(len(self.fixed), generator=generator)


def model(seed: int = 0) -> Age:
    torch.manual_seed(seed)
    age = Age(net("din", FITTED, width=8, hidden=(16, 8)), EXPLORATION)
    for table in age.embedding.tables.values():
        nn.init.normal_(table.weight[1:])
    return age.eval()


def requests() -> Batch:
    examples = batch([3] * USERS * ITEMS)
    return examples._replace(group=torch.arange(USERS).repeat_interleave(ITEMS))


def rows(users: int) -> Batch:
    return Batch({}, {}, torch.zeros(users * 4), torch.arange(users).repeat_interleave(4))


def policy(name: str) -> Policy:
    models = [model(seed) for seed in range(3)] if name.startswith("ensemble") else model()
    return named_policy(name, models, exploration=EXPLORATION, c=2.0, selection=SELECTION.get(name))


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_is_a_function_of_its_seed(name: str) -> None:
    examples, tested = requests(), policy(name)
    choice, again = (
        tested.choose(examples, seed=4, candidates=ITEMS, k=2, impressions=SHOWN) for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(choice[:3], again[:3], strict=True))
    assert choice.items.shape == choice.propensity.shape == (USERS, 2)
    assert (choice.items[:, 0] != choice.items[:, 1]).all()
    assert ((choice.propensity > 0) & (choice.propensity <= 1)).all()
    assert choice.exact == (name in (*DETERMINISTIC, "random", "epsilon-greedy"))
    draws = torch.stack(
        [
            tested.choose(examples, seed=s, candidates=ITEMS, impressions=SHOWN).items
            for s in range(12)
        ]
    )
    assert (draws == draws[:1]).all() == (name in DETERMINISTIC)


@pytest.mark.parametrize("name", POLICIES)
def test_a_users_choice_does_not_depend_on_other_users(name: str) -> None:
    examples, tested = requests(), policy(name)
    if name.startswith("age"):
        tested = named_policy(name, model(), exploration=EXPLORATION)
    of_all = tested.choose(examples, seed=4, candidates=ITEMS, impressions=SHOWN)
    part = slice(2 * ITEMS, 4 * ITEMS)
    two = Batch(
        {key: value[part] for key, value in examples.features.items()},
        {key: value[part] for key, value in examples.lengths.items()},
        examples.label[part],
        examples.group[part],
    )
    of_two = tested.choose(two, seed=4, candidates=ITEMS, impressions=SHOWN[part])
    assert torch.equal(of_two.items, of_all.items[2:4])


@pytest.mark.parametrize(
    "selection", [Greedy(), Greedy(0.3), Greedy(1.0), Softmax(temperature=0.5), Softmax(0.2, 0.3)]
)
def test_items_are_shown_with_their_propensities(selection: Selection) -> None:
    users = 4000
    scores = torch.tensor([0.1, 0.7, 0.4, 0.7]).repeat(users)
    available = torch.tensor([True, True, True, True] * users)
    available[2::4] = False
    tested = Policy(FixedScores(scores), selection)
    choice = tested.choose(rows(users), seed=0, candidates=4, available=available)
    propensities = tested.propensities(rows(users), seed=0, candidates=4, available=available)
    assert choice.exact
    assert torch.equal(propensities[:, 2], torch.zeros(users, dtype=torch.float64))
    torch.testing.assert_close(propensities.sum(1), torch.ones(users, dtype=torch.float64))
    assert torch.equal(choice.propensity, propensities.gather(1, choice.items))
    count = torch.bincount(choice.items[:, 0], minlength=4) / users
    assert (count - propensities[0]).abs().max() < 4 * 0.5 / users**0.5


def test_selections_follow_their_formulas() -> None:
    scores, available = torch.tensor([[0.1, 0.7, 0.7]]), torch.ones(1, 3, dtype=torch.bool)
    assert Greedy().probabilities(scores, available).tolist() == [[0, 1, 0]]
    mixed = Greedy(0.3).probabilities(scores, available)
    torch.testing.assert_close(mixed, torch.tensor([[0.1, 0.8, 0.1]], dtype=torch.float64))
    soft = Softmax(0.0, 0.5).probabilities(scores, available)
    torch.testing.assert_close(soft, (scores.double() / 0.5).softmax(1))


def test_a_list_has_the_product_of_its_propensities() -> None:
    """The propensities of all ordered pairs of four items match their frequencies."""
    users = 20_000
    scores = torch.tensor([0.1, 0.7, 0.4, 0.2]).repeat(users)
    choice = Policy(FixedScores(scores), Softmax(temperature=0.5)).choose(
        rows(users), seed=1, candidates=4, k=2
    )
    pair, propensity = choice.items[:, 0] * 4 + choice.items[:, 1], choice.propensity.prod(1)
    for value in pair.unique():
        share = (pair == value).double().mean()
        assert abs(share - propensity[pair == value][0]) < 4 * 0.5 / users**0.5
    assert len(pair.unique()) == 12


def test_propensities_of_random_scores_are_estimated() -> None:
    """Equal scores with noise: each of the four items has probability 1/4 by symmetry."""
    scores = torch.tensor([0.5, 0.5, 0.5, 0.5])
    tested = Policy(FixedScores(scores, noise=0.1), Greedy(0.2))
    propensities = tested.propensities(rows(1), seed=3, draws=2000)
    assert (propensities - 0.25).abs().max() < 4 * (0.25 * 0.75 / 2000) ** 0.5
    assert propensities.min() >= 0.2 / 4
    assert torch.equal(propensities, tested.propensities(rows(1), seed=3, draws=2000))
    assert not tested.choose(rows(1), seed=3).exact


def test_scores_follow_their_formulas() -> None:
    examples, age = requests(), model()
    y = age(examples).sigmoid()
    assert torch.equal(PlainScoring(age).scores(examples, seed=0), y)
    ucb = replace(EXPLORATION, uncertainty="ucb")
    bonus = BonusScoring(age.base, ucb, 3.0).scores(examples, seed=2)
    explored = age.explore(examples, seed=2, exploration=ucb)
    torch.testing.assert_close(bonus, explored.y + 3 * explored.delta)
    assert torch.equal(AgeScoring(age, ucb).scores(examples, seed=2), explored.score)
    models = [model(seed) for seed in range(3)]
    probabilities = torch.stack([one(examples).sigmoid() for one in models])
    upper = EnsembleScoring(models, "ucb", 2.0).scores(examples, seed=0)
    torch.testing.assert_close(
        upper, probabilities.mean(0) + 2 * probabilities.std(0, correction=0)
    )
    drawn = EnsembleScoring(models, "ts").scores(examples, seed=0)
    member = [(probabilities[m] == drawn).view(USERS, ITEMS).all(1) for m in range(3)]
    assert torch.stack(member).sum(0).eq(1).all(), "one model per user"


def test_age_scores_are_reported() -> None:
    examples, calls = requests(), []
    tested = named_policy("age-ucb", model(), exploration=EXPLORATION, on_scores=calls.append)
    choice = tested.choose(examples, seed=0, candidates=ITEMS)
    (scores,) = calls
    assert torch.equal(scores.score.view(USERS, ITEMS), choice.scores)
    assert scores.shift > 0


def test_impressions_reach_the_scoring() -> None:
    examples, age = requests(), model()
    shown = torch.full((USERS * ITEMS,), 10**6)
    explored = AgeScoring(age).scores(examples, seed=0, impressions=shown)
    assert torch.equal(explored, PlainScoring(age).scores(examples, seed=0))
    assert not torch.equal(AgeScoring(age).scores(examples, seed=0), explored)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Greedy(1.5), r"Selection: epsilon must lie within \[0, 1\], got 1\.5"),
        (lambda: Softmax(0.0, 0.0), r"Softmax: temperature must be > 0, got 0\.0"),
        (lambda: named_policy("gp", model()), "named_policy: no policy 'gp'; available: greedy"),
        (
            lambda: named_policy("age-ts", model().base),
            "named_policy: age-ts needs an Age, got Din",
        ),
        (lambda: named_policy("epsilon-greedy", model()), "needs a selection with epsilon > 0"),
        (lambda: named_policy("ensemble-ts", model()), "models must be two or more, got 1"),
        (
            lambda: BonusScoring(model(), EXPLORATION, -1.0),
            r"BonusScoring: c must be ≥ 0, got -1\.0",
        ),
        (lambda: PlainScoring(model().train()).scores(requests(), seed=0), "call model.eval()"),
    ],
)
def test_bad_settings_are_named(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


def test_bad_requests_are_named() -> None:
    four, tested = rows(1), Policy(FixedScores(torch.tensor([0.1, 0.2, torch.nan, 0.3])), Greedy())
    with pytest.raises(ValueError, match="Policy: candidates must divide the 4 rows, got 3"):
        tested.choose(four, seed=0, candidates=3)
    with pytest.raises(
        ValueError, match="Policy: k must be from 1 to the number of available candidates, got 5"
    ):
        tested.choose(four, seed=0, k=5)
    with pytest.raises(ValueError, match=r"Policy: available must be \[4\], got \[2\]"):
        tested.choose(four, seed=0, available=torch.ones(2, dtype=torch.bool))
    with pytest.raises(ValueError, match="Selection: scores must be finite where available"):
        tested.choose(four, seed=0)
    available = torch.tensor([True, True, False, True])
    assert tested.choose(four, seed=0, available=available).items.item() == 3
    with pytest.raises(ValueError, match="Policy: draws must be ≥ 1, got 0"):
        tested.propensities(four, seed=0, draws=0)
    with pytest.raises(
        ValueError, match="available must hold a candidate in each row, got none in row 0"
    ):
        Greedy().probabilities(torch.ones(1, 2), torch.zeros(1, 2, dtype=torch.bool))
    with pytest.raises(
        ValueError, match=r"must have the same shape \[R, C\], got \[1, 2\] and \[1, 3\]"
    ):
        Greedy().probabilities(torch.ones(1, 2), torch.ones(1, 3, dtype=torch.bool))


def test_a_plain_model_has_the_default_exploration() -> None:
    scoring = named_policy("ts", model().base).scoring
    assert isinstance(scoring, BonusScoring)
    assert scoring.scorer.exploration == Exploration()


def test_propensities_of_lists_average_over_random_scores() -> None:
    users = draws = 1000
    scoring = FixedScores(torch.tensor([0.1, 0.7, 0.4, 0.3]), noise=0.3)
    tested = Policy(scoring, Greedy(0.2))
    pair = torch.tensor([[1, 2]])
    propensity = tested.list_propensities(rows(1), pair, seed=5, draws=draws)
    first = tested.propensities(rows(1), seed=5, draws=draws)
    assert propensity[0, 0] == pytest.approx(float(first[0, 1]))
    lists = torch.cat([tested.choose(rows(1), seed=s, k=2).items for s in range(users)])
    p = float(propensity.prod())
    share = float((lists == pair).all(1).double().mean())
    assert abs(share - p) < 4 * (p / users + p / draws) ** 0.5
    exact = Policy(FixedScores(scoring.fixed), Greedy(0.2))
    choice = exact.choose(rows(1), seed=3, k=3)
    assert torch.equal(exact.list_propensities(rows(1), choice.items, seed=9), choice.propensity)
