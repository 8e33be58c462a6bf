"""Trie ops with opcheck, torch.compile and torch.export, where tries and masks are inputs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils import _pytree

import recops
from compilation import inductor_in_ci
from trie_inputs import beams, catalogue, mask_of

TENSORS = ("first_child", "tokens", "item_ids", "item_rows", "id_order", "stamp")


def ops_and_arguments() -> dict[str, tuple[Any, ...]]:
    drawn = catalogue(items=50, depth=3, vocab=9)
    trie = drawn.trie
    mask = trie.mask(keep=drawn.item_ids[::2])
    start = beams(trie, batch=2, width=3, vocab=9)
    structure = (trie.first_child, trie.tokens)
    other = catalogue(items=20, depth=3, vocab=9, seed=1).trie
    tries, index = [trie, other], torch.tensor([1, 0])
    fields = {name: [getattr(each, name) for each in tries] for name in TENSORS}
    structures = [t for each in tries for t in (each.first_child, each.tokens, each.stamp)]
    owned = [t for each in tries for t in (each.item_ids, each.item_rows)]
    allowed = [t for each in (mask, other.mask(drop=[])) for t in (each.words, each.stamp)]
    bans = recops.item_bans(tries, [other.item_ids[:3], trie.item_ids[:9]], trie_index=index)
    banned = [bans.positions, bans.offsets, bans.stamps]
    leaves = torch.tensor([[other.num_nodes - 1, -1], [trie.num_nodes - 1, -1]], dtype=torch.int32)
    nodes = start.nodes.clamp(max=other.num_nodes - 1)
    step = (start.logits, *structures[:3], 3, nodes, start.scores, 4)
    items = (*structures[:3], *owned[:2], 3, leaves, start.scores[:, :2], 4)
    priors = [torch.rand(50), torch.rand(20)]
    return {
        "trie_build": (drawn.sids, drawn.item_ids, [9] * 3),
        "trie_find": (*structure, 3, drawn.sids),
        "trie_items": (*structure, 3, trie.item_ids, start.nodes[0]),
        "trie_allowed_tokens": (*structure, 3, start.nodes[0], 9),
        "trie_mask": (
            trie.item_ids,
            trie.id_order,
            drawn.item_ids[:4],
            torch.tensor([0, 1, 4]),
            True,
            False,
        ),
        "trie_bans": (
            fields["item_ids"],
            fields["id_order"],
            index,
            drawn.item_ids[:4],
            torch.tensor([0, 1, 4]),
        ),
        "trie_beam_step": (*step, "children", [9] * 6, index, structures[3:], allowed, banned),
        "trie_beam_items": (*items, index, structures[3:], owned[2:], allowed, banned, priors),
    }


@pytest.mark.composites
@pytest.mark.parametrize("name", list(ops_and_arguments()))
def test_opcheck(name: str) -> None:
    torch.library.opcheck(getattr(torch.ops.recops, name).default, ops_and_arguments()[name])


class Decoder(nn.Module):
    """Decoder with a linear layer on the embedding of the last token, and the search."""

    def __init__(self, vocab: int = 9, size: int = 8) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding = nn.Embedding(vocab + 1, size)
        self.head = nn.Linear(size, vocab)

    def forward(self, user: Tensor, trie: recops.SidTrie, mask: recops.ItemMask) -> Any:
        """Search for users ``[B, size]``."""

        def step(tokens: Tensor | None, parents: Tensor | None) -> Tensor:
            if tokens is None:
                return self.head(user.unsqueeze(1))
            return self.head(user.unsqueeze(1) + self.embedding(tokens + 1))

        return recops.constrained_beam_search(
            step, trie, batch_size=user.shape[0], num_beams=5, allowed=mask
        )


def decoder_inputs(
    items: int, seed: int, batch: int
) -> tuple[Tensor, recops.SidTrie, recops.ItemMask]:
    drawn = catalogue(items=items, depth=3, vocab=9, seed=seed)
    mask = mask_of(drawn, "rows", batch, seed)
    assert mask is not None
    user = torch.randn(batch, 8, generator=torch.Generator().manual_seed(seed))
    return user, drawn.trie, mask


def assert_equal(actual: Any, expected: Any) -> None:
    for output, reference_output in zip(actual, expected, strict=True):
        torch.testing.assert_close(output, reference_output)


def test_compiles_into_one_graph_for_every_catalogue() -> None:
    decoder = Decoder().eval()
    graphs = []

    def backend(graph: torch.fx.GraphModule, inputs: list[Any]) -> Any:
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(decoder, backend=backend, fullgraph=True, dynamic=True)
    with torch.no_grad():
        for items, seed, batch in ((140, 0, 2), (300, 1, 3), (77, 2, 4)):
            inputs = decoder_inputs(items, seed, batch)
            assert_equal(compiled(*inputs), decoder(*inputs))
    assert len(graphs) == 1


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # a warning of inductor
@inductor_in_ci
def test_a_step_compiles(backend: str) -> None:
    trie = catalogue(items=50, depth=3, vocab=9).trie
    start = beams(trie, batch=2, width=3, vocab=9)

    def step(logits: Tensor, trie: recops.SidTrie, nodes: Tensor, scores: Tensor) -> Any:
        return recops.trie_beam_step(logits * 2, trie, nodes, scores + 1, num_beams=4)

    arguments = (start.logits, trie, start.nodes, start.scores)
    compiled = torch.compile(step, fullgraph=True, backend=backend, dynamic=True)
    assert_equal(compiled(*arguments), step(*arguments))


def test_exports_with_trie_and_mask_as_inputs() -> None:
    decoder = Decoder().eval()
    user, trie, mask = decoder_inputs(
        140, 0, 2
    )  # more than one word per mask, since export treats the size 1 as static
    shapes = torch.export.ShapesCollection()
    batch = torch.export.Dim("batch", min=2)
    shapes[user] = {0: batch}
    for name in ("first_child", "tokens", "item_ids", "item_rows", "id_order"):
        shapes[getattr(trie, name)] = {0: torch.export.Dim.AUTO}
    shapes[mask.words] = {0: batch, 1: torch.export.Dim.AUTO}
    program = torch.export.export(decoder, (user, trie, mask), dynamic_shapes=shapes)
    with torch.no_grad():
        for items, seed, size in ((40, 0, 2), (300, 1, 3)):
            inputs = decoder_inputs(items, seed, size)
            assert_equal(program.module()(*inputs), decoder(*inputs))


def test_pytrees_separate_tensors_from_context() -> None:
    _, trie, mask = decoder_inputs(40, 0, 2)
    leaves, spec = _pytree.tree_flatten({"trie": trie, "mask": mask})
    assert len(leaves) == 8
    assert all(isinstance(leaf, Tensor) for leaf in leaves)
    assert _pytree.tree_structure(trie).context == trie.vocab_sizes
    other = decoder_inputs(300, 1, 2)[1]
    assert _pytree.tree_structure(other) == _pytree.tree_structure(trie)
    rebuilt = _pytree.tree_unflatten(leaves, spec)["trie"]
    assert rebuilt.vocab_sizes == trie.vocab_sizes
    assert torch.equal(rebuilt.tokens, trie.tokens)
    restored = _pytree.treespec_loads(_pytree.treespec_dumps(spec))
    assert restored == spec
