"""KEEP around every click model: insertion, frozen knowledge, other knowledge, requests, files."""

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
from recops_models.click.keep import Keep, KeepConfig, plug_in
from recops_models.click.loss import training_loss
from recops_models.data.vocabulary import Vocabulary
from recops_models.evaluation.grouped_auc import auc
from recops_models.examples.knowledge_features import KNOWN, with_knowledge, without_knowledge
from recops_models.examples.lookup import Lookup
from recops_models.graphs.coded_rows import CodedRows, Coding
from recops_models.graphs.knowledge import KnowledgeError, Window
from recops_models.recipes.files import load_model, save_model

pytestmark = pytest.mark.usefixtures("one_thread")

LENGTHS = [5, 0, 3, 1, 7, 2]
PLUGS = ["add", "concat", "gate"]


def plugged(name: str = "din", **config: Any) -> Keep:
    """Return a model whose plug has nonzero weights."""
    model = plug_in(base_net(name), knowledge(), KeepConfig(base=name, **config))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in model.head.plug.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return model


@pytest.mark.parametrize("plug", PLUGS)
@pytest.mark.parametrize("name", CLICK)
def test_insertion_changes_no_bit(name: str, plug: str) -> None:
    examples = known_batch(LENGTHS)
    base = base_net(name)
    before = copy.deepcopy(base).eval()(examples)
    model = plug_in(base, knowledge(), KeepConfig(base=name, plug=plug))
    assert torch.equal(model.eval()(examples), before)
    x, auxiliary = model.bottom(examples)
    assert x.shape == (6, model.output_dim())
    assert torch.equal(model.logits(x), before)
    assert auxiliary is None
    # The training loss of the base does not change either.
    other = base_net(name).train()
    torch.manual_seed(3)
    expected = training_loss(other, examples)
    torch.manual_seed(3)
    assert torch.equal(training_loss(model.train(), examples), expected)


@pytest.mark.parametrize("plug", PLUGS)
def test_a_training_continues_after_a_plug_is_inserted(plug: str) -> None:
    """The optimizer keeps its moments, and the next step of the base is the same."""
    examples = known_batch(LENGTHS)
    nets = [base_net() for _ in range(2)]
    optimizers = [torch.optim.Adam(net.parameters(), lr=0.01) for net in nets]
    for _ in range(3):
        for net, optimizer in zip(nets, optimizers, strict=True):
            optimizer.zero_grad()
            training_loss(net.train(), examples).backward()
            optimizer.step()
    alone, optimizer = nets[1], optimizers[1]
    parameters = list(alone.parameters())
    state = copy.deepcopy(optimizer.state_dict()["state"])
    model = plug_in(alone, knowledge(), KeepConfig(plug=plug))
    optimizer.add_param_group({"params": list(model.head.plug.parameters())})
    state_after = optimizer.state_dict()["state"]
    assert state_after.keys() == state.keys()
    assert all(torch.equal(state_after[k]["exp_avg"], state[k]["exp_avg"]) for k in state)
    assert {id(p) for p in parameters} <= {id(p) for p in model.parameters()}
    for net, optimizer in zip((nets[0], model), optimizers, strict=True):
        optimizer.zero_grad()
        training_loss(net.train(), examples).backward()
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(nets[0].parameters(), parameters, strict=True))
    last = list(model.head.plug.parameters())[-1]
    assert (last != 0).any(), "the plug must be trained"


def test_knowledge_and_its_net_are_frozen() -> None:
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
def test_only_the_chosen_parts_are_read(parts: tuple[str, ...]) -> None:
    examples = known_batch(LENGTHS)
    model = plugged(parts=parts).eval()
    widths = {"user": 9, "item": 9, "pair": 8}
    assert model.head.knowledge_width == sum(widths[part] for part in parts)
    expected = model(examples)
    for name in ("user", "item"):
        other = {**examples.features, KNOWN[name]: torch.full((6,), 3)}
        changed = not torch.equal(model(examples._replace(features=other)), expected)
        assert changed is (name in parts or "pair" in parts)
    for wrong in ((), ("user", "user"), ("clicks",)):
        with pytest.raises(
            ValueError, match="parts must be one or more of user, item and pair, each once"
        ):
            plugged(parts=wrong)


def test_a_request_computes_the_users_half_once() -> None:
    """The user's half of the plug, computed once, gives the logits of computing it per row."""
    model, request = plugged().eval(), with_known_rows(one_request(6, 4))
    assert len(model._known(request)[0]) == 1
    each_row = request._replace(is_one_request=False)
    torch.testing.assert_close(model(request), model(each_row), rtol=0, atol=1e-6)
    x, _ = model.bottom(request)
    torch.testing.assert_close(model.logits(x), model(request), rtol=0, atol=1e-6)


@pytest.mark.parametrize("plug", PLUGS)
def test_smaller_codings_change_predictions_little(plug: str) -> None:
    """bfloat16 changes logits by less than .005, int8 the AUC by less than .0005."""
    model, examples = plugged(plug=plug, plug_hidden=16).eval(), known_batch([3] * 4000, seed=2)
    exact = model(examples)
    model.use(knowledge().coded("bfloat16"))
    half = model(examples)
    assert 0 < (half - exact).abs().max() < 5e-3
    model.use(knowledge().coded("int8"))
    coded = model(examples)
    label = np.random.default_rng(0).random(4000) < exact.sigmoid().detach().numpy()
    loss_of_auc = auc(exact.detach().numpy(), label) - auc(coded.detach().numpy(), label)
    assert 0 < abs(loss_of_auc) < 5e-4


def test_invalid_knowledge_is_refused() -> None:
    model = plugged()
    later = replace(knowledge(), window=Window(0, 500, True))
    model.use(later)
    with pytest.raises(
        KnowledgeError,
        match="must have version 0123456789ab, with which the plug was trained, got ffffffffffff",
    ):
        model.use(knowledge(version="f" * 12))
    for items, lacking in ((np.arange(7, 55), 7), (np.arange(20), 28)):
        others = {**knowledge().lookups, "item": Lookup(Vocabulary(items))}
        with pytest.raises(
            KnowledgeError,
            match=f"all 48 items that this model knows, but that of shop lacks {lacking}",
        ):
            model.use(replace(knowledge(), lookups=others))
    texts = {**knowledge().lookups, "item": Lookup(pa.array(["a", "b"]))}
    with pytest.raises(KnowledgeError, match="items of shop: must be strings"):
        model.use(replace(knowledge(), lookups=texts))


@pytest.mark.parametrize("coding", ["float32", "int8"])
def test_a_longer_window_knows_more_users(coding: Coding) -> None:
    """Known users get their new rows, in any order; new users stay unknown."""
    model, examples = plugged().eval(), known_batch(LENGTHS)
    before = model(examples)
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
    torch.testing.assert_close(model(examples), before, rtol=0, atol=close)
    table[wider.rows(ids.ids)] = rows[2:].flip(0)
    model.use(replace(later, tables={**known.tables, "user": CodedRows.of(table, coding)}))
    assert (model(examples) - before).abs().max() > 0.01


@pytest.mark.parametrize("coding", ["float32", "bfloat16", "int8"])
@pytest.mark.parametrize("name", ["din", "sum-pool", "dien"])
def test_a_file_holds_base_plug_and_knowledge(name: str, coding: str, tmp_path: Path) -> None:
    examples, path = known_batch(LENGTHS), tmp_path / "model.safetensors"
    model = plugged(name, coding=coding, plug="gate", parts=("pair", "user")).eval()
    save_model(path, "keep", model)
    loaded = load_model(path)
    assert isinstance(loaded, Keep)
    assert torch.equal(loaded(examples), model(examples))
    assert replace(loaded.config, base_sizes=None) == replace(model.config, base_sizes=None)
    assert loaded.config.version == "0123456789ab"
    assert type(loaded.base) is type(model.base)
    assert loaded.base.config == model.base.config


def test_schemas_with_and_without_knowledge() -> None:
    fitted = base_net().schema
    wider = with_knowledge(fitted, knowledge().lookups)
    assert [f.name for f in wider.schema.features][-2:] == list(KNOWN.values())
    assert wider.cardinality(KNOWN["item"]) == 50
    assert without_knowledge(wider).schema == fitted.schema
    assert without_knowledge(wider).lookups.keys() == fitted.lookups.keys()
    assert with_knowledge(wider, knowledge().lookups).schema == wider.schema
    assert wider.schema.candidate == fitted.schema.candidate
