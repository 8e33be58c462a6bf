"""Public functions with valid arguments, for tests of all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch

import recops
from trie_inputs import catalogue

X, BOOKS = torch.randn(4, 6), torch.randn(2, 5, 6)
CODES = torch.zeros(4, 2, dtype=torch.int32)
TRIE = catalogue(items=30, depth=2, vocab=7).trie
ROOT = torch.zeros(2, 1, dtype=torch.int32)
GATES, W_HH = torch.randn(2, 3, 12), torch.randn(12, 4)
ATTENTION = torch.rand(2, 3)
EVENTS = torch.randn(2, 3, 4)
MIMN_PARAMS = recops.MimnParams.random(input_size=4, hidden_size=5, num_slots=3)
MIMN = recops.MimnState.zeros(MIMN_PARAMS, 2)
HPMN_PARAMS = recops.HpmnParams.random(input_size=4, hidden_size=5, num_slots=2)
HPMN = recops.HpmnState.zeros(HPMN_PARAMS, 2)


def step(tokens: torch.Tensor | None, parents: torch.Tensor | None) -> torch.Tensor:
    return torch.zeros(2, 1 if tokens is None else tokens.shape[1], 7)


def catalog() -> recops.SidCatalog:
    live = recops.SidCatalog([7, 7])
    live.insert([1, 2], [[0, 1], [2, 3]])
    return live


class Call(NamedTuple):
    """A public function with valid arguments; the ``optional`` ones may be None."""

    function: Callable[..., Any]
    arguments: dict[str, Any]
    optional: frozenset[str] | set[str] = frozenset()

    @property
    def name(self) -> str:
        return self.function.__qualname__


CALLS = [
    Call(recops.rq_encode, {"x": X, "codebooks": BOOKS, "beam": 2, "metric": "l2"}),
    Call(recops.rq_encode_beams, {"x": X, "codebooks": BOOKS, "beam": 2, "metric": "cosine"}),
    Call(recops.rq_decode, {"codes": CODES, "codebooks": BOOKS}),
    Call(recops.nearest_codes, {"x": X, "codebook": BOOKS[0], "k": 2, "metric": "l2"}),
    Call(
        recops.accumulate_codes,
        {"x": X, "index": CODES[:, 0], "num_codes": 3, "weight": X[:, 0]},
        optional={"weight"},
    ),
    Call(
        recops.code_flip_rate,
        {"x": X, "codebooks": BOOKS, "sigma": torch.rand(2), "samples": 2, "seed": 1},
    ),
    Call(recops.straight_through, {"x": X, "codebooks": BOOKS, "rotation": True}),
    Call(recops.pack_codes, {"codes": CODES, "sizes": [5, 5]}),
    Call(recops.unpack_codes, {"packed": torch.zeros(4, 1, dtype=torch.uint8), "sizes": [5, 5]}),
    Call(
        recops.balance_assignment,
        {"x": X, "codebook": BOOKS[0], "weight": torch.ones(4), "capacity": 2.0},
    ),
    Call(
        recops.codebook_overlap,
        {"codebook": BOOKS[0], "usage": torch.rand(5), "sigma": 1.0, "kernel": "product"},
    ),
    Call(
        recops.dice,
        {"x": X, "alpha": X[0], "mean": X[0], "var": X[0].abs(), "eps": 1e-8},
    ),
    Call(recops.embedding_bags, {"bags": [(X, CODES)], "padding_idx": 1}, optional={"padding_idx"}),
    Call(
        recops.embedding_bags_update_,
        {
            "bags": [(X, CODES)],
            "grad": torch.ones(len(CODES), X.shape[1]),
            "states": [X.abs()],
            "optimizer": "adagrad",
            "lr": 0.1,
            "eps": 1e-8,
            "weight_decay": 0.1,
            "padding_idx": 1,
        },
        optional={"padding_idx"},
    ),
    Call(
        recops.next_event_loss,
        {
            "states": torch.randn(2, 3, 4),
            "events": torch.randn(2, 3, 4),
            "drawn": torch.zeros(2, 2, dtype=torch.int64),
            "layers": [torch.randn(5, 8), torch.randn(5), torch.randn(1, 5), torch.randn(1)],
            "lengths": torch.tensor([1, 3]),
        },
        optional={"lengths"},
    ),
    Call(
        recops.recurrent_scan,
        {
            "gates": GATES,
            "w_hh": W_HH,
            "b_hh": W_HH[:, 0],
            "h0": torch.zeros(2, 4),
            "attention": ATTENTION,
            "lengths": torch.tensor([1, 3]),
            "gates_index": torch.tensor([0, 1]),
            "cell": "augru",
            "reset": "after",
            "update": "or",
            "convention": None,
            "checkpoint": False,
        },
        optional={"b_hh", "h0", "lengths", "gates_index", "convention"},
    ),
    Call(
        recops.recurrent_layer,
        {
            "x": torch.randn(2, 3, 5),
            "w_ih": torch.randn(12, 5),
            "w_hh": W_HH,
            "b_ih": W_HH[:, 0],
            "b_hh": W_HH[:, 0],
            "h0": torch.zeros(2, 4),
            "attention": ATTENTION,
            "lengths": torch.tensor([1, 3]),
            "cell": "agru",
            "reset": "before",
            "update": "or",
            "convention": None,
            "checkpoint": True,
        },
        optional={"b_ih", "b_hh", "h0", "lengths", "convention"},
    ),
    Call(
        recops.recurrent_step,
        {
            "h": torch.zeros(2, 4),
            "gates": GATES[:, 0],
            "w_hh": W_HH,
            "b_hh": W_HH[:, 0],
            "attention": ATTENTION[:, 0],
            "cell": "augru",
            "reset": "after",
            "update": "paper",
            "convention": None,
        },
        optional={"b_hh", "convention"},
    ),
    Call(
        recops.trie_beam_step,
        {
            "logits": torch.zeros(2, 1, 7),
            "trie": [TRIE],
            "nodes": ROOT,
            "scores": torch.zeros(2, 1),
            "num_beams": 3,
            "normalize": "vocab",
            "allowed": TRIE.mask(drop=[]),
            "banned": recops.item_bans(TRIE, [TRIE.item_ids[:1]] * 2),
            "trie_index": ROOT[:, 0],
        },
        optional={"allowed", "banned", "trie_index"},
    ),
    Call(
        recops.constrained_beam_search,
        {
            "step": step,
            "trie": [TRIE],
            "batch_size": 2,
            "num_beams": 3,
            "normalize": "none",
            "allowed": TRIE.mask(drop=[]),
            "widths": [3, 3],
            "item_prior": torch.rand(30),
            "banned": [TRIE.item_ids[:1]] * 2,
            "trie_index": ROOT[:, 0],
        },
        optional={"allowed", "banned", "trie_index", "widths", "item_prior"},
    ),
    Call(
        recops.item_bans,
        {"trie": [TRIE], "ids": [TRIE.item_ids[:1]] * 2, "trie_index": ROOT[:, 0]},
        optional={"trie_index"},
    ),
    Call(
        recops.SidTrie.from_sids,
        {"sids": CODES, "item_ids": torch.arange(4), "vocab_sizes": [3, 3]},
        optional={"item_ids", "vocab_sizes"},
    ),
    Call(TRIE.find, {"sids": CODES}),
    Call(TRIE.contains, {"sids": CODES}),
    Call(TRIE.items, {"nodes": CODES[:, 0]}),
    Call(TRIE.allowed_tokens, {"nodes": CODES[:, 0], "vocab_size": 7}),
    Call(TRIE.mask, {"keep": [int(TRIE.item_ids[0])], "missing_ok": True}),
    Call(catalog().insert, {"item_ids": [7], "sids": [[1, 1]], "replace": True}),
    Call(catalog().remove, {"item_ids": [2], "missing_ok": True}),
    Call(catalog().rollback, {"version": 0}),
    Call(recops.SidCatalog, {"vocab_sizes": [7, 7], "history": 3}),
]
OPTIONS: dict[str, Any] = {
    "orders": 2,
    "lengths": torch.tensor([1, 5]),
    "feed_index": torch.tensor([0, 1]),
    "bias": True,
    "activation": "selu",
    "activate_last": True,
    "concat_hidden": False,
    "pool": "mean",
    "order_independent": False,
}
FEED, PARAMS = torch.randn(2, 5, 3), torch.randn(2, 8)
CALLS += [
    Call(
        recops.coaction,
        {"feed": FEED, "params": PARAMS, "dims": (3, 2), **OPTIONS},
        optional={"lengths", "feed_index"},
    ),
    Call(
        recops.coaction_multi,
        {"pairs": [(FEED, PARAMS, (3, 2))], **OPTIONS},
        optional={"lengths", "feed_index"},
    ),
    Call(
        recops.coaction_gather,
        {
            "feed_table": X[:, :3],
            "history": torch.zeros(2, 5, dtype=torch.int64),
            "params_table": PARAMS,
            "targets": torch.tensor([0, 1]),
            "dims": (3, 2),
            "sparse": True,
            **OPTIONS,
        },
        optional={"lengths", "feed_index"},
    ),
    Call(
        recops.memory_address,
        {"key": MIMN.pooled, "memory": MIMN.memory, "beta": torch.ones(2)},
    ),
    Call(recops.memory_read, {"weights": MIMN.usage, "memory": MIMN.memory}),
    Call(
        recops.memory_write,
        {"memory": MIMN.memory, "weights": MIMN.usage, "erase": MIMN.pooled, "add": MIMN.pooled},
    ),
    Call(recops.memory_utilization, {"usage": MIMN.usage}),
    Call(recops.memory_covariance, {"memory": MIMN.memory, "squared": True}),
    Call(
        recops.mimn_scan,
        {
            "x": EVENTS,
            "params": MIMN_PARAMS,
            "state": MIMN,
            "lengths": torch.tensor([3, 1]),
            "utilization": "code",
            "induction_topk": 1,
            "checkpoint": 2,
        },
        optional={"state", "lengths", "checkpoint"},
    ),
    Call(
        recops.mimn_step_,
        {
            "pool": MIMN,
            "rows": torch.tensor([1, 0]),
            "x": EVENTS[:, 0].contiguous(),
            "params": MIMN_PARAMS,
            "utilization": "code",
            "induction_topk": 1,
        },
    ),
    Call(
        recops.mimn_read,
        {
            "pool": MIMN,
            "rows": torch.tensor([1, 0]),
            "target": EVENTS[:, 0].contiguous(),
            "params": MIMN_PARAMS,
            "utilization": "code",
            "induction_topk": 1,
        },
    ),
    Call(
        recops.hpmn_scan,
        {
            "x": EVENTS,
            "params": HPMN_PARAMS,
            "state": HPMN,
            "periods": (1, 2),
            "lengths": torch.tensor([3, 1]),
        },
        optional={"state", "lengths"},
    ),
    Call(
        recops.hpmn_step_,
        {
            "pool": HPMN,
            "rows": torch.tensor([1, 0]),
            "x": EVENTS[:, 0].contiguous(),
            "params": HPMN_PARAMS,
            "periods": (1, 2),
        },
    ),
    Call(
        recops.hpmn_read,
        {
            "query": EVENTS[:, 0].contiguous(),
            "pool": HPMN,
            "rows": torch.tensor([1, 0]),
            "params": HPMN_PARAMS,
        },
    ),
]
