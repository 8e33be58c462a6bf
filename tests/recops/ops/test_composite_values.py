"""Composites agree with the CPU kernels, in results and gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor

import recops
from implementations import composites_on_cpu
from recops.ops._composite import composite

Case = Callable[[], Sequence[Tensor]]
CASES: dict[str, Case] = {}


def add_case(name: str, function: Callable[..., Sequence[Tensor]], **options: Any) -> None:
    CASES[f"{name}-{'-'.join(map(str, options.values()))}"] = lambda: function(**options)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed + sum(shape))
    return torch.randn(shape, generator=generator).to(dtype)


def leaf(*shape: int, seed: int = 0) -> Tensor:
    return normal(*shape, seed=seed).requires_grad_()


def integers(high: int, *shape: int, low: int = 0) -> Tensor:
    return torch.randint(low, high, shape, generator=torch.Generator().manual_seed(high))


def with_gradients(outputs: Sequence[Tensor], leaves: Sequence[Tensor]) -> list[Tensor]:
    """Return the outputs and the gradients of a weighted sum of all differentiable outputs."""
    total = sum(
        (output.double() * normal(*output.shape, seed=9)).sum()
        for output in outputs
        if output.requires_grad
    )
    assert isinstance(total, Tensor)
    grads = torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)
    return [*(output.detach() for output in outputs), *(grad.to_dense() for grad in grads)]


@pytest.mark.parametrize("name", CASES)
def test_agrees_with_the_kernel(name: str) -> None:
    expected = CASES[name]()
    with composites_on_cpu():
        actual = CASES[name]()
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=2e-5, atol=2e-5, equal_nan=True)


def dice(with_statistics: bool) -> list[Tensor]:
    x, alpha = leaf(20, 7), leaf(7)
    statistics = (torch.zeros(7), torch.ones(7)) if with_statistics else ()
    return with_gradients(recops.dice(x, alpha, *statistics), [x, alpha])


def codebook_overlap(kernel: Any) -> list[Tensor]:
    codebook, usage = leaf(9, 4), normal(9).abs().requires_grad_()
    outputs = recops.codebook_overlap(codebook, usage, 1.3, kernel=kernel)
    return with_gradients(outputs, [codebook, usage])


def embedding_bags(padding_idx: int | None) -> list[Tensor]:
    first, second = leaf(30, 4), leaf(10, 3)
    bags = [
        (first, integers(30, 12)),
        (second, integers(10, 12, 5)),
        (first, integers(30, 12, 3)),
    ]
    out = recops.embedding_bags(bags, padding_idx=padding_idx)
    return with_gradients([out], [first, second])


for flag in (False, True):
    add_case("dice", dice, with_statistics=flag)
for kernel in ("bhattacharyya", "product", "minimum"):
    add_case("codebook_overlap", codebook_overlap, kernel=kernel)
for padding in (None, 2):
    add_case("embedding_bags", embedding_bags, padding_idx=padding)


# ---- Residual quantization and balanced assignment


def vectors() -> Tensor:
    x = normal(50, 8)
    x[7] = torch.nan
    return x


def rq_encode(beam: int, metric: Any) -> tuple[Tensor, Tensor]:
    return recops.rq_encode(vectors(), normal(3, 16, 8), beam=beam, metric=metric)


def rq_encode_beams(beam: int, metric: Any) -> tuple[Tensor, Tensor]:
    return recops.rq_encode_beams(vectors(), normal(2, 16, 8), beam=beam, metric=metric)


def nearest_codes(k: int, metric: Any) -> tuple[Tensor, Tensor]:
    return recops.nearest_codes(vectors(), normal(16, 8), k=k, metric=metric)


def code_flip_rate(seed: int) -> list[Tensor]:
    sigma = torch.tensor([0.3, 0.2, 0.4])
    return [recops.code_flip_rate(vectors(), normal(3, 16, 8), sigma, samples=8, seed=seed)]


def rq_decode() -> list[Tensor]:
    codebooks = leaf(3, 16, 8)
    return with_gradients([recops.rq_decode(integers(16, 50, 3, low=-1), codebooks)], [codebooks])


def accumulate_codes(is_weighted: bool) -> tuple[Tensor, Tensor]:
    weight = normal(50).abs() if is_weighted else None
    return recops.accumulate_codes(normal(50, 8), integers(16, 50, low=-1), 16, weight=weight)


def straight_through(rotation: bool) -> list[Tensor]:
    x, codebooks = leaf(50, 8), leaf(3, 16, 8)
    return with_gradients(recops.straight_through(x, codebooks, rotation=rotation), [x, codebooks])


def balance_assignment(weights: str, slack: float) -> tuple[Tensor, Tensor, Tensor]:
    x, codebook = normal(300, 4), normal(12, 4)
    weight = {
        "equal": torch.ones(300),
        "whole": integers(5, 300, low=1).float(),
        "any": normal(300).abs() + 0.1,
    }[weights]
    return recops.balance_assignment(x, codebook, weight, float(weight.sum()) / 12 * slack)


for beam, metric in product((1, 4), ("l2", "cosine")):
    add_case("rq_encode", rq_encode, beam=beam, metric=metric)
    add_case("rq_encode_beams", rq_encode_beams, beam=beam * 5, metric=metric)
    add_case("nearest_codes", nearest_codes, k=beam, metric=metric)
for seed in (7, -5):
    add_case("code_flip_rate", code_flip_rate, seed=seed)
add_case("rq_decode", rq_decode)
for flag in (False, True):
    add_case("accumulate_codes", accumulate_codes, is_weighted=flag)
    add_case("straight_through", straight_through, rotation=flag)
for weights, slack in product(("equal", "whole", "any"), (1.05, 1.3, 2.0)):
    add_case("balance_assignment", balance_assignment, weights=weights, slack=slack)


# ---- Losses, co-action and scans


def next_event_loss(is_ragged: bool) -> list[Tensor]:
    states, events = leaf(5, 6, 4), leaf(5, 6, 4, seed=1)
    layers = [leaf(7, 8), leaf(7), leaf(1, 7), leaf(1)]
    lengths = torch.tensor([6, 0, 1, 3, 5]) if is_ragged else None
    loss = recops.next_event_loss(states, events, integers(30, 5, 5), layers, lengths=lengths)
    return with_gradients([loss], [states, events, *layers])


LENGTHS = torch.tensor([9, 0, 3, 4, 5, 1])
COACTION: dict[str, dict[str, Any]] = {
    "orders": {"orders": 2, "bias": True},
    "mean": {"orders": 2, "bias": True, "pool": "mean", "activation": "relu"},
    "last": {"orders": 2, "bias": True, "concat_hidden": False, "activation": "selu"},
}


def coaction(options: str) -> list[Tensor]:
    feed, params, index = leaf(6, 9, 4), leaf(10, 23), integers(6, 10)
    out = recops.coaction(
        feed, params, (4, 3, 2), feed_index=index, lengths=LENGTHS, **COACTION[options]
    )
    return with_gradients([out], [feed, params])


def coaction_gather(sparse: bool) -> list[Tensor]:
    feed, params = leaf(20, 4), leaf(15, 18)
    out = recops.coaction_gather(
        feed,
        integers(20, 6, 9),
        params,
        integers(15, 10),
        (4, 3, 2),
        sparse=sparse,
        orders=2,
        feed_index=integers(6, 10),
        lengths=LENGTHS,
    )
    return with_gradients([out], [feed, params])


def coaction_multi() -> list[Tensor]:
    feeds = leaf(6, 9, 4), leaf(6, 9, 4, seed=1)
    params = leaf(6, 18), leaf(6, 8)
    pairs = [(feeds[0], params[0], (4, 3, 2)), (feeds[1], params[1], (4, 2))]
    outputs = recops.coaction_multi(pairs, orders=2, lengths=LENGTHS)
    return with_gradients(outputs, [*feeds, *params])


def recurrent_scan(cell: Any, reset: Any, update: Any) -> list[Tensor]:
    gates, w_hh, b_hh, h0 = leaf(6, 9, 12), leaf(12, 4), leaf(12), leaf(6, 4)
    attention = None if cell == "gru" else normal(6, 9).sigmoid().requires_grad_()
    outputs = recops.recurrent_scan(
        gates,
        w_hh,
        b_hh,
        h0,
        attention=attention,
        lengths=LENGTHS,
        cell=cell,
        reset=reset,
        update=update,
    )
    leaves = [gates, w_hh, b_hh, h0, *([] if attention is None else [attention])]
    return with_gradients(outputs, leaves)


def shared_gates() -> list[Tensor]:
    gates, w_hh = leaf(6, 9, 12), leaf(12, 4)
    index = torch.tensor([0, 0, 3, 5])
    outputs = recops.recurrent_scan(gates, w_hh, gates_index=index, lengths=LENGTHS)
    return with_gradients(outputs, [gates, w_hh])


def recurrent_layer(has_bias: bool) -> list[Tensor]:
    x, w_ih, w_hh = leaf(6, 9, 3), leaf(12, 3), leaf(12, 4)
    biases = [leaf(12), leaf(12, seed=1)] if has_bias else []
    outputs = recops.recurrent_layer(x, w_ih, w_hh, *biases, lengths=LENGTHS)
    return with_gradients(outputs, [x, w_ih, w_hh, *biases])


for flag in (False, True):
    add_case("next_event_loss", next_event_loss, is_ragged=flag)
    add_case("coaction_gather", coaction_gather, sparse=flag)
    add_case("recurrent_layer", recurrent_layer, has_bias=flag)
for options in COACTION:
    add_case("coaction", coaction, options=options)
add_case("coaction_multi", coaction_multi)
for cell, reset, update in product(("gru", "agru", "augru"), ("after", "before"), ("paper", "or")):
    add_case("recurrent_scan", recurrent_scan, cell=cell, reset=reset, update=update)
add_case("shared_gates", shared_gates)


# ---- Memory networks

HPMN = recops.HpmnParams.random(input_size=6, hidden_size=5, num_slots=3)
MIMN = recops.MimnParams.random(input_size=6, hidden_size=5, num_slots=4)
ROWS = torch.tensor([3, 1, 3, 3, 0])


def hpmn_scan(checkpoint: int | None) -> list[Tensor]:
    x, memory = leaf(4, 11, 6), leaf(4, 3, 5)
    state = recops.HpmnState(memory, torch.tensor([0, 3, 2, 9]))
    lengths = torch.tensor([11, 0, 5, 9])
    options: dict[str, Any] = {"lengths": lengths, "checkpoint": checkpoint}
    out, _ = recops.hpmn_scan(x, HPMN, state, periods=[1, 2, 4], **options)
    return with_gradients([out], [x, memory])


def hpmn_step() -> list[Tensor]:
    pool = recops.HpmnState(normal(5, 3, 5), torch.arange(5))
    recops.hpmn_step_(pool, ROWS, normal(5, 6), HPMN, periods=[1, 2, 4])
    return [pool.memory, pool.count]


def mimn_scan(utilization: Any, checkpoint: int | None) -> list[Tensor]:
    x = leaf(4, 11, 6)
    tensors = {
        name: tensor.detach().clone().requires_grad_() for name, tensor in MIMN.named_tensors()
    }
    params = recops.MimnParams(**tensors)
    out, state = recops.mimn_scan(
        x,
        params,
        lengths=torch.tensor([11, 0, 5, 9]),
        utilization=utilization,
        induction_topk=2,
        checkpoint=checkpoint,
    )
    return with_gradients([out, *state.floats()], [x, *tensors.values()])


def mimn_step(utilization: Any) -> list[Tensor]:
    pool = recops.MimnState.zeros(MIMN, 5)
    recops.mimn_step_(pool, ROWS, normal(5, 6), MIMN, utilization=utilization)
    read = recops.mimn_read(pool, ROWS, normal(5, 6), MIMN, utilization=utilization)
    return [*pool.floats(), pool.count, *read]


for checkpoint in (None, 3):
    add_case("hpmn_scan", hpmn_scan, checkpoint=checkpoint)
add_case("hpmn_step", hpmn_step)
for utilization in ("none", "paper", "code"):
    for checkpoint in (None, 3):
        add_case("mimn_scan", mimn_scan, utilization=utilization, checkpoint=checkpoint)
    add_case("mimn_step", mimn_step, utilization=utilization)


# ---- Tries

SIDS, IDS = integers(6, 200, 3), torch.arange(200).flip(0) * 7
TRIE = recops.SidTrie.from_sids(SIDS, IDS, vocab_sizes=[6, 7, 8])
SMALL = recops.SidTrie.from_sids(SIDS[:90], IDS[:90], vocab_sizes=[6, 6, 6])
EMPTY = recops.SidTrie.from_sids(SIDS[:0], IDS[:0], vocab_sizes=[6, 7, 8])
BANNED = [IDS[:5], IDS[3:90], torch.tensor([3, 1, 7])]
FILTERS: dict[str, dict[str, Any]] = {
    "all": {},
    "mask": {"allowed": TRIE.mask(keep=IDS[:70])},
    "masks": {"allowed": TRIE.mask(drop=[IDS[:50], IDS[20:180], IDS[:1]])},
    "bans": {"banned": recops.item_bans(TRIE, BANNED)},
}
FILTERS["both"] = FILTERS["masks"] | FILTERS["bans"]


def trie_find(length: int) -> list[Tensor]:
    sids = integers(7, 400, 3)[:, :length]
    return [TRIE.find(sids), EMPTY.find(sids)]


def trie_lookups() -> list[Tensor]:
    nodes = integers(TRIE.num_nodes, 60, low=-1)
    masks = [TRIE.mask(keep=IDS[:70]), TRIE.mask(drop=IDS[:70]), TRIE.mask(keep=BANNED[:2])]
    words = [mask.words for mask in masks]
    bans = recops.item_bans(TRIE, BANNED).positions
    return [*TRIE.items(nodes), TRIE.allowed_tokens(nodes, 9), *words, bans]


def trie_beam_step(normalize: Any, filters: str, level: int) -> Sequence[Tensor]:
    begin, end = TRIE.level_starts()[level : level + 2]
    nodes = integers(end, 3, 4, low=begin).int()
    nodes[0, 2] = -1
    logits, scores = normal(3, 4, 8), normal(3, 4)
    logits = [logits, logits.half(), logits.round()][level]  # rounded ones have ties
    scores[1, 1] = -torch.inf
    options = {"num_beams": 9, "normalize": normalize, **FILTERS[filters]}
    return tuple(recops.trie_beam_step(logits, TRIE, nodes, scores, **options))


def search(trie: Any, **options: Any) -> list[Tensor]:
    def step(tokens: Tensor | None, parents: Tensor | None) -> Tensor:
        return normal(3, 1 if tokens is None else tokens.shape[1], 8)

    result = recops.constrained_beam_search(step, trie, batch_size=3, num_beams=12, **options)
    return [result.item_ids, result.sids, result.scores]


def search_one(filters: str, has_prior: bool) -> list[Tensor]:
    prior = normal(200).round(decimals=1) if has_prior else None
    return search(TRIE, item_prior=prior, **FILTERS[filters])


def search_several() -> list[Tensor]:
    tries, index = [TRIE, SMALL], torch.tensor([1, 0, 1])
    bans = recops.item_bans(tries, BANNED, trie_index=index)
    prior = [normal(200), normal(90)]
    return search(tries, trie_index=index, item_prior=prior, banned=bans)


for length in range(4):
    add_case("trie_find", trie_find, length=length)
add_case("trie_lookups", trie_lookups)
for normalize, filters, level in product(("vocab", "children", "none"), FILTERS, range(3)):
    add_case("trie_beam_step", trie_beam_step, normalize=normalize, filters=filters, level=level)
for filters, flag in product(FILTERS, (False, True)):
    add_case("search", search_one, filters=filters, has_prior=flag)
add_case("search_several", search_several)
add_case("search_empty", lambda: search(EMPTY))


@pytest.mark.parametrize("count", [0, 1, 200])
def test_builds_the_trie_of_the_kernel(count: int) -> None:
    arguments = (SIDS[:count], IDS[:count], [6, 7, 8])
    *expected, _ = torch.ops.recops.trie_build(*arguments)
    *actual, stamp = composite("trie_build")(*arguments)
    for one, other in zip(actual, expected, strict=True):
        assert one.dtype == other.dtype
        assert torch.equal(one, other)
    assert stamp > 0
