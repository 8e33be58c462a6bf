"""DIEN: its equations, its auxiliary loss, its released code's quirks, its candidates."""

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
    """The same weights for the same sizes; tables larger than they begin, for sharper tests."""
    torch.manual_seed(0)
    fitted = replace(schema(), moments={"age": (3.0, 2.0)})
    model = make_dien(fitted, DienConfig(**{"width": 6, "hidden": (8,), **config}))
    for table in model.embedding.tables.values():
        nn.init.normal_(table.weight[1:])
    return model


def written_out(model: Any, some: Batch) -> Tensor:
    """The interest ``[B, d]`` by the definitions, one row and one step at a time."""
    query, events = model.embedding.query(some), model.embedding.keys(some)
    interests = []
    for row, length in enumerate(some.lengths["history_item"].tolist()):
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
        given = (evolving.weight_ih, evolving.weight_hh, evolving.bias_ih, evolving.bias_hh)
        form = {"reset": evolving.reset, "update": evolving.update}
        if model.config.evolution == "aigru":
            _, last = reference.recurrent_layer(a[..., None] * states, *given, **form)
        else:
            cell = model.config.evolution
            _, last = reference.recurrent_layer(states, *given, attention=a, cell=cell, **form)
        interests.append(last)
    return torch.cat(interests)


@pytest.mark.parametrize(
    ("evolution", "update"),
    [("augru", "paper"), ("augru", "or"), ("agru", "paper"), ("aigru", "paper")],
)
def test_is_the_mlp_of_context_and_evolved_interest(evolution: str, update: str) -> None:
    model = dien(evolution=evolution, update=update).double().eval()
    some = batch(LENGTHS)
    some = some._replace(
        features={k: v.double() if v.is_floating_point() else v for k, v in some.features.items()}
    )
    x = torch.cat([*model.embedding.context(some), written_out(model, some)], -1)
    torch.testing.assert_close(model(some), model.head(x).squeeze(-1))


def test_the_two_updates_are_two_models() -> None:
    some = batch([4, 5])
    paper, released = (dien(update=update).eval() for update in ("paper", "or"))
    assert (paper(some) - released(some)).abs().max() > 1e-4


def test_bilinear_attention_is_its_equation() -> None:
    layer = BilinearAttention(6)
    query, keys, lengths = torch.randn(3, 6), torch.randn(3, 5, 6), torch.tensor([5, 0, 2])
    pooled = layer(query, keys, lengths)
    for q, k, length, found in zip(query, keys, lengths.tolist(), pooled, strict=True):
        weights = torch.softmax(q @ layer.weight @ k[:length].T, 0)
        torch.testing.assert_close(found, weights @ k[:length])


@pytest.mark.parametrize("over_all_cells", [False, True])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("scorer", ["mlp", "inner"])
def test_the_auxiliary_loss_is_its_definition(scorer, affine, over_all_cells) -> None:
    torch.manual_seed(0)
    layer = NextEvent(4, (5, 3), scorer, affine=affine, over_all_cells=over_all_cells).double()
    states, events = torch.randn(4, 6, 4).double(), torch.randn(4, 6, 4).double()
    events[3, 1] = events[0, 2].clone()  # What is drawn may be what it is to be told from.
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
    found = layer(states, events, lengths)
    expected = total / (4 * 5 if over_all_cells else cells)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-6)
    leaves = [states, events, *layer.parameters()]
    gradients = [torch.autograd.grad(3 * loss, leaves) for loss in (found, expected)]
    for ours, due in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, due, rtol=1e-5, atol=1e-6)
    with torch.no_grad():
        torch.manual_seed(3)
        assert torch.equal(layer(states, events, lengths), found)


@pytest.mark.parametrize("hidden", [(100, 50), (7,)])
def test_the_one_pass_is_what_is_written_out(hidden) -> None:
    """On cells for several blocks."""
    torch.manual_seed(0)
    layer = NextEvent(6, hidden)
    leaves = [torch.randn(40, 90, 6, requires_grad=True) for _ in range(2)]
    lengths = torch.randint(0, 91, (40,))
    torch.manual_seed(1)
    found = layer(*leaves, lengths)
    torch.manual_seed(1)
    total = layer.sums(*leaves, draw_events(lengths, 40, 89, 90), lengths)
    expected = total / (lengths - 1).clamp(min=0).sum()
    leaves += layer.parameters()
    gradients = [torch.autograd.grad(loss, leaves) for loss in (found, expected)]
    for ours, due in zip((found, *gradients[0]), (expected, *gradients[1]), strict=True):
        torch.testing.assert_close(ours, due, rtol=1e-4, atol=1e-6)


def test_a_draw_that_is_the_event_itself_counts_once() -> None:
    layer = NextEvent(2, scorer="inner")
    events = torch.ones(1, 3, 2)  # All draws are what they are to be told from.
    states = torch.randn(1, 3, 2)
    found = layer(states, events, torch.tensor([3]))
    torch.testing.assert_close(found, F.softplus(-states[0, :2].sum(-1)).mean())


def test_draws_are_even_over_the_events_that_are_there() -> None:
    torch.manual_seed(0)
    lengths = torch.tensor([0, 3, 0, 1, 2, 0])
    drawn = draw_events(lengths, 300, 100, 4)
    places, counts = drawn.unique(return_counts=True)
    assert places.tolist() == [4, 5, 6, 12, 16, 17]
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
def test_every_weight_learns(evolution: str, scorer: str) -> None:
    model = dien(evolution=evolution, auxiliary=scorer, compat=("affine", "query", "sums"))
    training_loss(model, batch(LENGTHS)).backward()
    weights = dict(model.named_parameters())
    # A softmax over events does not feel it: its gradient is what rounding leaves, or zero.
    assert weights.pop("attention.score.1.2.bias").grad.abs() < 1e-8
    still = [n for n, p in weights.items() if p.grad is None or not p.grad.any()]
    assert still == []


def test_the_auxiliary_loss_weighs_alpha_and_moves_no_prediction() -> None:
    some, found = batch(LENGTHS), []
    for weight in (1.0, 0.5, 0.0):
        model = dien(auxiliary_weight=weight)
        torch.manual_seed(1)
        x, auxiliary = model.bottom(some)
        found.append(auxiliary)
        evaluated, nothing = model.eval().bottom(some)
        assert torch.equal(evaluated, x)
        assert nothing is None
    assert found[0] > 0
    assert found[2] is None
    torch.testing.assert_close(found[1], found[0] / 2)
    plain = dien(auxiliary="none")
    assert plain.bottom(some)[1] is None
    assert not [name for name in plain.state_dict() if name.startswith("auxiliary")]


def test_din_with_the_auxiliary_loss_is_din_beside_it() -> None:
    some = batch(LENGTHS)
    model = dien(extractor="none", evolution="none").eval()
    query, events = model.embedding.query(some), model.embedding.keys(some)
    interest = model.attention(query, events, model.embedding.lengths(some))
    x = torch.cat([*model.embedding.context(some), interest], -1)
    torch.testing.assert_close(model(some), model.head(x).squeeze(-1))
    assert model.train().bottom(some)[1] > 0


@pytest.mark.parametrize("share", ["none", "embedding", "bottom"])
def test_a_rocket_counts_every_auxiliary_loss_once(share: str) -> None:
    some, counted = batch(LENGTHS), []
    model = Rocket(dien(), dien(), RocketConfig(share=share, hint_weight=0.0))
    for part in {net.auxiliary for net in model.nets()}:
        part.register_forward_hook(lambda *hooked: counted.append(hooked[2]))
    loss = model.loss(some)
    assert len(counted) == (1 if share == "bottom" else 2)
    added = sum(counted)
    crossed = [click_loss(net(some), some.label) for net in model.nets()]
    torch.testing.assert_close(loss, sum(crossed) + added)


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
    """torch's own products and sums do not, so that whole trainings cannot."""
    torch.manual_seed(0)
    lengths, events = torch.tensor([40, 0, 33, 12] * 64), torch.randn(256, 40, 32)
    attention, found = torch.rand(256, 40), []
    first, second = Recurrent(32, 32), Recurrent(32, 32, "augru")
    for threads in (1, 2, 3):
        set_threads(threads)
        torch.manual_seed(1)
        given = [each.clone().requires_grad_() for each in (events, attention)]
        _, last = second(first(given[0], lengths)[0], lengths, given[1])
        drawn = draw_events(lengths, 256, 39, 40)
        leaves = [*given, *first.parameters(), *second.parameters()]
        outputs = [last, rows_of(given[0], drawn)]
        weights = [torch.ones_like(each) for each in outputs]
        found.append([drawn, *outputs, *torch.autograd.grad(outputs, leaves, weights)])
    for other in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's own, as it compiles.
@torch.no_grad()
def test_the_loss_is_one_graph_for_every_shape() -> None:
    """As captured; what inductor makes of it, with its gradient, takes minutes."""
    torch._dynamo.reset()
    model = dien(dropout=0.0)
    compiled = torch.compile(training_loss, dynamic=True, fullgraph=True, backend="eager")
    for lengths in ([5, 0, 3, 2], [1, 7, 4]):
        some, found = batch(lengths), []
        for loss_of in (training_loss, compiled):
            torch.manual_seed(1)
            found.append(loss_of(model.eval(), some))
        torch.testing.assert_close(found[1], found[0])


@pytest.mark.parametrize("compat", [(), ("released",), ("dice", "cell")])
def test_a_saved_dien_is_the_same_to_the_bit(compat: tuple[Quirk, ...], tmp_path: Path) -> None:
    model = dien(compat=compat, evolution="augru", auxiliary="inner").eval()
    save_model(tmp_path / "model.safetensors", "dien", model)
    found = load_model(tmp_path / "model.safetensors")
    some = batch(LENGTHS)
    assert found.config == model.config
    assert torch.equal(found(some), model(some))


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
    model, some = dien(compat=("query",)).eval(), batch([5] * 4)
    assert (model.query[1].weight == 0.1).all()
    for parameter in model.attention.parameters():
        parameter.detach().mul_(20)
    before = model(some)
    nn.init.zeros_(model.query[0].weight)  # Nobody is a candidate now.
    assert not torch.allclose(model(some), before)


def test_quirks_of_batch_norms_that_never_train() -> None:
    model, some = dien(compat=("affine",)), batch(LENGTHS)
    model.head[0].scale.detach().mul_(0)
    logits = model.eval()(some)
    torch.testing.assert_close(logits, logits[:1].expand(6))
    assert (model.auxiliary.scale == 1).all()
    assert (model.auxiliary.shift == 0).all()


def test_quirks_of_the_auxiliary_loss() -> None:
    found = []
    for compat in ((), ("auxiliary",)):
        torch.manual_seed(5)
        states = torch.randn(6, 7, 12)
        model, lengths = dien(compat=compat), torch.tensor(LENGTHS)
        torch.manual_seed(5)
        found.append(model.auxiliary(states, states, lengths))
        assert model.config.has("auxiliary") is bool(compat)
    cells = sum(max(length - 1, 0) for length in LENGTHS)
    torch.testing.assert_close(found[1], found[0] * cells / (6 * 6))
    some = batch(LENGTHS)
    model = dien(compat=("auxiliary",))
    torch.manual_seed(1)
    added = model.bottom(some)[1]
    torch.manual_seed(1)
    events = model.embedding.keys(some)
    once = model.auxiliary(model.extractor(events, lengths)[0], events, lengths)
    torch.testing.assert_close(added, 2 * once)


def test_quirks_of_sums_over_padding() -> None:
    model, some = dien(compat=("sums",)).eval(), batch([5, 2])
    wider = {
        name: F.pad(ids, (0, 4)) if name.startswith("history") else ids
        for name, ids in some.features.items()
    }
    x, padded = (model.bottom(each)[0] for each in (some, some._replace(features=wider)))
    start = model.embedding.context_dim
    torch.testing.assert_close(
        padded[:, start : start + 12] - x[:, start : start + 12],
        (4 * model.padding).expand(2, 12),
    )
    events, query = model.embedding.keys(some), model.embedding.query(some)
    torch.testing.assert_close(x[0, start : start + 12], events[0].sum(0))
    torch.testing.assert_close(x[0, start + 12 : start + 24], query[0] * events[0].sum(0))


def first_row(some: Batch) -> Batch:
    cut = ({k: v[:1] for k, v in part.items()} for part in some[:2])
    return Batch(*cut, some.label[:1], some.group[:1])


def test_quirks_of_dice() -> None:
    some = batch([5, 4, 3])
    for compat, alike in (((), True), (("dice",), False)):
        model = dien(compat=compat, activation="dice").eval()
        together = model(some)
        alone = model(first_row(some))
        assert torch.allclose(together[:1], alone) is alike
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
def test_pretrained_tables_stay(compat: str, tmp_path: Path) -> None:
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
    assert category.abs().max() > 0.1, "Glorot's law"


def test_released_is_all_of_them() -> None:
    config = DienConfig(compat=("released",))
    assert all(config.has(quirk) for quirk in QUIRKS)
    loss = training_loss(dien(compat=("released",)), batch(LENGTHS))
    loss.backward()
    assert loss.isfinite()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"compat": ("cells",)}, "compat must be of cell, .*, got 'cells'"),
        ({"auxiliary_weight": -1.0}, "auxiliary_weight must be ≥ 0"),
        ({"attention_weights": "raw"}, "no shares of a state's update"),
    ],
)
def test_refuses(config: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        DienConfig(**config)
    with pytest.raises(ValueError, match="hidden must name one layer"):
        NextEvent(3, ())
