"""Raw ops of ``torch.ops.recops`` with invalid arguments: no invalid access and no endless loop.

The public functions check their arguments first. A direct call of an op, or one with a trie built
by hand, raises an error or returns a meaningless result, but never reads out of bounds.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
from torch import Tensor

import recops
from implementations import composites_on_cpu
from recops import SidTrie

ops = torch.ops.recops
FAR = 2**31 - 1  # no valid index of a node, item or row


def a_trie(items: int = 200, vocab: int = 9) -> SidTrie:
    generator = torch.Generator().manual_seed(0)
    sids = torch.randint(vocab, (items, 3), generator=generator)
    return SidTrie.from_sids(sids, torch.arange(items), vocab_sizes=[vocab] * 3)


def damaged(trie: SidTrie, name: str, value: int, entry: int | None = None) -> SidTrie:
    """Return the trie with one entry, or all entries, of a tensor replaced."""
    tensor = getattr(trie, name).clone()
    if entry is None:
        tensor.fill_(value)
    else:
        tensor[entry] = value
    return dataclasses.replace(trie, **{name: tensor})


def structure(trie: SidTrie) -> tuple[Tensor, Tensor, int]:
    return trie.first_child, trie.tokens, trie.depth


# ---- Tries built by hand.


@pytest.mark.composites
@pytest.mark.parametrize("value", [-1, FAR, -(2**31)])
def test_an_order_of_ids_out_of_range_is_refused(value: int) -> None:
    trie = damaged(a_trie(), "id_order", value)
    with pytest.raises(IndexError, match=r"SidTrie\.mask: id_order must hold positions"):
        trie.mask(keep=torch.tensor([3]))
    with pytest.raises(IndexError, match="item_bans: id_order must hold positions"):
        recops.item_bans(trie, [torch.tensor([3])])


@pytest.mark.composites
@pytest.mark.parametrize("value", [-1, FAR])
def test_rows_of_items_out_of_range_are_refused(value: int) -> None:
    trie = damaged(a_trie(), "item_rows", value)

    def step(nodes: Tensor, *_: object) -> Tensor:
        return torch.zeros(*nodes.shape, 9)

    leaves = torch.arange(trie.num_nodes - 4, trie.num_nodes, dtype=torch.int32)[None]
    arguments = (trie.first_child, trie.tokens, trie.stamp, trie.item_ids, trie.item_rows, 3)
    options = (leaves, torch.zeros(1, 4), 4, None, None, None, None, None)
    with pytest.raises(IndexError, match="constrained_beam_search: item_rows must be from 0 to"):
        ops.trie_beam_items(*arguments, *options, [torch.rand(trie.num_items)])


@pytest.mark.composites
@pytest.mark.parametrize("value", [-5, 0, 1, 100, FAR])
@pytest.mark.parametrize("entry", [2, 15, 40, 120])
def test_children_out_of_range_are_never_read(entry: int, value: int) -> None:
    good = a_trie()
    trie = damaged(good, "first_child", value, entry)
    sids = torch.cartesian_prod(*[torch.arange(9)] * 3)
    nodes = torch.arange(good.num_nodes)
    for call in (
        lambda: ops.trie_find(*structure(trie), sids),
        lambda: ops.trie_items(*structure(trie), trie.item_ids, nodes),
        lambda: ops.trie_allowed_tokens(*structure(trie), nodes, 9),
    ):
        try:
            results = call()
        except ValueError:
            continue  # the start of the level, which every op reads
        actual = results if isinstance(results, Tensor) else results[-1]
        assert actual.dtype == torch.bool or int(actual.max()) < 2**20


@pytest.mark.composites
@pytest.mark.parametrize("normalize", ["vocab", "children", "none"])
@pytest.mark.parametrize("value", [-5, 0, 1, 100, FAR])
@pytest.mark.parametrize("entry", [2, 15, 40, 120])
def test_a_step_in_a_damaged_trie_ends(entry: int, value: int, normalize: str) -> None:
    good = a_trie()
    trie = damaged(good, "first_child", value, entry)
    nodes = torch.arange(128, dtype=torch.int32).view(1, 128)
    bans = recops.item_bans(good, [torch.arange(0, 200, 2)])
    banned = [bans.positions, bans.offsets, bans.stamps]
    mask = good.mask(drop=torch.arange(0, 200, 2))
    for allowed, ban in ((None, banned), ([mask.words, mask.stamp], None)):
        try:
            _, tokens, parents, _ = ops.trie_beam_step(
                *(torch.zeros(1, 128, 9), trie.first_child, trie.tokens, trie.stamp, 3),
                *(nodes, torch.zeros(1, 128), 300, normalize, None, None, None, allowed, ban),
            )
        except ValueError:
            continue
        assert int(tokens.max()) < 9
        assert int(parents.max()) < 128


@pytest.mark.composites
@pytest.mark.parametrize("normalize", ["vocab", "children", "none"])
@pytest.mark.parametrize("vocab", [1, 8])
def test_tokens_beyond_the_logits_are_refused(vocab: int, normalize: str) -> None:
    trie = a_trie()
    arguments = (trie.first_child, trie.tokens, trie.stamp, 3, torch.zeros(1, 1, dtype=torch.int32))
    with pytest.raises(ValueError, match="trie_beam_step: logits must have a column for each"):
        ops.trie_beam_step(
            *(torch.zeros(1, 1, vocab), *arguments, torch.zeros(1, 1), 300, normalize),
            *[None] * 5,
        )


@pytest.mark.composites
def test_logits_without_columns_are_refused() -> None:
    trie = a_trie()
    arguments = (trie.first_child, trie.tokens, trie.stamp, 3, torch.zeros(2, 1, dtype=torch.int32))
    with pytest.raises(ValueError, match="trie_beam_step: logits must have a column for each"):
        ops.trie_beam_step(
            torch.zeros(2, 1, 0), *arguments, torch.zeros(2, 1), 3, "none", *[None] * 5
        )


@pytest.mark.composites
def test_negative_tokens_are_refused() -> None:
    trie = SidTrie.from_sids(torch.tensor([[1], [70000]]), torch.arange(2), vocab_sizes=[70001])
    trie = damaged(trie, "tokens", -7, 1)
    with pytest.raises(ValueError, match=r"SidTrie\.allowed_tokens: vocab_size must cover"):
        ops.trie_allowed_tokens(*structure(trie), torch.zeros(1, dtype=torch.int32), 70001)
    with pytest.raises(ValueError, match="logits must have a column for each token"):
        ops.trie_beam_step(
            *(torch.zeros(1, 1, 70001), trie.first_child, trie.tokens, trie.stamp, 1),
            *(torch.zeros(1, 1, dtype=torch.int32), torch.zeros(1, 1), 2, "none", *[None] * 5),
        )


@pytest.mark.composites
@pytest.mark.parametrize("depth", [-1, 0, 2**16 + 1, 2**31, 2**62])
def test_invalid_depths_are_refused(depth: int) -> None:
    # Without items the root is the node of every level, so no array bounds the depth.
    first_child, tokens = torch.ones(2, dtype=torch.int32), torch.zeros(1, dtype=torch.int32)
    none, node = torch.empty(0, dtype=torch.int64), torch.zeros(1, dtype=torch.int32)
    for call in (
        lambda: ops.trie_items(first_child, tokens, depth, none, node),
        lambda: ops.trie_find(first_child, tokens, depth, torch.zeros(1, 0, dtype=torch.int64)),
        lambda: ops.trie_allowed_tokens(first_child, tokens, depth, node, 4),
    ):
        with pytest.raises(ValueError, match="depth must be from 1 to 65536, got"):
            call()


@pytest.mark.composites
def test_nodes_of_another_batch_are_refused() -> None:
    trie = a_trie()
    nodes, scores = torch.zeros(6, 1, dtype=torch.int32), torch.zeros(6, 1)
    with pytest.raises(ValueError, match=r"nodes must be \[2, 3\], got \[6, 1\]"):
        ops.trie_beam_step(
            *(torch.zeros(2, 3, 9), trie.first_child, trie.tokens, trie.stamp, 3, nodes, scores),
            *(4, "none", None, torch.tensor([0, 0]), None, None, None),
        )


@pytest.mark.composites
def test_a_map_without_all_tokens_of_the_trie_is_refused() -> None:
    trie = a_trie()
    sizes = [2, 2, 2]  # the trie has tokens up to 8
    with pytest.raises(ValueError, match="trie must hold tokens of its levels' vocabularies"):
        ops.trie_next_logits(
            *(torch.zeros(1, 20), torch.zeros(1, 1, dtype=torch.int64), 1, -1),
            *([trie.first_child, trie.tokens, trie.stamp], sizes),
            *(torch.arange(6, dtype=torch.int32), torch.full((3, 20), -1, dtype=torch.int32)),
            *([], []),
        )
    with pytest.raises(ValueError, match="vocab_sizes must be from 1 to"):
        ops.trie_next_logits(
            *(torch.zeros(1, 20), torch.zeros(1, 1, dtype=torch.int64), 1, -1),
            *([trie.first_child, trie.tokens, trie.stamp], [10**6, 6 - 10**6, 0]),
            *(torch.arange(6, dtype=torch.int32), torch.full((3, 20), -1, dtype=torch.int32)),
            *([], []),
        )


# ---- Tensors in optional lists, which the dispatcher does not check.


@pytest.mark.composites
def test_negative_views_in_lists_are_resolved() -> None:
    sids = torch.zeros(5, 1, dtype=torch.int64)
    trie = SidTrie.from_sids(sids, torch.arange(5), vocab_sizes=[1])
    prior = torch.tensor([0.1, 0.5, 0.3, 0.2, 0.4])

    def best(values: Tensor) -> list[int]:
        leaf = torch.ones(1, 1, dtype=torch.int32)
        items, _, _ = ops.trie_beam_items(
            *(trie.first_child, trie.tokens, trie.stamp, trie.item_ids, trie.item_rows, 1),
            *(leaf, torch.zeros(1, 1), 5, None, None, None, None, None, [values]),
        )
        return items[0].tolist()

    view = torch._neg_view(-prior)
    assert view.is_neg()
    assert best(view) == best(prior) == [1, 4, 2, 3, 0]
    imaginary = torch.complex(torch.zeros(5), -prior).conj().imag
    assert best(imaginary) == best(prior)


def test_lists_on_another_device_are_refused() -> None:
    trie = a_trie()
    mask, bans = trie.mask(drop=[]), recops.item_bans(trie, [torch.tensor([1])])
    step = (torch.zeros(1, 1, 9), trie.first_child, trie.tokens, trie.stamp, 3)
    beams = (torch.zeros(1, 1, dtype=torch.int32), torch.zeros(1, 1), 3, "none", None, None)
    for moved in ([mask.words.to("meta"), mask.stamp], [mask.words, mask.stamp.to("meta")]):
        with pytest.raises(ValueError, match="trie_beam_step: allowed must be on the CPU"):
            ops.trie_beam_step(*step, *beams, None, moved, None)
    holders = [bans.positions, bans.offsets, bans.stamps]
    for i in range(3):
        moved = [t.to("meta") if i == j else t for j, t in enumerate(holders)]
        with pytest.raises(ValueError, match="trie_beam_step: banned must be on the CPU"):
            ops.trie_beam_step(*step, *beams, None, None, moved)


# ---- Gradients have the shapes of their inputs.


def mimn_backward(changes: dict[int, list[int]]) -> list[Tensor]:
    """Call the backward pass of a scan with width 4, 3 hidden values, 2 slots and ``changes``."""
    sizes = [[9, 8], [9, 3], [9], [22, 5], [22], [2, 2], [12, 8], [12, 4], [12], [3, 7], [3]]
    tensors = [torch.zeros(size) for size in [*sizes, [2, 4]]]
    for i, shape in changes.items():
        tensors[i] = tensors[i].reshape(shape)
    state = [torch.zeros(1, width) for width in (3, 4, 8, 2, 4, 8, 4)]
    outputs, weights = torch.zeros(1, 5, 3), torch.zeros(1, 2)
    x, saved = torch.zeros(1, 5, 4), torch.zeros(0, 1, 25)
    return ops.mimn_scan_backward(
        *(outputs, state, weights, x, state, tensors[:11], tensors[11], 1.0),
        *(None, "none", 1, 16, saved),
    )


@pytest.mark.composites
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({0: [9, 2, 4]}, r"controller_w_ih must be \[9, 8\], got \[9, 2, 4\]"),
        ({3: [1, 110]}, r"head_w must be \[22, 5\], got \[1, 110\]"),
        ({8: [1, 12]}, r"induction_bias must be \[12\], got \[1, 12\]"),
        ({11: [2, 1, 4]}, r"key_memory must be \[2, 4\], got \[2, 1, 4\]"),
    ],
)
def test_reshaped_parameters_of_mimn_are_refused(
    changes: dict[int, list[int]], message: str
) -> None:
    assert [list(grad.shape) for grad in mimn_backward({})[6:8]] == [[9, 8], [9, 3]]
    with pytest.raises(ValueError, match=f"mimn_scan: {message}"):
        mimn_backward(changes)


@pytest.mark.composites
def test_reshaped_parameters_of_hpmn_are_refused() -> None:
    x, memory = torch.zeros(1, 5, 4), torch.zeros(1, 2, 3)
    count, w_hh = torch.zeros(1, dtype=torch.int64), torch.zeros(2, 9, 3)
    w_ih = [torch.zeros(9, 4), torch.zeros(9, 3)]
    for changed, bias, message in (
        (w_ih, torch.zeros(18), r"bias must be \[2, 9\], got \[18\]"),
        ([w_ih[0].T, w_ih[1]], torch.zeros(2, 9), r"w_ih must be \[9, 4\], got \[4, 9\]"),
    ):
        with pytest.raises(ValueError, match=f"hpmn_scan: {message}"):
            ops.hpmn_scan(x, memory, count, changed, w_hh, bias, [1, 2], None, 0)


@pytest.mark.composites
def test_rows_of_memories_must_be_a_vector() -> None:
    rows = torch.zeros(2, 3, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"hpmn_read: rows must have 1 dimensions, got \[2, 3\]"):
        ops.memory_rows(rows, 4, "hpmn_read")


# ---- Unbounded numbers and invalid sizes.


@pytest.mark.composites
def test_sizes_of_levels_are_checked() -> None:
    x, words = torch.zeros(3, 2), torch.zeros(5, 2)
    codes = torch.tensor([[50, 0]] * 3)
    for sizes in ([100, -95], [2**62, 2**62, 5], [-1, 6]):
        for call in (
            lambda sizes=sizes: ops.rq_encode(x, words, sizes),
            lambda sizes=sizes: ops.rq_encode_beams(x, words, sizes, 2, 2),
            lambda sizes=sizes: ops.rq_decode(codes, words, sizes),
            lambda sizes=sizes: ops.rq_decode_backward(x, codes, sizes),
        ):
            with pytest.raises(ValueError, match=r"sizes must be at least 0 and add up to"):
                call()
    with pytest.raises(ValueError, match="sizes must be at least 0"):
        ops.accumulate_codes(x, torch.zeros(3, dtype=torch.int64), -1, None)


# Not on a device, which would need a copy of the inputs.
@pytest.mark.parametrize("implementation", [nullcontext, composites_on_cpu])
def test_more_events_than_can_be_sorted_are_refused(
    implementation: Callable[[], AbstractContextManager[None]],
) -> None:
    x = torch.zeros(1, 4).expand(2**32, 4)
    rows = torch.zeros(1, dtype=torch.int64).expand(2**32)
    count, w_hh = torch.zeros(1, dtype=torch.int64), torch.zeros(1, 9, 3)
    arguments = (rows, x, [torch.zeros(9, 4)], w_hh, torch.zeros(1, 9), [1])
    message = "hpmn_step_: rows must be at most 4294967295, got 42949"
    with implementation(), pytest.raises(ValueError, match=message):
        ops.hpmn_step_(torch.zeros(1, 1, 3), count, *arguments)
    assert count.item() == 0


@pytest.mark.composites
def test_unbounded_draws_of_noise_are_refused() -> None:
    x, words = torch.zeros(3, 2), torch.zeros(4, 2)
    for samples in (2**62, 2**61, 2**31):
        with pytest.raises(ValueError, match="code_flip_rate: samples must be from 1 to"):
            ops.code_flips(x, words, [2, 2], torch.zeros(2), samples, 0, 0, len(x))
    for begin, end in ((-1, 2), (2, 1), (0, 4), (2**62, 2**62)):
        with pytest.raises(ValueError, match=r"code_flip_rate: (begin|end) must be from"):
            ops.code_flips(x, words, [2, 2], torch.zeros(2), 1, 0, begin, end)


def test_unbounded_measurements_are_refused() -> None:
    with pytest.raises(ValueError, match="fma_ceiling: iterations must be from 1 to"):
        ops.fma_ceiling(2**62)


@pytest.mark.composites
def test_unbounded_networks_are_refused() -> None:
    options = (None, None, False, "tanh", False, True, "sum", False)
    with pytest.raises(ValueError, match="coaction: orders must be from 1 to 1024"):
        ops.coaction(torch.zeros(0, 0, 4), torch.zeros(0, 16), [4, 4], 2**31, *options)
    # The parameter counts of these networks overflow to 0.
    for dims in ([1, 2**32, 2**32 - 1], [1, 2**63 - 1, 2]):
        with pytest.raises(ValueError, match="coaction: dims must be from 1 to 65536"):
            ops.coaction(torch.zeros(2, 3, 1), torch.zeros(2, 0), dims, 1, *options)
    nobody = torch.zeros(0, dtype=torch.int64)
    with pytest.raises(ValueError, match="histories must be of at most 2147483647 users, got 1099"):
        ops.coaction(
            torch.empty(2**40, 0, 4), torch.zeros(0, 16), [4, 4], 1, None, nobody, *options[2:]
        )
