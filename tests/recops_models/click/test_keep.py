"""KEEP upon every click model: insertion, freezing, other knowledge, serving from tables."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from click_inputs import one_request
from click_recipes import CLICK
from knowledge_inputs import base_net, knowledge, known_batch, with_known_rows
from recops_models.click.keep import Keep, KeepConfig, plug_in, with_known, without_known
from recops_models.click.loss import training_loss
from recops_models.data.vocabulary import Vocabulary
from recops_models.evaluation.grouped_auc import auc
from recops_models.examples.click_schema import KNOWN
from recops_models.examples.lookup import Lookup
from recops_models.graphs.coded_rows import CodedRows, Coding
from recops_models.graphs.knowledge import KnowledgeError, Window
from recops_models.recipes.files import load_model, save_model

pytestmark = pytest.mark.usefixtures("one_thread")

LENGTHS = [5, 0, 3, 1, 7, 2]
PLUGS = ["add", "concat", "gate"]


def plugged(name: str = "din", **config: Any) -> Keep:
    """With a plug that has learnt something."""
    model = plug_in(base_net(name), knowledge(), KeepConfig(base=name, **config))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.head.plug.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


@pytest.mark.parametrize("plug", PLUGS)
@pytest.mark.parametrize("name", CLICK)
def test_insertion_changes_nothing_bit_for_bit(name: str, plug: str) -> None:
    some = known_batch(LENGTHS)
    base = base_net(name)
    before = copy.deepcopy(base).eval()(some)
    model = plug_in(base, knowledge(), KeepConfig(base=name, plug=plug))
    assert torch.equal(model.eval()(some), before)
    x, auxiliary = model.bottom(some)
    assert x.shape == (6, model.output_dim())
    assert torch.equal(model.logits(x), before)
    assert auxiliary is None
    # In training too, with the base's own loss.
    other = base_net(name).train()
    torch.manual_seed(3)
    expected = training_loss(other, some)
    torch.manual_seed(3)
    assert torch.equal(training_loss(model.train(), some), expected)


@pytest.mark.parametrize("plug", PLUGS)
def test_a_running_training_goes_on(plug: str) -> None:
    """The optimizer's moments of what was there stay, and the next step of it is the same."""
    some = known_batch(LENGTHS)
    nets = [base_net() for _ in range(2)]
    optimizers = [torch.optim.Adam(each.parameters(), lr=0.01) for each in nets]
    for _ in range(3):
        for each, optimizer in zip(nets, optimizers, strict=True):
            optimizer.zero_grad()
            training_loss(each.train(), some).backward()
            optimizer.step()
    alone, optimizer = nets[1], optimizers[1]
    parameters = list(alone.parameters())
    kept = copy.deepcopy(optimizer.state_dict()["state"])
    model = plug_in(alone, knowledge(), KeepConfig(plug=plug))
    optimizer.add_param_group({"params": list(model.head.plug.parameters())})
    found = optimizer.state_dict()["state"]
    assert found.keys() == kept.keys()
    assert all(torch.equal(found[k]["exp_avg"], kept[k]["exp_avg"]) for k in kept)
    assert {id(p) for p in parameters} <= {id(p) for p in model.parameters()}
    for each, optimizer in zip((nets[0], model), optimizers, strict=True):
        optimizer.zero_grad()
        training_loss(each.train(), some).backward()
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(nets[0].parameters(), parameters, strict=True))
    last = list(model.head.plug.parameters())[-1]
    assert (last != 0).any(), "the plug has begun to learn"


def test_knowledge_and_its_net_have_no_gradients_and_stay() -> None:
    model = plugged()
    before = {name: value.clone() for name, value in model.reader.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, weight_decay=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        training_loss(model.train(), known_batch(LENGTHS)).backward()
        optimizer.step()
    assert all(parameter.grad is None for parameter in model.reader.parameters())
    assert all(
        torch.equal(before[name], value) for name, value in model.reader.state_dict().items()
    )


@pytest.mark.parametrize("parts", [("user",), ("item", "pair"), ("pair", "user", "item")])
def test_parts_are_what_is_read(parts: tuple[str, ...]) -> None:
    some = known_batch(LENGTHS)
    model = plugged(parts=parts).eval()
    widths = {"user": 9, "item": 9, "pair": 8}
    assert model.head.knowledge_width == sum(widths[part] for part in parts)
    expected = model(some)
    for name in ("user", "item"):
        other = {**some.features, KNOWN[name]: torch.full((6,), 3)}
        changed = not torch.equal(model(some._replace(features=other)), expected)
        assert changed is (name in parts or "pair" in parts)
    for wrong in ((), ("user", "user"), ("clicks",)):
        with pytest.raises(ValueError, match="parts must be of user, item and pair, each once"):
            plugged(parts=wrong)


def test_one_user_with_many_candidates() -> None:
    """The user's half of the plug, computed once, gives the logits of computing it per row."""
    model, request = plugged().eval(), with_known_rows(one_request(6, 4))
    assert len(model._known(request)[0]) == 1
    each_row = request._replace(is_one_request=False)
    torch.testing.assert_close(model(request), model(each_row), rtol=0, atol=1e-6)
    x, _ = model.bottom(request)
    torch.testing.assert_close(model.logits(x), model(request), rtol=0, atol=1e-6)


@pytest.mark.parametrize("plug", PLUGS)
def test_serving_from_smaller_tables(plug: str) -> None:
    """bfloat16 moves no logit by .005; int8 moves the AUC by less than .0005."""
    model, some = plugged(plug=plug, plug_hidden=16).eval(), known_batch([3] * 4000, seed=2)
    exact = model(some)
    model.use(knowledge().coded("bfloat16"))
    half = model(some)
    assert 0 < (half - exact).abs().max() < 5e-3
    model.use(knowledge().coded("int8"))
    whole = model(some)
    label = np.random.default_rng(0).random(4000) < exact.sigmoid().detach().numpy()
    lost = auc(exact.detach().numpy(), label) - auc(whole.detach().numpy(), label)
    assert 0 < abs(lost) < 5e-4


def test_other_knowledge_is_refused_by_name() -> None:
    model = plugged()
    later = replace(knowledge(), window=Window(0, 500, True))
    model.use(later)
    with pytest.raises(
        KnowledgeError,
        match="must be of version 0123456789ab, upon which the plug was trained, got ffffffffffff",
    ):
        model.use(knowledge(version="f" * 12))
    for items, lacking in ((np.arange(7, 55), 7), (np.arange(20), 28)):
        others = {**knowledge().lookups, "item": Lookup(Vocabulary(items))}
        with pytest.raises(
            KnowledgeError,
            match=f"of all 48 items that this model knows, got that of shop, which lacks {lacking}",
        ):
            model.use(replace(knowledge(), lookups=others))
    texts = {**knowledge().lookups, "item": Lookup(pa.array(["a", "b"]))}
    with pytest.raises(KnowledgeError, match="items of shop: must be strings"):
        model.use(replace(knowledge(), lookups=texts))


@pytest.mark.parametrize("coding", ["float32", "int8"])
def test_a_longer_window_knows_more_users(coding: Coding) -> None:
    """Those of before have their new rows, wherever these lie; who is new stays unknown."""
    model, some = plugged().eval(), known_batch(LENGTHS)
    before = model(some)
    known = knowledge()
    rows, ids = known.tables["user"].decoded(), known.lookups["user"].keys
    assert isinstance(ids, Vocabulary)
    wider = Lookup(Vocabulary(np.concatenate([[-2, -1], ids.ids, [100]])))
    table = torch.zeros(wider.cardinality, rows.shape[1])
    table[wider.rows(ids.ids)] = rows[2:]
    later = replace(
        known,
        lookups={**known.lookups, "user": wider},
        tables={**known.tables, "user": CodedRows.of(table, coding)},
        window=Window(0, 500, True),
    )
    model.use(later)
    close = 0.0 if coding == "float32" else 0.05
    torch.testing.assert_close(model(some), before, rtol=0, atol=close)
    table[wider.rows(ids.ids)] = rows[2:].flip(0)
    model.use(replace(later, tables={**known.tables, "user": CodedRows.of(table, coding)}))
    assert (model(some) - before).abs().max() > 0.01


@pytest.mark.parametrize("coding", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("name", ["din", "sum-pool", "dien"])
def test_a_file_holds_base_plug_and_knowledge(name: str, coding: str, tmp_path: Path) -> None:
    some, path = known_batch(LENGTHS), tmp_path / "model.safetensors"
    model = plugged(name, coding=coding, plug="gate", parts=("pair", "user")).eval()
    save_model(path, "keep", model)
    found = load_model(path)
    assert isinstance(found, Keep)
    assert torch.equal(found(some), model(some))
    assert replace(found.config, base_sizes=None) == replace(model.config, base_sizes=None)
    assert found.config.version == "0123456789ab"
    assert type(found.base) is type(model.base)
    assert found.base.config == model.base.config


def test_schemas_with_and_without_knowledge() -> None:
    fitted = base_net().schema
    told = with_known(fitted, knowledge())
    assert [f.name for f in told.schema.features][-2:] == list(KNOWN.values())
    assert told.cardinality(KNOWN["item"]) == 50
    assert without_known(told).schema == fitted.schema
    assert without_known(told).lookups.keys() == fitted.lookups.keys()
    assert with_known(told, knowledge()).schema == told.schema
    assert told.schema.candidate == fitted.schema.candidate
