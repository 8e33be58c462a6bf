"""Plugs, which start without effect, and the knowledge reader."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from knowledge_inputs import WIDTH, knowledge
from recops_models.layers.knowledge_reader import KnowledgeReader
from recops_models.layers.mlp import MLP
from recops_models.layers.plug import PartsLinear, Plug, PluggedHead

KINDS = ["add", "concat", "gate"]


def test_parts_linear_equals_a_linear_layer_of_the_concatenation() -> None:
    layer, linear = PartsLinear((3, 1, 4), 5), nn.Linear(8, 5)
    linear.load_state_dict(layer.state_dict())
    x = torch.randn(6, 8)
    torch.testing.assert_close(layer(x.split([3, 1, 4], -1)), linear(x))
    one = x[:1, :3]
    repeated = torch.cat([one.expand(6, 3), x[:, 3:]], -1)
    torch.testing.assert_close(layer([one, *x[:, 3:].split([1, 4], -1)]), linear(repeated))


@pytest.mark.parametrize("activation", ["relu", "prelu", "sigmoid", "dice"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plug_changes_no_bit_and_then_learns(kind: str, activation: str) -> None:
    torch.manual_seed(0)
    mlp = MLP(7, (6, 4), 1, activation_name=activation)
    x, k = torch.randn(9, 7), torch.randn(9, 5)
    expected = {mode: mlp.train(mode)(x).detach() for mode in (False, True)}
    mlp.zero_grad()
    mlp.train()(x).sum().backward()
    gradients = [parameter.grad.clone() for parameter in mlp.parameters()]
    head = PluggedHead(mlp, {"user": 2, "item": 3}, kind, hidden=4)
    assert head.knowledge_width == 5
    both = torch.cat([x, k], -1)
    for mode in (True, False):
        head.train(mode)
        if not (mode is False and activation == "dice"):  # Its running averages have changed.
            assert torch.equal(head(both), expected[mode])
    head.zero_grad()
    head.train()(both).sum().backward()
    head_gradients = [p.grad for name, p in head.named_parameters() if not name.startswith("plug.")]
    assert all(torch.equal(a, b) for a, b in zip(head_gradients, gradients, strict=True))
    with torch.no_grad():
        for parameter in head.plug.parameters():
            parameter -= parameter.grad
    assert not torch.equal(head.train()(both), expected[True])


def test_each_kind_of_plug_follows_its_formula() -> None:
    torch.manual_seed(0)
    layer, activation = nn.Linear(4, 6), nn.PReLU(6)
    x, k = torch.randn(5, 4), torch.randn(5, 3)
    for kind in KINDS:
        plug = Plug(kind, [3], 6, hidden=2)
        for parameter in plug.parameters():
            nn.init.normal_(parameter)
        read = k @ plug.read.weight.t()
        match kind:
            case "add":
                hidden = plug.activation(read + plug.read.bias)
                expected = activation(layer(x)) + plug.write(hidden)
            case "concat":
                assert plug.read.bias is None
                expected = activation(layer(x) + read)
            case "gate":
                expected = activation(layer(x)) * 2 * (read + plug.read.bias).sigmoid()
        torch.testing.assert_close(plug(layer, activation, x, [k]), expected)
    with pytest.raises(ValueError, match="plug must be add, concat or gate, got 'multiply'"):
        Plug("multiply", [3], 6, hidden=2)
    with pytest.raises(
        ValueError, match=r"base.hidden must have at least one layer.* got a MLP with 0"
    ):
        PluggedHead(MLP(4, (), 1), {"user": 2}, "add", hidden=2)


def test_unknown_users_and_items_have_zeros_and_a_flag() -> None:
    reader = KnowledgeReader.of(knowledge())
    user, item = torch.tensor([0, 1, 5, 5]), torch.tensor([4, 4, 1, 4])
    parts = reader(user, item)
    assert [parts[part].shape[1] for part in ("user", "item", "pair")] == [9, 9, 8]
    assert [reader.part_width(part) for part in ("user", "item", "pair")] == [9, 9, 8]
    assert parts["user"][:, -1].tolist() == [1, 1, 0, 0]
    assert parts["item"][:, -1].tolist() == [0, 0, 1, 0]
    assert (parts["user"][:2, :-1] == 0).all()
    assert (parts["pair"][:3] == 0).all()
    rows = knowledge().tables["user"].decoded()[5:6]
    expected = torch.nn.functional.layer_norm(rows, (WIDTH,))
    torch.testing.assert_close(parts["user"][2:3, :-1], expected)
    assert (parts["pair"][3] != 0).any()


def test_knowledge_has_no_gradient() -> None:
    reader = KnowledgeReader.of(knowledge())
    parts = reader(torch.tensor([3, 4]), torch.tensor([5, 6]))
    assert not any(part.requires_grad for part in parts.values())
    assert not any(parameter.requires_grad for parameter in reader.parameters())
    shared = reader(torch.tensor([3]), torch.arange(2, 6))
    assert [len(shared[part]) for part in ("user", "item", "pair")] == [1, 4, 4]
