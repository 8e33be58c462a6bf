"""Models with recent rates, and models that do not see the labels of the history."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from recops_evidence.experiments.recent_labels import (
    HALF_LIVES,
    DinWithRecentRates,
    din_recent,
    din_unlabelled,
    mimn_unlabelled,
    register_recipes,
    without_labels,
)
from recops_models.click.din import Din, DinConfig
from recops_models.data.vocabulary import Vocabulary
from recops_models.examples.batch import Batch
from recops_models.examples.click_schema import SIGN
from recops_models.examples.features import FeatureSchema, FittedSchema, Sequence
from recops_models.examples.lookup import Lookup
from recops_models.examples.tiny import tiny_click_data
from recops_models.recipes import registry
from recops_models.recipes.click import ClickRecipe

SIGNS = torch.tensor([[4, 2], [4, 0], [0, 0]])


def signed(signs: torch.Tensor = SIGNS) -> tuple[FittedSchema, Batch]:
    """Return the tiny data with labels of the history's events."""
    fitted, batch = tiny_click_data()
    features = tuple(
        replace(each, history="history") if isinstance(each, Sequence) else each
        for each in (*fitted.schema.features, Sequence(SIGN))
    )
    lookups = {**fitted.lookups, SIGN: Lookup(Vocabulary(np.arange(3)))}
    batch = batch._replace(
        features={**batch.features, SIGN: signs},
        lengths={**batch.lengths, SIGN: batch.lengths["history_item"]},
    )
    return FittedSchema(FeatureSchema(features), lookups, fitted.moments), batch


@pytest.mark.parametrize("recipe", [din_unlabelled, mimn_unlabelled])
def test_hidden_labels_do_not_change_the_score(recipe: ClickRecipe[DinConfig]) -> None:
    fitted, batch = signed()
    _, other = signed(torch.where(SIGNS == 4, 2, SIGNS))
    sizes = replace(recipe.sizes, width=4, dropout=0.0)
    model = recipe.net(fitted, sizes).eval()
    assert torch.equal(model(batch), model(other))
    labelled = Din(fitted, DinConfig(width=4, table_std=1.0)).eval()
    assert not torch.equal(labelled(batch), labelled(other))
    assert without_labels(batch).features[SIGN].tolist() == [[1, 1], [1, 0], [0, 0]]


def test_recent_rates_are_inputs_of_the_head() -> None:
    fitted, batch = signed()
    _, other = signed(torch.where(SIGNS == 4, 2, SIGNS))
    model = DinWithRecentRates(fitted, DinConfig(width=4)).eval()
    # Recent rates of the user, of the item and of the category.
    assert model.output_dim() == Din(fitted, DinConfig(width=4)).output_dim() + 3 * len(HALF_LIVES)
    (x, _), (changed, _) = model.bottom(batch), model.bottom(other)
    assert x.shape == (3, model.output_dim())
    recent = slice(-3 * len(HALF_LIVES), None)
    assert not torch.equal(x[0, recent], changed[0, recent])
    assert torch.equal(x[2], changed[2])


def test_the_models_have_recipes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "_RECIPES", dict(registry._RECIPES))
    before = registry.names()
    register_recipes()
    assert registry.names() == (*before, "din-recent", "din-unlabelled", "mimn-unlabelled")
    for recipe in (din_recent, din_unlabelled, mimn_unlabelled):
        assert registry.recipe_of(recipe.name) is recipe
