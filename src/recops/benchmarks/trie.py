"""Benchmarks of steps of constrained beam search against peers, and of building a trie."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor

import recops
from recops import reference
from recops.benchmarks.registry import Case, Thunk, register
from recops.benchmarks.trie_peers import (
    PeerStep,
    PrefixAllowedTokens,
    padded_rows_in,
    sorted_keys_in,
)
from recops.ops.trie.trie_beam_step import Normalize


@dataclass(frozen=True)
class Workload:
    """Sizes of a catalogue whose tokens follow a Zipf law, and of the beams that decode it.

    With ``exponent`` 0 the tokens are uniform.
    """

    items: int
    vocab: int
    depth: int
    batch: int
    beams: int
    exponent: float

    def __str__(self) -> str:
        law = f"Zipf({self.exponent:g})" if self.exponent else "uniform"
        return f"N={self.items} {law} V={self.vocab} L={self.depth} B={self.batch} M={self.beams}"


ONE_REC = Workload(1_500_000, 8192, 3, batch=1, beams=512, exponent=1.0)
ONE_REC_NARROW = replace(ONE_REC, beams=50)
STATIC_ZIPF = Workload(1_000_000, 2048, 4, batch=2, beams=70, exponent=1.0)
STATIC_UNIFORM = Workload(1_000_000, 2048, 8, batch=2, beams=70, exponent=0.0)
TIGER = Workload(1_000_000, 256, 4, batch=8, beams=50, exponent=0.8)
HUNDRED_THOUSAND = Workload(100_000, 2048, 4, batch=2, beams=70, exponent=1.0)
# Workloads for beamgrad, which searches the whole vocabulary without a trie.
BEAMGRAD_LONG = STATIC_UNIFORM
BEAMGRAD_WIDE = replace(ONE_REC, beams=256)
SMALL = Workload(10_000, 256, 3, batch=1, beams=10, exponent=0.8)


@register("trie")
def cases(quick: bool) -> Iterator[Case]:
    large = () if quick else (ONE_REC, ONE_REC_NARROW, STATIC_ZIPF, STATIC_UNIFORM)
    for workload in (*large, TIGER, SMALL):
        search = Search(workload)
        for level in range(1, min(workload.depth, 4)):
            yield step_case(search, level, compiled=not quick)
        yield variant_case(search, 1, normalize="children")
        yield variant_case(search, 1, keep=0.1)
    yield step_case(Search(TIGER), 1, dtype=torch.bfloat16)
    if not quick and find_spec("transformers"):
        yield prefix_case(Search(HUNDRED_THOUSAND), 1)
    if not quick and find_spec("beamgrad"):
        for workload in (BEAMGRAD_LONG, BEAMGRAD_WIDE):
            yield unconstrained_case(Search(workload))
    yield build_case(STATIC_ZIPF)


def zipf_sids(
    items: int, vocab: int, depth: int, *, exponent: float = 1.0, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Draw a catalogue that is as skewed as real ones.

    The tokens of all levels are independent. A token of rank r has probability p ∝ 1 / r^exponent.
    Each level has a different random order of tokens by rank.

    Returns:
        SIDs ``[items, depth]`` int64, and log p ``[depth, vocab]``.
    """
    random = torch.Generator().manual_seed(seed)
    shares = torch.arange(1, vocab + 1, dtype=torch.float64) ** -exponent
    shares /= shares.sum()
    thresholds = shares.cumsum(0)
    sids = torch.empty(items, depth, dtype=torch.int64)
    log_shares = torch.empty(depth, vocab)
    for level in range(depth):
        token_of_rank = torch.randperm(vocab, generator=random)
        uniform = torch.rand(items, generator=random, dtype=torch.float64)
        ranks = torch.searchsorted(thresholds, uniform).clamp(max=vocab - 1)
        sids[:, level] = token_of_rank[ranks]
        log_shares[level, token_of_rank] = shares.log().float()
    return sids, log_shares


class Search:
    """Beam search in a catalogue by a model that predicts the popularity of tokens with noise."""

    def __init__(self, workload: Workload, *, distinct: bool = False) -> None:
        self.workload = workload
        sids, self._log_shares = zipf_sids(
            workload.items, workload.vocab, workload.depth, exponent=workload.exponent
        )
        if distinct:  # one item per semantic ID
            sids = sids.unique(dim=0)
        started = time.process_time()  # CPU time, because the trie is built only once
        self.trie = recops.SidTrie.from_sids(sids, vocab_sizes=workload.vocab)
        self.build_seconds = time.process_time() - started

    def by(self, *, batch: int, beams: int) -> Search:
        """Return a search in the same catalogue with another batch and number of beams."""
        other = copy.copy(self)
        other.workload = replace(self.workload, batch=batch, beams=beams)
        return other

    def logits(self, level: int) -> Tensor:
        """Return the logits ``[B, M, V]`` of a level, identical at every call."""
        width = self.workload.beams if level else 1
        shape = (self.workload.batch, width, self.workload.vocab)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(level))
        return noise + self._log_shares[level]

    def beams(self, level: int) -> tuple[Tensor, Tensor]:
        """Return the nodes and scores, each ``[B, M]``, before ``level``."""
        nodes, scores, _ = self._search(level)
        return nodes, scores

    def prefixes(self, level: int) -> Tensor:
        """Return the tokens of the beams ``[B, M, level]`` before ``level``."""
        return self._search(level)[2]

    def _search(self, level: int) -> tuple[Tensor, Tensor, Tensor]:
        nodes = torch.zeros(self.workload.batch, 1, dtype=torch.int32)
        scores = torch.zeros(self.workload.batch, 1)
        prefixes = torch.empty(self.workload.batch, 1, 0, dtype=torch.int32)
        for above in range(level):
            scores, tokens, parents, nodes = recops.trie_beam_step(
                self.logits(above), self.trie, nodes, scores, num_beams=self.workload.beams
            )
            parents = parents.long().unsqueeze(2).expand(-1, -1, above)
            prefixes = torch.cat([prefixes.gather(1, parents), tokens.unsqueeze(2)], 2)
        return nodes, scores, prefixes


def step_case(
    search: Search, level: int, *, dtype: torch.dtype = torch.float32, compiled: bool = False
) -> Case:
    """Run one step over the vocabulary; the peers are padded rows and sorted keys."""
    trie, num_beams = search.trie, search.workload.beams
    nodes, scores = search.beams(level)
    logits = search.logits(level).to(dtype)
    padded, sorted_keys, wide_nodes = padded_rows_in(trie), sorted_keys_in(trie), nodes.long()

    def run() -> recops.BeamStep:
        return recops.trie_beam_step(logits, trie, nodes, scores, num_beams=num_beams)

    def padded_rows() -> PeerStep:
        return padded.step(logits, wide_nodes, scores, num_beams, level)

    def looked_up() -> PeerStep:
        return sorted_keys.step(logits, wide_nodes, scores, num_beams, level)

    def verify() -> None:
        actual, exact_scores = run(), padded_rows()[0]
        torch.testing.assert_close(actual.scores, exact_scores, rtol=1e-5, atol=1e-4)
        # The peer's beams may differ: topk orders ties arbitrarily, and 16-bit logits tie often.
        # Check instead that the chosen beams have the reported scores.
        parents, tokens = actual.parents.long(), actual.tokens.long()
        log_probs = logits.log_softmax(2, dtype=torch.float32)
        chosen = log_probs[torch.arange(len(parents))[:, None], parents, tokens]
        recomputed = chosen + scores.gather(1, parents)
        torch.testing.assert_close(actual.scores, recomputed, rtol=1e-5, atol=1e-4)
        assert torch.equal(padded.tokens[actual.nodes.long()], tokens)
        assert all(len(row.unique()) == len(row) for row in actual.nodes)
        inexact_scores = looked_up()[0]  # this peer may miss the best beams
        assert bool((inexact_scores <= exact_scores + 1e-4).all())

    peers: dict[str, Thunk] = {"padded rows": padded_rows, "sorted keys": looked_up}
    if compiled:
        fused = torch.compile(padded.step)
        peers["compile"] = lambda: fused(logits, wide_nodes, scores, num_beams, level)
    return Case(
        op="trie_beam_step",
        shape=f"{search.workload} level={level}",
        dtype=str(dtype).removeprefix("torch."),
        run=run,
        peers=peers,
        verify=verify,
        bytes=float(logits.nbytes + bytes_of_children(trie, nodes, logits)),
        ceiling="bandwidth",
    )


def prefix_case(search: Search, level: int) -> Case:
    """Run one step; the peer is transformers' ``prefix_allowed_tokens_fn``."""
    trie, num_beams = search.trie, search.workload.beams
    nodes, scores = search.beams(level)
    logits = search.logits(level)
    peer = PrefixAllowedTokens(trie, search.prefixes(level))

    def run() -> recops.BeamStep:
        return recops.trie_beam_step(logits, trie, nodes, scores, num_beams=num_beams)

    def verify() -> None:
        actual, expected = run(), peer.step(logits, scores, num_beams)
        torch.testing.assert_close(actual.scores, expected[0], rtol=1e-5, atol=1e-4)
        assert torch.equal(actual.tokens.long(), expected[1])
        assert torch.equal(actual.parents.long(), expected[2])

    return Case(
        op="trie_beam_step",
        shape=f"{search.workload} level={level}",
        run=run,
        peers={"prefix_allowed_tokens_fn": lambda: peer.step(logits, scores, num_beams)},
        verify=verify,
        bytes=float(logits.nbytes + bytes_of_children(trie, nodes, logits)),
        ceiling="bandwidth",
    )


def unconstrained_case(search: Search) -> Case:
    """Run all steps in a trie; the peer is beamgrad over the whole vocabulary."""
    import beamgrad

    workload, trie = search.workload, search.trie
    levels, num_beams = range(workload.depth), workload.beams
    logits = [search.logits(level) for level in levels]
    shape = (workload.batch, num_beams, workload.vocab)
    stacked = torch.stack([rows.expand(shape) for rows in logits], 1)
    options = beamgrad.BeamOptions(num_beams)

    def run() -> Tensor:
        nodes = torch.zeros(workload.batch, 1, dtype=torch.int32)
        scores = torch.zeros(workload.batch, 1)
        for rows in logits:
            scores, _, _, nodes = recops.trie_beam_step(
                rows, trie, nodes, scores, num_beams=num_beams
            )
        return scores

    def unconstrained() -> Tensor:
        final_scores: Tensor = beamgrad.decode(stacked, options, from_logits=True).final_scores
        return final_scores

    def verify() -> None:  # the trie only removes paths, so the best score cannot be higher
        assert bool((run()[:, 0] <= unconstrained().max(1).values + 1e-4).all())

    return Case(
        op="trie_beam_step",
        shape=f"{workload} all levels",
        run=run,
        peers={"beamgrad, unconstrained": unconstrained},
        verify=verify,
        bytes=float(stacked.nbytes),
        ceiling="bandwidth",
    )


def variant_case(
    search: Search, level: int, *, normalize: Normalize = "vocab", keep: float | None = None
) -> Case:
    """Run one step with a mask or another normalizer; the peer is the step without them.

    ``keep`` is the share of items that the mask allows.
    """
    trie, num_beams = search.trie, search.workload.beams
    nodes, scores = search.beams(level)
    logits = search.logits(level)
    name: str = normalize
    allowed = None
    if keep is not None:
        is_kept = torch.rand(trie.num_items, generator=torch.Generator().manual_seed(0)) < keep
        name, allowed = f"keep={keep:g}", trie.mask(keep=trie.item_ids[is_kept])

    def run() -> recops.BeamStep:
        return recops.trie_beam_step(
            logits,
            trie,
            nodes,
            scores,
            num_beams=num_beams,
            normalize=normalize,
            allowed=allowed,
        )

    def plain() -> recops.BeamStep:
        return recops.trie_beam_step(logits, trie, nodes, scores, num_beams=num_beams)

    def verify() -> None:  # with one beam: the reference is too slow for more
        arguments = (logits[:1, :1], trie, nodes[:1, :1], scores[:1, :1])
        actual, expected = (
            step(*arguments, num_beams=50, normalize=normalize, allowed=allowed)
            for step in (recops.trie_beam_step, reference.trie_beam_step)
        )
        torch.testing.assert_close(actual.scores, expected.scores, rtol=1e-5, atol=1e-5)
        assert torch.equal(actual.nodes, expected.nodes)

    rows = logits.nbytes if normalize == "vocab" else 0
    return Case(
        op="trie_beam_step",
        shape=f"{search.workload} level={level} {name}",
        run=run,
        peers={"plain": plain},
        verify=verify,
        bytes=float(rows + bytes_of_children(trie, nodes, logits)),
        ceiling="bandwidth",
    )


def bytes_of_children(trie: recops.SidTrie, nodes: Tensor, logits: Tensor) -> int:
    """Count the bytes of the tokens and logits of the beams' children."""
    live = nodes.long()
    children = int((trie.first_child[live + 1] - trie.first_child[live]).sum())
    return children * (trie.tokens.element_size() + logits.element_size())


def build_case(workload: Workload) -> Case:
    """Build a trie; the peers only sort the SIDs (numpy), or build in PyTorch (reference)."""
    sids, _ = zipf_sids(workload.items, workload.vocab, workload.depth, exponent=workload.exponent)
    columns = np.ascontiguousarray(sids.numpy().T[::-1])

    def build() -> recops.SidTrie:
        return recops.SidTrie.from_sids(sids, vocab_sizes=workload.vocab)

    def verify() -> None:
        trie = build()
        for name, values in reference.sid_trie(sids)._asdict().items():
            assert torch.equal(getattr(trie, name).long(), values), name

    law = f"Zipf({workload.exponent:g})"
    return Case(
        op="trie_build",
        shape=f"N={workload.items} {law} V={workload.vocab} L={workload.depth}",
        dtype="int64",
        run=build,
        peers={
            "numpy lexsort alone": lambda: np.lexsort(columns),
            "reference": lambda: reference.sid_trie(sids),
        },
        verify=verify,
        bytes=float(sids.nbytes + build().nbytes),
        ceiling="bandwidth",
    )
