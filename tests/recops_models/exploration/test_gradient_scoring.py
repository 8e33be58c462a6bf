"""Gradient-TS, gradient-UCB and their refinement, compared with torch's own gradients."""

from __future__ import annotations

import doctest
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from click_inputs import batch, schema
from click_recipes import net
from recops_models.click.model import ClickModel
from recops_models.exploration import gradient_scoring
from recops_models.exploration.gradient_scoring import GradientScoring
from recops_models.exploration.policy import named_policy

FITTED = replace(schema(), moments={"age": (3.0, 2.0)})
LENGTHS = [3, 0, 5, 1, 2, 4] * 50


@pytest.fixture(autouse=True)
def _one_thread(set_threads) -> None:
    set_threads(1)


def model(name: str = "din") -> ClickModel:
    torch.manual_seed(0)
    click = net(name, FITTED, width=8, hidden=(16, 8))
    for table in click.embedding.tables.values():
        nn.init.normal_(table.weight[1:])
    return click.eval()


def some_rows() -> Any:
    return batch(LENGTHS)._replace(group=torch.arange(len(LENGTHS)))


def norms(click: ClickModel, rows: Any) -> tuple[Tensor, Tensor]:
    """Return f and ‖∇_θ f‖ per row by one backward pass per row."""
    weights = [
        weight
        for layer in click.head
        if isinstance(layer, nn.Linear)
        for weight in layer.parameters()
    ]
    h = click.bottom(rows)[0].detach()
    probabilities, sizes = [], []
    for x in h:
        f = click.head(x[None]).sigmoid().squeeze()
        slopes = torch.autograd.grad(f, weights)
        probabilities.append(f.detach())
        sizes.append(torch.cat([slope.flatten() for slope in slopes]).norm())
    return torch.stack(probabilities), torch.stack(sizes)


@pytest.mark.parametrize("name", ["din", "sum-pool"])
def test_ucb_adds_the_norm_of_the_weight_gradient(name: str) -> None:
    click, rows = model(name), some_rows()
    f, size = norms(click, rows)
    result = GradientScoring(click, "ucb", 0.3).scores(rows, seed=1)
    torch.testing.assert_close(result, f + 0.3 * size)


def test_ts_draws_a_normal_number_per_row() -> None:
    click, rows = model(), some_rows()
    f, size = norms(click, rows)
    drawn = (GradientScoring(click, "ts", 0.3).scores(rows, seed=1) - f) / (0.3 * size)
    assert abs(drawn.mean()) < 4 / len(drawn) ** 0.5
    assert drawn.var().item() == pytest.approx(1, abs=4 * (2 / len(drawn)) ** 0.5)
    other = (GradientScoring(click, "ts", 0.3).scores(rows, seed=2) - f) / (0.3 * size)
    assert abs(torch.corrcoef(torch.stack([drawn, other]))[0, 1]) < 4 / len(drawn) ** 0.5


@pytest.mark.parametrize("kind", ["ts", "ucb"])
def test_refinement_raises_items_with_few_impressions(kind: Any) -> None:
    click, rows = model(), some_rows()
    _, size = norms(click, rows)
    shown = torch.arange(len(LENGTHS)) * 7
    plain = GradientScoring(click, kind, 0.3).scores(rows, seed=1)
    refined = GradientScoring(click, kind, 0.3, refinement=50.0)
    result = refined.scores(rows, seed=1, impressions=shown)
    torch.testing.assert_close(result - plain, 0.3 * size * 50 / (50 + shown), rtol=1e-4, atol=1e-6)
    many = refined.scores(rows, seed=1, impressions=torch.full((len(LENGTHS),), 10**9))
    torch.testing.assert_close(many, plain)


def test_policies_are_named() -> None:
    click = model()
    for name, refinement in (("gradient", None), ("ur-gradient", 100.0)):
        for kind in ("ts", "ucb"):
            scoring = named_policy(f"{name}-{kind}", click, c=0.2).scoring
            assert isinstance(scoring, GradientScoring)
            assert (scoring.kind, scoring.c, scoring.refinement) == (kind, 0.2, refinement)
            assert scoring.drawn == (kind == "ts")


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match=r"GradientScoring: c must be ≥ 0, got -1\.0"):
        GradientScoring(model(), "ts", -1.0)
    with pytest.raises(ValueError, match=r"GradientScoring: refinement must be > 0, got 0\.0"):
        GradientScoring(model(), "ts", refinement=0.0)
    with pytest.raises(ValueError, match="refinement needs impressions, got None"):
        GradientScoring(model(), "ucb", refinement=9.0).scores(some_rows(), seed=0)
    with pytest.raises(ValueError, match=r"call model\.eval\(\)"):
        GradientScoring(model().train(), "ucb").scores(some_rows(), seed=0)


def test_examples_in_docstrings_run() -> None:
    result = doctest.testmod(gradient_scoring)
    assert result.attempted > 2
    assert result.failed == 0
