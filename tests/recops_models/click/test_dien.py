"""DIEN: equations, auxiliary loss, quirks of the released code, and requests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from click_inputs import SIZES, batch, one_request, schema
from recops import reference
from recops_models.click.dien import DienConfig, Quirk
from recops_models.click.loss import click_loss, training_loss
from recops_models.click.rocket import Rocket, RocketConfig
from recops_models.examples.batch import Batch
from recops_models.examples.features import Categorical, Sequence
from recops_models.layers.next_event import NextEvent, draw_events, rows_of
from recops_models.layers.recurrent import Recurrent
from recops_models.layers.target_attention import BilinearAttention
from recops_models.recipes.dien import make_dien
from recops_models.recipes.files import load_model, save_model

LENGTHS = [5, 0, 3, 1, 7, 2]
EVOLUTIONS = ["augru", "agru", "aigru", "none"]
QUIRKS = get_args(Quirk)


@pytest.fixture(autouse=True)
def _one_thread(set_threads) -> None:
    set_threads(1)


def dien(**config: Any) -> Any:
    """Return a model; equal sizes give equal weights, and large rows give sharper tests."""
    torch.manual_seed(0)
    fitted = replace(schema(), moments={"age": (3.0, 2.0)})
    model = make_dien(fitted, DienConfig(**{"width": 6, "hidden": (8,), **config}))
    for table in model.embedding.tables.values():
        nn.init.normal_(table.weight[1:])
    return model


def defined_interest(model: Any, examples: Batch) -> Tensor:
    """Return the interest ``[B, d]`` by its definition, row by row and step by step."""
    query, events = model.embedding.query(examples), model.embedding.keys(examples)
    interests = []
    for row, length in enumerate(examples.lengths["history_item"].tolist()):
        weights = {
            f"{kind}_{side}": getattr(model.extractor, f"{long}_{side}")
            for kind, long in (("w", "weight"), ("b", "bias"))
            for side in ("ih", "hh")
        }
        states, _ = reference.recurrent_layer(events[row : row + 1, :length], **weights)
        q = query[row].expand(length, -1)
        k = states[0]
        pairs = torch.cat([q, k, q - k, q * k], -1)
        hidden = F.linear(pairs, model.attention.pair.weight, model.attention.pair.bias)
        a = model.attention.score(hidden).squeeze(-1).softmax(0)[None]
        evolving = model.evolution
        weights_of_cell = (
            evolving.weight_ih,
            evolving.weight_hh,
            evolving.bias_ih,
            evolving.bias_hh,
        )
        options = {"reset": evolving.reset, "update": evolving.update}
        if model.config.evolution == "aigru":
            _, last = reference.recurrent_layer(a[..., None] * states, *weights_of_cell, **options)
        else:
            cell = model.config.evolution
            _, last = reference.recurrent_layer(
                states, *weights_of_cell, attention=a, cell=cell, **options
            )
        interests.append(last)
    return torch.cat(interests)


@pytest.mark.parametrize(
    ("evolution", "update"),
    [("augru", "paper"), ("augru", "or"), ("agru", "paper"), ("aigru", "paper")],
)
def test_logits_are_an_mlp_of_context_and_evolved_interest(evolution: str, update: str) -> None:
    model = dien(evolution=evolution, update=update).double().eval()
    examples = batch(LENGTHS)
    examples = examples._replace(
        features={
            k: v.double() if v.is_floating_point() else v for k, v in examples.features.items()
        }
    )
    x = torch.cat([*model.embedding.context(examples), defined_interest(model, examples)], -1)
    torch.testing.assert_close(model(examples), model.head(x).squeeze(-1))


def test_both_updates_give_different_logits() -> None:
    examples = batch([4, 5])
    paper, released = (dien(update=update).eval() for update in ("paper", "or"))
    assert (paper(examples) - released(examples)).abs().max() > 1e-4


def test_bilinear_attention_follows_its_equation() -> None:
    layer = BilinearAttention(6)
    query, keys, lengths = torch.randn(3, 6), torch.randn(3, 5, 6), torch.tensor([5, 0, 2])
    pooled = layer(query, keys, lengths)
    for q, k, length, interest in zip(query, keys, lengths.tolist(), pooled, strict=True):
        weights = torch.softmax(q @ layer.weight @ k[:length].T, 0)
        torch.testing.assert_close(interest, weights @ k[:length])


@pytest.mark.parametrize("over_all_cells", [False, True])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("scorer", ["mlp", "inner"])
def test_the_auxiliary_loss_equals_its_definition(scorer, affine, over_all_cells) -> None:
    torch.manual_seed(0)
    layer = NextEvent(4, (5, 3), scorer, affine=affine, over_all_cells=over_all_cells).double()
    states, events = torch.randn(4, 6, 4).double(), torch.randn(4, 6, 4).double()
    events[3, 1] = events[0, 2].clone()  # A draw may equal the next event.
    states.requires_grad_()
    events.requires_grad_()
    lengths = torch.tensor([6, 0, 1, 3])
    if scorer == "mlp" and affine:
        nn.init.normal_(layer.scale)
        nn.init.normal_(layer.shift)

    def score(h: Tensor, e: Tensor) -> Tensor:
        if scorer == "inner":
            return h @ e
        x = torch.cat([h, e])
        if affine:
            x = x * layer.scale + layer.shift
        return layer.rest(torch.sigmoid(layer.first(x)))[0]

    total, cells = torch.zeros(()).double(), 0
    torch.manual_seed(3)
    flat, drawn = events.flatten(0, 1), draw_events(lengths, 4, 5, 6)
    equals = 0
    for row, length in enumerate(lengths.tolist()):
        for t in range(length - 1):
            following, other = events[row, t + 1], flat[drawn[row, t]]
            total = total - F.logsigmoid(score(states[row, t], following))
            if torch.equal(following, other):
                equals += 1
            else:
                total = total - torch.log(1 - torch.sigmoid(score(states[row, t], other)))
            cells += 1
    torch.manual_seed(3)
    loss = layer(states, events, lengths)
    expected = total / (4 * 5 if over_all_cells else cells)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-6)
    leaves = [states, events, *layer.parameters()]
    gradients = [torch.autograd.grad(3 * value, leaves) for value in (loss, expected)]
    for gradient, expected_gradient in zip(*gradients, strict=True):
        torch.testing.assert_close(gradient, expected_gradient, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        torch.manual_seed(3)
        assert torch.equal(layer(states, events, lengths), loss)


@pytest.mark.parametrize("hidden", [(100, 50), (7,)])
def test_the_auxiliary_loss_equals_the_reference(hidden) -> None:
    """The input spans several blocks of the op."""
    torch.manual_seed(0)
    layer = NextEvent(6, hidden)
    leaves = [torch.randn(40, 90, 6, requires_grad=True) for _ in range(2)]
    lengths = torch.randint(0, 91, (40,))
    torch.manual_seed(1)
    loss = layer(*leaves, lengths)
    torch.manual_seed(1)
    drawn = draw_events(lengths, 40, 89, 90)
    total = reference.next_event_loss(*leaves, drawn, layer.layers(), lengths=lengths)
    expected = total / (lengths - 1).clamp(min=0).sum()
    leaves += layer.parameters()
    gradients = [torch.autograd.grad(value, leaves) for value in (loss, expected)]
    for fused, composed in zip((loss, *gradients[0]), (expected, *gradients[1]), strict=True):
        torch.testing.assert_close(fused, composed, rtol=1e-4, atol=1e-6)


def test_a_draw_equal_to_the_next_event_has_no_second_term() -> None:
    layer = NextEvent(2, scorer="inner")
    events = torch.ones(1, 3, 2)  # Every draw equals the next event.
    states = torch.randn(1, 3, 2)
    loss = layer(states, events, torch.tensor([3]))
    torch.testing.assert_close(loss, F.softplus(-states[0, :2].sum(-1)).mean())


def test_draws_are_uniform_over_valid_events() -> None:
    torch.manual_seed(0)
    lengths = torch.tensor([0, 3, 0, 1, 2, 0])
    drawn = draw_events(lengths, 300, 100, 4)
    indices, counts = drawn.unique(return_counts=True)
    assert indices.tolist() == [4, 5, 6, 12, 16, 17]
    assert (counts / 30_000 - 1 / 6).abs().max() < 0.01
    torch.manual_seed(0)
    assert torch.equal(drawn, draw_events(lengths, 300, 100, 4))


@pytest.mark.parametrize("lengths", [[], [0], [1], [0, 0], [1, 1, 0], [2]])
@pytest.mark.parametrize("scorer", ["mlp", "inner"])
def test_the_auxiliary_loss_of_short_histories_is_finite(scorer, lengths) -> None:
    model = dien(auxiliary=scorer)
    loss = training_loss(model, batch(lengths))
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    _, auxiliary = model.bottom(batch(lengths))
    assert (auxiliary > 0) == (max([0, *lengths]) > 1)


@pytest.mark.parametrize("evolution", EVOLUTIONS)
@pytest.mark.parametrize("scorer", ["mlp", "inner"])
def test_every_weight_has_a_gradient(evolution: str, scorer: str) -> None:
    model = dien(evolution=evolution, auxiliary=scorer, compat=("affine", "query", "sums"))
    training_loss(model, batch(LENGTHS)).backward()
    weights = dict(model.named_parameters())
    # A softmax is invariant to this bias, so its gradient is zero up to rounding.
    assert weights.pop("attention.score.1.2.bias").grad.abs() < 1e-8
    without_gradient = [n for n, p in weights.items() if p.grad is None or not p.grad.any()]
    assert without_gradient == []


def test_the_auxiliary_loss_scales_with_alpha_and_changes_no_prediction() -> None:
    examples, losses = batch(LENGTHS), []
    for weight in (1.0, 0.5, 0.0):
        model = dien(auxiliary_weight=weight)
        torch.manual_seed(1)
        x, auxiliary = model.bottom(examples)
        losses.append(auxiliary)
        evaluated, no_loss = model.eval().bottom(examples)
        assert torch.equal(evaluated, x)
        assert no_loss is None
    assert losses[0] > 0
    assert losses[2] is None
    torch.testing.assert_close(losses[1], losses[0] / 2)
    plain = dien(auxiliary="none")
    assert plain.bottom(examples)[1] is None
    assert not [name for name in plain.state_dict() if name.startswith("auxiliary")]


def test_without_recurrences_dien_is_din_with_an_auxiliary_loss() -> None:
    examples = batch(LENGTHS)
    model = dien(extractor="none", evolution="none").eval()
    query, events = model.embedding.query(examples), model.embedding.keys(examples)
    interest = model.attention(query, events, model.embedding.lengths(examples))
    x = torch.cat([*model.embedding.context(examples), interest], -1)
    torch.testing.assert_close(model(examples), model.head(x).squeeze(-1))
    assert model.train().bottom(examples)[1] > 0


@pytest.mark.parametrize("share", ["none", "embedding", "bottom"])
def test_a_rocket_counts_every_auxiliary_loss_once(share: str) -> None:
    examples, losses = batch(LENGTHS), []
    model = Rocket(dien(), dien(), RocketConfig(share=share, hint_weight=0.0))
    for part in {net.auxiliary for net in model.nets()}:
        part.register_forward_hook(lambda *hooked: losses.append(hooked[2]))
    loss = model.loss(examples)
    assert len(losses) == (1 if share == "bottom" else 2)
    auxiliary = sum(losses)
    cross_entropies = [click_loss(net(examples), examples.label) for net in model.nets()]
    torch.testing.assert_close(loss, sum(cross_entropies) + auxiliary)


@pytest.mark.parametrize("compat", [(), ("released",)])
@pytest.mark.parametrize("evolution", EVOLUTIONS)
@pytest.mark.parametrize("length", [5, 1, 0])
def test_candidates_of_one_user_share_its_states(evolution, compat, length) -> None:
    model = dien(evolution=evolution, compat=compat).eval()
    read = []
    model.extractor.register_forward_hook(lambda *hooked: read.append(len(hooked[1][0])))
    request = one_request(7, length)
    with torch.no_grad():
        logits = model(request)
        torch.testing.assert_close(logits, model(request._replace(is_one_request=False)))
    assert read == [1, 7]


def test_states_and_draws_have_the_same_bits_at_any_number_of_threads(set_threads) -> None:
    """Torch's own products and sums do not have this property, so full trainings do not either."""
    torch.manual_seed(0)
    lengths, events = torch.tensor([40, 0, 33, 12] * 64), torch.randn(256, 40, 32)
    attention, results = torch.rand(256, 40), []
    first, second = Recurrent(32, 32), Recurrent(32, 32, "augru")
    for threads in (1, 2, 3):
        set_threads(threads)
        torch.manual_seed(1)
        inputs = [tensor.clone().requires_grad_() for tensor in (events, attention)]
        _, last = second(first(inputs[0], lengths)[0], lengths, inputs[1])
        drawn = draw_events(lengths, 256, 39, 40)
        leaves = [*inputs, *first.parameters(), *second.parameters()]
        outputs = [last, rows_of(inputs[0], drawn)]
        weights = [torch.ones_like(tensor) for tensor in outputs]
        results.append([drawn, *outputs, *torch.autograd.grad(outputs, leaves, weights)])
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Raised by torch.compile.
@torch.no_grad()
def test_the_loss_is_one_graph_for_every_shape() -> None:
    """Only the capture is tested; inductor takes minutes to compile the graph with its gradient."""
    torch._dynamo.reset()
    model = dien(dropout=0.0)
    compiled = torch.compile(training_loss, dynamic=True, fullgraph=True, backend="eager")
    for lengths in ([5, 0, 3, 2], [1, 7, 4]):
        examples, losses = batch(lengths), []
        for loss_of in (training_loss, compiled):
            torch.manual_seed(1)
            losses.append(loss_of(model.eval(), examples))
        torch.testing.assert_close(losses[1], losses[0])


@pytest.mark.parametrize("compat", [(), ("released",), ("dice", "cell")])
def test_a_saved_model_is_restored_bit_for_bit(compat: tuple[Quirk, ...], tmp_path: Path) -> None:
    model = dien(compat=compat, evolution="augru", auxiliary="inner").eval()
    save_model(tmp_path / "model.safetensors", "dien", model)
    loaded = load_model(tmp_path / "model.safetensors")
    examples = batch(LENGTHS)
    assert loaded.config == model.config
    assert torch.equal(loaded(examples), model(examples))


def test_quirks_of_the_cell() -> None:
    model = dien(compat=("cell",))
    for layer in (model.extractor, model.evolution):
        assert (layer.reset, layer.update, layer.bias_hh) == ("before", "or", None)
        assert (layer.bias_ih[:24] == 1).all()
        assert (layer.bias_ih[24:] == 0).all()
        limits = [(6 / (24 + 24)) ** 0.5, (6 / (24 + 12)) ** 0.5]
        for weight in (layer.weight_ih, layer.weight_hh):
            for rows, limit in zip((weight[:24], weight[24:]), limits, strict=True):
                assert 0.8 * limit < rows.abs().max() <= limit
    assert dien().evolution.bias_hh is not None


def test_quirks_of_the_query() -> None:
    model, examples = dien(compat=("query",)).eval(), batch([5] * 4)
    assert (model.query[1].weight == 0.1).all()
    for parameter in model.attention.parameters():
        parameter.detach().mul_(20)
    before = model(examples)
    nn.init.zeros_(model.query[0].weight)  # All candidates are equal now.
    assert not torch.allclose(model(examples), before)


def test_quirks_of_batch_norms_that_never_train() -> None:
    model, examples = dien(compat=("affine",)), batch(LENGTHS)
    model.head[0].scale.detach().mul_(0)
    logits = model.eval()(examples)
    torch.testing.assert_close(logits, logits[:1].expand(6))
    assert (model.auxiliary.scale == 1).all()
    assert (model.auxiliary.shift == 0).all()


def test_quirks_of_the_auxiliary_loss() -> None:
    losses = []
    for compat in ((), ("auxiliary",)):
        torch.manual_seed(5)
        states = torch.randn(6, 7, 12)
        model, lengths = dien(compat=compat), torch.tensor(LENGTHS)
        torch.manual_seed(5)
        losses.append(model.auxiliary(states, states, lengths))
        assert model.config.has("auxiliary") is bool(compat)
    cells = sum(max(length - 1, 0) for length in LENGTHS)
    torch.testing.assert_close(losses[1], losses[0] * cells / (6 * 6))
    examples = batch(LENGTHS)
    model = dien(compat=("auxiliary",))
    torch.manual_seed(1)
    auxiliary = model.bottom(examples)[1]
    torch.manual_seed(1)
    events = model.embedding.keys(examples)
    loss = model.auxiliary(model.extractor(events, lengths)[0], events, lengths)
    torch.testing.assert_close(auxiliary, 2 * loss)


def test_quirks_of_sums_over_padding() -> None:
    model, examples = dien(compat=("sums",)).eval(), batch([5, 2])
    wider = {
        name: F.pad(ids, (0, 4)) if name.startswith("history") else ids
        for name, ids in examples.features.items()
    }
    x, padded = (
        model.bottom(variant)[0] for variant in (examples, examples._replace(features=wider))
    )
    start = model.embedding.context_dim
    torch.testing.assert_close(
        padded[:, start : start + 12] - x[:, start : start + 12],
        (4 * model.padding).expand(2, 12),
    )
    events, query = model.embedding.keys(examples), model.embedding.query(examples)
    torch.testing.assert_close(x[0, start : start + 12], events[0].sum(0))
    torch.testing.assert_close(x[0, start + 12 : start + 24], query[0] * events[0].sum(0))


def first_row(examples: Batch) -> Batch:
    cut = ({k: v[:1] for k, v in part.items()} for part in examples[:2])
    return Batch(*cut, examples.label[:1], examples.group[:1])


def test_quirks_of_dice() -> None:
    examples = batch([5, 4, 3])
    for compat, is_equal in (((), True), (("dice",), False)):
        model = dien(compat=compat, activation="dice").eval()
        together = model(examples)
        alone = model(first_row(examples))
        assert torch.allclose(together[:1], alone) is is_equal
    layer = dien(compat=("dice",)).head[1].double()
    nn.init.uniform_(layer.alpha)
    x = torch.randn(7, 8).double()
    p = torch.sigmoid((x - x.mean(0)) / (x.var(0, correction=0) + 1e-9).sqrt())
    torch.testing.assert_close(layer(x), p * x + (1 - p) * layer.alpha * x)


def test_quirks_of_tables() -> None:
    fitted = schema()
    for compat, limit in (((), None), (("tables",), (6 / (52 + 6)) ** 0.5)):
        model = make_dien(fitted, DienConfig(width=6, compat=compat))
        table = model.embedding.tables["item"].weight
        assert (table[0] == 0).all()
        if limit is None:
            assert 0.03 < table.abs().max() < 0.06
        else:
            assert 0.9 * limit < table.abs().max() <= limit


@pytest.mark.parametrize("compat", ["tables", "released"])
def test_pretrained_tables_are_not_redrawn(compat: str, tmp_path: Path) -> None:
    path = tmp_path / "vectors.npy"
    vectors = np.random.default_rng(0).normal(size=(SIZES["item"], 6)).astype(np.float32)
    np.save(path, vectors)
    features = (
        Categorical("item", pretrained=str(path)),
        Categorical("category"),
        Sequence("history_item", share_embedding="item"),
        Sequence("history_category", share_embedding="category"),
    )
    model = make_dien(schema(features), DienConfig(width=6, compat=(compat,)))
    item, category = (model.embedding.tables[name].weight for name in ("item", "category"))
    assert torch.equal(item[2:], torch.from_numpy(vectors))
    assert category.abs().max() > 0.1, "initial rows must be drawn by Glorot's rule"


def test_released_enables_all_quirks() -> None:
    config = DienConfig(compat=("released",))
    assert all(config.has(quirk) for quirk in QUIRKS)
    loss = training_loss(dien(compat=("released",)), batch(LENGTHS))
    loss.backward()
    assert loss.isfinite()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"compat": ("cells",)}, "compat must be among cell, .*, got 'cells'"),
        ({"auxiliary_weight": -1.0}, "auxiliary_weight must be ≥ 0"),
        ({"attention_weights": "raw"}, "must not be raw with evolution=augru"),
    ],
)
def test_invalid_settings_are_refused(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DienConfig(**config)
    with pytest.raises(ValueError, match="hidden must name at least one layer"):
        NextEvent(3, ())
