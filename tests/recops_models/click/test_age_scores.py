"""AGE's scores in float64: direction, radius, gates and masks compared with their formulas."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from recops_models.click.age_scores import AgeScorer, Exploration, absolute_lam
from recops_models.layers.counter_random import keys_of
from recops_models.layers.head_passes import HeadPasses
from recops_models.layers.mlp import MLP

ROWS, WIDTH = 400, 24
OPEN = Exploration(gate="off", relative=False, lam=1.0, mc_dropout=0.1)


@pytest.fixture(autouse=True)
def _one_thread(set_threads) -> None:
    set_threads(1)


def head(hidden: tuple[int, ...] = (32, 16)) -> MLP:
    return MLP(WIDTH, hidden, 1, activation_name="relu").double().eval()


def rows(number: int = ROWS) -> Tensor:
    return torch.randn(number, WIDTH, dtype=torch.float64)


def keys(number: int = ROWS, seed: int = 0) -> Tensor:
    return keys_of(seed, torch.zeros(number, dtype=torch.int64), torch.arange(number))


def scorer(net: MLP, **settings: Any) -> AgeScorer:
    return AgeScorer(HeadPasses(net), replace(OPEN, **settings))


def test_1_the_direction_is_that_of_a_gradient_step_towards_a_click() -> None:
    net, h = head(), rows().requires_grad_()
    z = net(h).squeeze(-1)
    loss = F.binary_cross_entropy_with_logits(z, torch.ones_like(z), reduction="sum")
    (downhill,) = torch.autograd.grad(-loss, h, retain_graph=True)
    (slope,) = torch.autograd.grad(z.sum(), h)
    direction = scorer(net).direction(h.detach(), keys(), ())
    assert (1 - F.cosine_similarity(downhill, direction)).abs().max() < 1e-14
    expected = (1 - z.sigmoid()) * slope.norm(dim=1)
    torch.testing.assert_close(downhill.norm(dim=1), expected.detach(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("lam", [1e-6, 0.3])
def test_2_length_and_sign_of_the_step_are_those_of_the_uncertainty(lam: float) -> None:
    net, h = head(), rows()
    age = scorer(net, lam=lam, direction="fgm")
    scores = age.scores(h, keys())
    r = age.perturbation(h, age.radius(h, scores.delta), scores.delta.sign(), keys(), ())
    torch.testing.assert_close(r.norm(dim=1), lam * scores.delta.abs(), rtol=0, atol=1e-12)
    assert (scores.delta < 0).any()
    if lam < 1e-3:
        assert torch.equal((scores.score - scores.y).sign(), scores.delta.sign())
        torch.testing.assert_close(scores.score, net(h + r).squeeze(-1).sigmoid().detach())


def test_3_to_first_order_the_shift_is_uncertainty_times_sensitivity() -> None:
    net, h = head(), rows()
    gaps = []
    for radius in (1e-3, 1e-2, 0.1, 0.5):
        shifts = []
        for direction in ("fgm", "linear"):
            age = scorer(net, direction=direction, lam=radius)
            y = age.passes.logits(h).sigmoid().detach()
            ones = torch.ones_like(y)
            shifts.append(age.moved(h, y, ones, keys(), ()) - y)
        moved, linear = shifts
        slope = age.passes.gradient(h)[1].norm(dim=1)
        torch.testing.assert_close(linear, radius * y * (1 - y) * slope, rtol=1e-9, atol=1e-12)
        gaps.append(((moved - linear).abs().mean() / linear.abs().mean()).item())
    assert gaps[0] < 2e-3
    assert gaps == sorted(gaps)


def test_4_projected_steps_go_further_than_one_step_and_random_steps_nowhere() -> None:
    net, h = head((128, 64)), rows()
    y = HeadPasses(net).logits(h).sigmoid().detach()
    ones = torch.ones_like(y)
    shifts = {}
    for direction in ("fgm", "pgd"):
        age = scorer(net, direction=direction, lam=1.0)
        shifts[direction] = age.moved(h, y, ones, keys(), ()) - y
        r = age.perturbation(h, ones, ones, keys(), ())
        assert r.norm(dim=1).max() <= 1 + 1e-12
    assert (shifts["pgd"] >= shifts["fgm"] - 1e-12).double().mean() >= 0.99
    assert shifts["pgd"].mean() > 1.05 * shifts["fgm"].mean()
    random_step = F.normalize(rows(), dim=1)
    shift = HeadPasses(net).logits(h + random_step).sigmoid().detach() - y
    assert shift.abs().mean() < shifts["fgm"].mean() / 3


def test_4_a_negative_step_mirrors_a_positive_one() -> None:
    """A negative δ minimises f within the ball (inferred)."""
    net, h = head(), rows()
    age = scorer(net, lam=1e-4)
    y = age.passes.logits(h).sigmoid().detach()
    ones = torch.ones_like(y)
    up, down = (age.moved(h, y, sign * ones, keys(), ()) - y for sign in (1, -1))
    torch.testing.assert_close(up, -down, rtol=1e-2, atol=1e-12)


@pytest.mark.parametrize("uncertainty", ["ts", "ucb"])
def test_5_uncertainty_follows_its_formula(uncertainty: str) -> None:
    net, h = head(), rows()
    age = scorer(net, uncertainty=uncertainty, samples=6)
    drawn = torch.stack([*age.passes.dropped(h, keys(), p=0.1, passes=6)]).sigmoid()
    difference = drawn - net(h).squeeze(-1).sigmoid()
    expected = difference[0] if uncertainty == "ts" else difference.square().mean(0).sqrt()
    torch.testing.assert_close(age.scores(h, keys()).delta, expected.detach())
    squared = scorer(net, uncertainty="ucb", samples=6, squared=True).scores(h, keys()).delta
    torch.testing.assert_close(squared, difference.square().mean(0).detach())


@pytest.mark.parametrize("uncertainty", ["ts", "ucb"])
@pytest.mark.parametrize("direction", ["fgm", "pgd", "linear"])
@pytest.mark.parametrize("off", [{"mc_dropout": 0.0}, {"lam": 0.0}])
def test_5_without_uncertainty_or_radius_it_is_the_plain_score(
    uncertainty: str, direction: str, off: dict[str, float]
) -> None:
    net, h = head(), rows()
    age = scorer(net, **{"uncertainty": uncertainty, "direction": direction, **off})
    scores = age.scores(h, keys())
    assert torch.equal(scores.score, net(h).squeeze(-1).sigmoid())
    assert scores.shift == 0


@pytest.mark.parametrize("direction", ["fgm", "pgd", "linear"])
def test_6_closed_gates_keep_the_plain_score_to_the_bit(direction: str) -> None:
    net, h = head(), rows()
    age = scorer(net, gate="dgu", direction=direction)
    y = net(h).squeeze(-1).sigmoid().detach()
    rate = torch.where(torch.arange(ROWS) % 3 == 0, y - 1e-9, y)
    scores = age.scores(h, keys(), item_rate=rate)
    assert torch.equal(scores.gate, torch.arange(ROWS) % 3 == 0)
    assert torch.equal(scores.y, y)
    assert torch.equal(scores.score[~scores.gate], y[~scores.gate])
    assert (scores.score != y)[scores.gate].all()
    assert (scores.delta == 0)[~scores.gate].all()
    assert scores.explored.item() == pytest.approx(134 / 400)
    alone = age.scores(h[::3], keys()[::3], item_rate=rate[::3])
    torch.testing.assert_close(scores.score[::3], alone.score, rtol=1e-12, atol=1e-14)


def test_6_only_open_rows_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    net, h = head(), rows()
    age = scorer(net, gate="fixed", threshold=1.0)
    monkeypatch.setattr(HeadPasses, "dropped", lambda *_, **__: pytest.fail("a closed row"))
    monkeypatch.setattr(HeadPasses, "gradient", lambda *_: pytest.fail("a closed row"))
    scores = age.scores(h, keys())
    assert torch.equal(scores.score, scores.y)
    assert scores.explored == 0


def test_6_items_with_many_impressions_do_not_explore() -> None:
    net, h = head(), rows(4)
    impressions = torch.tensor([0, 2999, 3000, 9000])
    scores = scorer(net).scores(h, keys(4), impressions=impressions)
    assert scores.gate.tolist() == [True, True, False, False]
    assert scorer(net, max_impressions=None).scores(h, keys(4), impressions=impressions).gate.all()
    assert scorer(net).scores(h, keys(4)).gate.all()


@pytest.mark.parametrize("uncertainty", ["ts", "ucb"])
def test_7_scores_do_not_depend_on_order_or_batches(uncertainty: str) -> None:
    net, h = head(), rows()
    age = scorer(net, uncertainty=uncertainty)
    in_order, order = age.scores(h, keys()), torch.randperm(ROWS)
    mixed = age.scores(h[order], keys()[order])
    halves = [age.scores(h[part], keys()[part]) for part in (slice(0, 90), slice(90, None))]
    for name in ("score", "delta"):
        expected = getattr(in_order, name)
        torch.testing.assert_close(getattr(mixed, name), expected[order], rtol=1e-9, atol=1e-12)
        joined = torch.cat([getattr(half, name) for half in halves])
        torch.testing.assert_close(joined, expected, rtol=1e-9, atol=1e-12)
    repeated, other = age.scores(h, keys()), age.scores(h, keys(seed=1))
    assert torch.equal(repeated.delta, in_order.delta)
    assert not torch.equal(other.delta, in_order.delta)


def test_a_relative_radius_is_a_share_of_the_norm() -> None:
    net, h = head(), rows()
    relative = scorer(net, relative=True, lam=0.1)
    scores = relative.scores(h, keys())
    radius = relative.radius(h, scores.delta)
    assert radius.mean().item() == pytest.approx(0.1 * h.norm(dim=1).mean().item())
    lam = absolute_lam(0.1, h, scores.delta)
    fixed = scorer(net, lam=lam).scores(h, keys())
    torch.testing.assert_close(fixed.score, scores.score, rtol=1e-9, atol=1e-12)
    with pytest.raises(ValueError, match="absolute_lam: delta must have a row that is not 0"):
        absolute_lam(0.1, h, torch.zeros(ROWS))


def redundant(net: MLP, copies: int) -> MLP:
    """Return a two-layer head of the same function, for which a dropped unit matters less."""
    wide = head((net[0].out_features * copies,))
    with torch.no_grad():
        wide[0].weight.copy_(net[0].weight.repeat(copies, 1))
        wide[0].bias.copy_(net[0].bias.repeat(copies))
        wide[2].weight.copy_(net[2].weight.repeat(1, copies) / copies)
        wide[2].bias.copy_(net[2].bias)
    return wide


@pytest.mark.parametrize("uncertainty", ["ts", "ucb"])
def test_by_default_exploration_decays_with_the_uncertainty(uncertainty: str) -> None:
    """If f and its gradient stay and δ falls, the shift falls in proportion to δ.

    With ``relative``, the shift stays, because the level of δ cancels out.
    """
    first, h = head((32,)), rows()
    settings: dict[str, Any] = {"gate": "off", "mc_dropout": 0.1, "uncertainty": uncertainty}
    deltas, shifts, relative_shifts = [], [], []
    for copies in (1, 4, 16, 64):
        passes = HeadPasses(redundant(first, copies))
        scores = AgeScorer(passes, Exploration(**settings, lam=1.0)).scores(h, keys())
        deltas.append(scores.delta.abs().mean().item())
        shifts.append(scores.shift.item())
        relative = Exploration(**settings, lam=0.1, relative=True)
        relative_shifts.append(AgeScorer(passes, relative).scores(h, keys()).shift.item())
    assert deltas[-1] < deltas[0] / 5
    for delta, shift, other in zip(deltas, shifts, relative_shifts, strict=True):
        assert shift / shifts[0] == pytest.approx(delta / deltas[0], rel=0.1)
        assert other == pytest.approx(relative_shifts[0], rel=0.2)


def test_the_default_is_the_formula_of_the_docstring() -> None:
    net, h = head(), rows()
    rate = torch.full((ROWS,), 0.5, dtype=torch.float64)
    settings = Exploration()
    scores = AgeScorer(HeadPasses(net), settings).scores(h, keys(), item_rate=rate)
    for row in range(40):
        x = h[row : row + 1]
        f = net(x).sigmoid().item()
        if f <= 0.5:
            assert scores.score[row].item() == pytest.approx(f, rel=1e-14)
            continue
        (mask,) = HeadPasses(net).dropped(x, keys()[row : row + 1], p=0.01, passes=1)
        delta = mask.sigmoid().item() - f
        radius, r = settings.lam * abs(delta), torch.zeros_like(x)
        for _ in range(5):
            moved = (x + r).requires_grad_()
            (slope,) = torch.autograd.grad(net(moved).sigmoid().sum(), moved)
            r = r + 2 * radius / 5 * math.copysign(1, delta) * slope / slope.norm()
            if r.norm() > radius:
                r = r * radius / r.norm()
        assert scores.score[row].item() == pytest.approx(net(x + r).sigmoid().item(), abs=1e-9)


def test_scope_item_perturbs_only_the_items_columns() -> None:
    net, h = head(), rows()
    age = scorer(net, scope="item")
    scores = age.scores(h, keys(), item_columns=[2, 5])
    r = age.perturbation(h, age.radius(h, scores.delta), scores.delta.sign(), keys(), [2, 5])
    other_columns = [column for column in range(WIDTH) if column not in (2, 5)]
    assert not r[:, other_columns].any()
    assert r[:, [2, 5]].all()


def test_without_a_gradient_the_score_is_plain() -> None:
    net = head()
    with torch.no_grad():
        net[0].weight.zero_()
    for direction in ("fgm", "pgd", "linear"):
        scores = scorer(net, direction=direction).scores(rows(), keys())
        assert torch.equal(scores.score, scores.y)


def test_no_rows() -> None:
    scores = scorer(head(), relative=True).scores(rows(0), keys(0))
    assert scores.score.shape == (0,)
    assert scores.shift == scores.explored == 0


def test_single_precision_is_close_to_double() -> None:
    net, h = head(), rows()
    exact = scorer(net).scores(h, keys()).score
    scores = scorer(net.float()).scores(h.float(), keys()).score
    torch.testing.assert_close(scores.double(), exact, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 0}, "age: samples must be ≥ 1, got 0"),
        ({"steps": 0}, "age: steps must be ≥ 1, got 0"),
        ({"lam": -1.0}, r"age: lam must be ≥ 0, got -1\.0"),
        ({"mc_dropout": 1.0}, r"age: mc_dropout must lie within \[0, 1\), got 1\.0"),
        ({"threshold": 2.0}, r"age: threshold must lie within \[0, 1\], got 2\.0"),
        ({"max_impressions": -1}, "age: max_impressions must be ≥ 0, got -1"),
    ],
)
def test_settings_out_of_range_are_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Exploration(**settings)


def test_bad_input_is_named() -> None:
    net, h = head(), rows(3)
    with pytest.raises(ValueError, match=r"age: h must be \[B, D\], got \[3\]"):
        scorer(net).scores(h[:, 0], keys(3))
    with pytest.raises(ValueError, match=r"age: keys must be \[3\], got \[2\]"):
        scorer(net).scores(h, keys(2))
    with pytest.raises(ValueError, match=r"age: impressions must be \[3\], got \[3, 1\]"):
        scorer(net).scores(h, keys(3), impressions=torch.ones(3, 1))
    with pytest.raises(ValueError, match="age: gate=dgu needs item_rate"):
        scorer(net, gate="dgu").scores(h, keys(3))
    with pytest.raises(ValueError, match="age: scope=item needs item_columns"):
        scorer(net, scope="item").scores(h, keys(3))
    with pytest.raises(ValueError, match="head must be in evaluation"):
        scorer(net.train()).scores(h, keys(3))
