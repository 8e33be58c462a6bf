"""MIMN and HPMN: formulas, streams, requests, quirks, regularisers, learning."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import recops
from click_inputs import batch, one_request, prefix_batches, schema
from click_recipes import net
from recops.files import load_tensors, save_tensors
from recops_models.click.loss import click_loss, training_loss
from recops_models.click.mimn import Mimn, MimnConfig
from recops_models.click.mimn_released import ReleasedMimn
from recops_models.click.model import ClickModel
from recops_models.examples.batch import Batch
from recops_models.recipes.files import load_model, save_model

LENGTHS = [5, 0, 3, 1, 7, 2]
NAMES = ("mimn", "hpmn")


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Any) -> None:
    set_threads(1)


def memory(name: str, **sizes: Any) -> Any:
    """Return a model; equal sizes give equal weights, and large rows give sharper tests."""
    torch.manual_seed(0)
    fitted = replace(schema(), moments={"age": (3.0, 2.0)})
    model = net(name, fitted, **{"width": 4, "hidden": (8,), **sizes})
    for table in model.embedding.tables.values():
        nn.init.normal_(table.weight[1:])
    return model


@pytest.mark.parametrize("pool", ["sum", "mean"])
def test_mimn_is_an_mlp_of_context_and_memory_reads(pool: str) -> None:
    model = memory("mimn", slots=3, state=5, pool=pool).eval()
    examples, embedding, config = batch(LENGTHS), model.embedding, model.config
    query, events, lengths = (
        embedding.query(examples),
        embedding.keys(examples),
        embedding.lengths(examples),
    )
    params = model.memory.params()
    options = {"utilization": config.utilization, "induction_topk": config.induction_topk}
    _, state = recops.reference.mimn_scan(events, params, lengths=lengths, **options)
    rows = torch.arange(len(LENGTHS))
    output, _, channels = recops.reference.mimn_read(state, rows, query, params, **options)
    divisor = lengths.clamp(min=1)[:, None] if pool == "mean" else 1
    attended = model.attention(query, channels, torch.full_like(rows, 3))
    parts = [events.sum(1) / divisor, output, state.added / divisor * query, attended]
    x = torch.cat([*embedding.context(examples), *parts], -1)
    torch.testing.assert_close(model(examples), model.head(x).squeeze(-1), rtol=1e-4, atol=1e-5)


def test_hpmn_is_an_mlp_of_context_and_slot_reads() -> None:
    model = memory("hpmn", splits=(2, 3), state=5).eval()
    assert model.config.periods == (1, 2, 6)
    examples, embedding = batch(LENGTHS), model.embedding
    query, events, lengths = (
        embedding.query(examples),
        embedding.keys(examples),
        embedding.lengths(examples),
    )
    params = model.memory.params()
    _, state = recops.reference.hpmn_scan(events, params, periods=(1, 2, 6), lengths=lengths)
    read, _ = recops.reference.hpmn_read(query, state, torch.arange(len(LENGTHS)), params)
    x = torch.cat([*embedding.context(examples), read], -1)
    torch.testing.assert_close(model(examples), model.head(x).squeeze(-1), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_candidates_of_one_user_read_one_memory(name: str) -> None:
    model = memory(name).eval()
    request = one_request(6, 5)
    torch.testing.assert_close(model(request), model(request._replace(is_one_request=False)))
    events, _ = model.embedding.histories(request)
    assert len(events) == 1


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("mimn", {}),
        ("mimn", {"auxiliary": "mlp"}),
        ("mimn", {"compat": ("target",)}),
        ("mimn", {"compat": ("channels",)}),
        ("hpmn", {}),
    ],
)
def test_shared_prefixes_of_histories_are_written_once(name: str, sizes: dict[str, Any]) -> None:
    """Logits have the same bits; gradients differ only in the order of sums."""
    batches = prefix_batches([3, 7, 0, 6, 6])
    models = [memory(name, **sizes) for _ in range(2)]
    scores = [model.eval()(examples) for model, examples in zip(models, batches, strict=True)]
    assert torch.equal(*scores)
    for model, examples in zip(models, batches, strict=True):
        torch.manual_seed(1)  # The auxiliary loss draws.
        training_loss(model.train(), examples).backward()
    for (parameter, a), b in zip(models[0].named_parameters(), models[1].parameters(), strict=True):
        if a.grad is None:
            assert b.grad is None
        else:
            torch.testing.assert_close(b.grad, a.grad, rtol=1e-3, atol=1e-6, msg=parameter)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("cut", [0, 1, 4])
def test_single_steps_give_the_state_of_a_scan(name: str, cut: int) -> None:
    """Stored states must have the same bits as scanned ones."""
    model = memory(name).eval()
    examples = batch([6, 6, 6])
    events, params = model.embedding.keys(examples), model.memory.params()
    lengths = torch.full((3,), 6)
    if name == "mimn":
        expected = model.write(events, lengths)[1]
        pool = recops.MimnState.zeros(params, 3)
        options = {"utilization": "code", "induction_topk": 1}
        step = recops.mimn_step_
    else:
        expected = model.write(events, lengths)[1]
        pool = recops.HpmnState.zeros(params, 3)
        options = {"periods": model.config.periods}
        step = recops.hpmn_step_
    with torch.no_grad():
        for part in (slice(0, cut), slice(cut, 6)):
            rows = torch.tensor([2, 0, 1]).repeat_interleave(len(range(6)[part]))
            step(pool, rows, events[[2, 0, 1], part].flatten(0, 1).contiguous(), params, **options)
    for key, value in expected.state_dict().items():
        assert torch.equal(pool.state_dict()[key], value), key


def written_memory(model: Any, examples: Batch) -> torch.Tensor:
    """Return the memory that the model writes for a batch."""
    states = []
    write = model.write
    model.write = lambda *arguments: states.append(write(*arguments)) or states[-1]
    model(examples)
    return states[0][1].memory


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("compat", "is_equal"), [((), True), (("target",), False)])
def test_the_candidate_is_written_only_with_the_quirk_target(
    name: str, compat: tuple[str, ...], is_equal: bool
) -> None:
    examples = batch(LENGTHS)
    other = examples._replace(
        features=examples.features | {"item": examples.features["item"] % 7 + 2}
    )
    memories = [
        written_memory(memory(name, compat=compat).eval(), variant) for variant in (examples, other)
    ]
    assert torch.equal(*memories) is is_equal


def released_channels(
    events: torch.Tensor, lengths: torch.Tensor, model: Any
) -> tuple[torch.Tensor, Any]:
    """Return the released code's buffer of outputs and the state, event by event.

    Its cell computes ``previous · (1 − moved) + new · moved``, where ``previous`` is never written.
    """
    config, params = model.config, model.memory.params()
    options = {"utilization": config.utilization, "induction_topk": config.induction_topk}
    state = recops.MimnState.zeros(params, len(events))
    users = torch.arange(len(events))
    buffer = torch.zeros_like(state.channels)
    for step in range(events.shape[1]):
        weights = recops.reference.mimn_read(state, users, events[:, step], params, **options)[1]
        inside = (lengths > step).long()
        event = events[:, step : step + 1]
        state = recops.reference.mimn_scan(event, params, state, lengths=inside, **options)[1]
        moved = torch.zeros_like(weights)
        moved.scatter_(1, weights.topk(config.induction_topk, dim=1).indices, 1.0)
        output = state.channels * moved[..., None]  # A previous output of zero adds nothing.
        buffer = torch.where(inside.bool()[:, None, None], output, buffer)
    return buffer, state


@pytest.mark.parametrize("topk", [1, 2])
def test_released_channels_are_those_of_the_last_event(topk: int) -> None:
    model = memory("mimn", slots=3, compat=("channels",), induction_topk=topk).eval()
    assert type(model) is ReleasedMimn
    examples, embedding = batch(LENGTHS), model.embedding
    query, events, lengths = (
        embedding.query(examples),
        embedding.keys(examples),
        embedding.lengths(examples),
    )
    buffer, expected = released_channels(events, lengths, model)
    state = model.batch_state(examples, query)
    torch.testing.assert_close(state.channels, buffer, rtol=1e-4, atol=1e-6)
    zero = (state.channels == 0).all(-1).sum(1)
    assert zero.tolist() == [3 if not length else 3 - topk for length in LENGTHS]
    torch.testing.assert_close(state.memory, expected.memory, rtol=1e-4, atol=1e-6)
    users = torch.arange(len(LENGTHS))
    params = model.memory.params()
    options = {"utilization": model.config.utilization, "induction_topk": topk}
    output = recops.reference.mimn_read(expected, users, query, params, **options)[0]
    divisor = lengths.clamp(min=1)[:, None]
    attended = model.attention(query, buffer, torch.full_like(users, 3))
    parts = [events.sum(1) / divisor, output, expected.added / divisor * query, attended]
    x = torch.cat([*embedding.context(examples), *parts], -1)
    torch.testing.assert_close(model(examples), model.head(x).squeeze(-1), rtol=1e-4, atol=1e-5)


def test_released_channels_change_neither_outputs_nor_memory() -> None:
    plain, released = memory("mimn"), memory("mimn", compat=("channels",))
    examples = batch(LENGTHS)
    histories = plain.histories(examples, plain.embedding.query(examples))
    (outputs, state), (others, other) = (model.scanned(*histories) for model in (plain, released))
    assert torch.equal(outputs, others)
    for name, values in state.state_dict().items():
        assert torch.equal(values, other.state_dict()[name]) is (name != "channels"), name


def test_released_channels_are_off_by_default() -> None:
    assert memory("mimn").config.compat == ()
    assert type(memory("mimn", compat=("target",))) is Mimn
    with pytest.raises(ValueError, match="ReleasedMimn"):
        Mimn(schema(), MimnConfig(compat=("channels",)))


def test_regularisers_follow_their_formulas() -> None:
    examples = batch(LENGTHS)
    for name, setting in (("mimn", "utilization_weight"), ("hpmn", "covariance_weight")):
        unregularised, plain = (memory(name, **{setting: weight}) for weight in (0.0, 0.5))
        x, added = plain.bottom(examples)
        events, lengths = plain.embedding.histories(examples)
        state = plain.write(events, lengths)[1]
        if name == "mimn":
            usage = state.usage / lengths.clamp(min=1)[:, None]
            expected = (usage - usage.mean(1, keepdim=True)).square().sum(1).mean()
        else:
            centred = state.memory - state.memory.mean(2, keepdim=True)
            covariance = centred @ centred.mT / centred.shape[2]
            off = covariance - torch.diag_embed(covariance.diagonal(dim1=1, dim2=2))
            expected = off.square().sum((1, 2)).sqrt().mean()
        torch.testing.assert_close(added, 0.5 * expected, rtol=1e-4, atol=1e-6)
        assert torch.equal(unregularised.bottom(examples)[0], x)
        assert plain.eval().bottom(examples)[1] is None


def released_covariance_loss(states: torch.Tensor) -> torch.Tensor:
    """Return 10⁻⁵ times the sum over the batch of ``‖C − diag C‖``, as the released HPMN does."""
    centred = states - states.mean(2, keepdim=True)
    covariance = torch.einsum("bih,bjh->bij", centred, centred) / states.shape[2]
    off = covariance - torch.diag_embed(covariance.diagonal(dim1=1, dim2=2))
    norms: torch.Tensor = off.flatten(1).norm(dim=1)
    return 1e-5 * norms.sum()


@pytest.mark.parametrize(
    ("users", "compat", "share"),
    [(128, (), 1.0), (64, (), 2.0), (64, ("norm",), 1.0), (128, ("norm",), 1.0)],
)
def test_the_default_covariance_loss_has_the_released_gradient(
    users: int, compat: tuple[str, ...], share: float
) -> None:
    """The mean over users keeps the strength of the released batch of 128 at any batch size."""
    model: Any = memory("hpmn", compat=compat)
    lengths = [3 + user % 4 for user in range(users)]
    states = []
    write = model.write

    def write_and_record(*arguments: Any) -> Any:
        outputs, state = write(*arguments)
        state.memory.retain_grad()
        states.append(state.memory)
        return outputs, state

    model.write = write_and_record
    added = model.bottom(batch(lengths))[1]
    added.backward()
    leaf = states[0].detach().requires_grad_()
    released_covariance_loss(leaf).backward()
    assert leaf.grad is not None
    assert leaf.grad.abs().max() > 0
    torch.testing.assert_close(states[0].grad, share * leaf.grad, rtol=1e-4, atol=1e-12)


def test_a_file_without_the_covariance_setting_loads(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = memory("hpmn", compat=("norm",), covariance_weight=1e-5)
    save_model(path, "hpmn", model)
    tensors, meta = load_tensors(path, kind="recommender")
    del meta["config"]["covariance"]
    save_tensors(path, tensors, kind="recommender", meta=meta)
    stored = load_model(path)
    assert isinstance(stored, ClickModel)
    assert stored.config == model.config
    examples = batch(LENGTHS)
    assert torch.equal(stored.eval()(examples), model.eval()(examples))


def test_squared_covariances_are_an_option() -> None:
    examples = batch(LENGTHS)
    model: Any = memory("hpmn", covariance="squared", covariance_weight=0.5)
    expected = recops.memory_covariance(written_memory(model, examples)).mean() / 2
    torch.testing.assert_close(model.bottom(examples)[1], expected)


@pytest.mark.parametrize(
    ("name", "sizes"),
    [
        ("mimn", {"utilization": "code"}),
        ("mimn", {"utilization": "paper", "auxiliary": "mlp", "induction_topk": 2}),
        ("mimn", {"utilization": "none", "auxiliary": "inner", "induction_topk": 0}),
        ("mimn", {"compat": ("target",)}),
        ("mimn", {"compat": ("channels",), "auxiliary": "mlp"}),
        ("mimn", {"compat": ("target", "channels"), "induction_topk": 3}),
        ("hpmn", {}),
        ("hpmn", {"compat": ("target", "norm"), "splits": ()}),
    ],
)
def test_gradients_are_finite_for_any_lengths(name: str, sizes: dict[str, Any]) -> None:
    for lengths in (LENGTHS, [0], [1], [0, 0, 4]):
        model: ClickModel = memory(name, **sizes)
        loss = training_loss(model, batch(lengths))
        loss.backward()
        assert loss.isfinite()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("name", NAMES)
def test_memory_models_learn_whether_the_history_has_the_item(name: str) -> None:
    examples = batch([6] * 64)
    model = memory(name, width=8, hidden=(16,), activation="relu")
    target, history = examples.features["item"], examples.features["history_item"]
    examples = examples._replace(label=(target[:, None] == history).any(1).float())
    position = torch.randint(6, (64,))
    is_positive = torch.arange(64) % 2 == 0
    items = torch.where(is_positive, history[torch.arange(64), position], target)
    examples = examples._replace(features=examples.features | {"item": items})
    examples = examples._replace(label=(items[:, None] == history).any(1).float())
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        optimizer.zero_grad()
        training_loss(model, examples).backward()
        optimizer.step()
    assert click_loss(model.eval()(examples), examples.label) < 0.3


@pytest.mark.parametrize(
    ("name", "sizes", "message"),
    [
        ("mimn", {"compat": ("channel",)}, "compat must be among target, channels, got 'channel'"),
        ("mimn", {"compat": ("channels",), "induction_topk": 0}, "channels needs induction_topk"),
        ("mimn", {"utilization_weight": -1.0}, "utilization_weight must be ≥ 0, got -1.0"),
        ("mimn", {"induction_topk": 9}, "induction_topk must be from 0 to slots=8, got 9"),
        ("mimn", {"state": 5, "auxiliary": "mlp"}, "auxiliary needs state="),
        ("hpmn", {"compat": ("square",)}, "compat must be among target, norm, got 'square'"),
        ("hpmn", {"splits": (2, 0)}, r"splits must be ≥ 1, got \(2, 0\)"),
        ("hpmn", {"covariance_weight": -1.0}, "covariance_weight must be ≥ 0"),
        (
            "hpmn",
            {"compat": ("norm",), "covariance": "squared"},
            "covariance must be norm with compat=norm, got squared",
        ),
    ],
)
def test_invalid_settings_are_refused(name: str, sizes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        memory(name, **sizes)


@pytest.mark.parametrize("name", NAMES)
def test_an_empty_batch_has_zero_loss(name: str) -> None:
    model = memory(name).train()
    assert training_loss(model, batch([])) == 0
