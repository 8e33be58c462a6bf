"""A step of constrained beam search beside the padded-row algorithm, and the trie build."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

import recops
from recops import reference
from recops.benchmarks.registry import Case, Thunk, register
from recops.ops.trie_beam_step import Normalize


@dataclass(frozen=True)
class Workload:
    """A catalogue whose tokens follow a Zipf law, and the beams that decode it.

    ``exponent`` 0 is the uniform law.
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
STATIC_ZIPF = Workload(1_000_000, 2048, 4, batch=2, beams=70, exponent=1.0)
STATIC_UNIFORM = Workload(1_000_000, 2048, 8, batch=2, beams=70, exponent=0.0)
TIGER = Workload(1_000_000, 256, 4, batch=8, beams=50, exponent=0.8)
SMALL = Workload(10_000, 256, 3, batch=1, beams=10, exponent=0.8)


@register("trie")
def cases(quick: bool) -> Iterator[Case]:
    large = () if quick else (ONE_REC, STATIC_ZIPF, STATIC_UNIFORM)
    for workload in (*large, TIGER, SMALL):
        search = Search(workload)
        for level in range(1, min(workload.depth, 4)):
            yield step_case(search, level, compiled=not quick)
        yield variant_case(search, 1, normalize="children")
        yield variant_case(search, 1, keep=0.1)
    yield step_case(Search(TIGER), 1, dtype=torch.bfloat16)
    yield build_case(STATIC_ZIPF)


def zipf_sids(
    items: int, vocab: int, depth: int, *, exponent: float = 1.0, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """A catalogue as skewed as real ones.

    Every level's token is drawn on its own from p(rank r) ∝ 1 / r^exponent, and each level has an
    order of tokens by rank of its own.

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
    """The beams that a model which knows how popular tokens are, but for noise, has at a level."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        sids, self._log_shares = zipf_sids(
            workload.items, workload.vocab, workload.depth, exponent=workload.exponent
        )
        self.trie = recops.SidTrie.from_sids(sids, vocab_sizes=workload.vocab)

    def logits(self, level: int) -> Tensor:
        """``[B, M, V]``, the same at every call."""
        width = self.workload.beams if level else 1
        shape = (self.workload.batch, width, self.workload.vocab)
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(level))
        return noise + self._log_shares[level]

    def beams(self, level: int) -> tuple[Tensor, Tensor]:
        """Nodes and scores, each ``[B, M]``, on entering ``level``."""
        nodes = torch.zeros(self.workload.batch, 1, dtype=torch.int32)
        scores = torch.zeros(self.workload.batch, 1)
        for above in range(level):
            scores, _, _, nodes = recops.trie_beam_step(
                self.logits(above), self.trie, nodes, scores, num_beams=self.workload.beams
            )
        return nodes, scores


class PaddedRows:
    """The peer: every beam's children padded to the level's widest branch, masked, then top-k.

    The idea of STATIC (arXiv 2602.22647) for levels past its dense head, in plain torch: the work
    is B · M · (the widest branch), whatever the beams' own branching.
    """

    def __init__(self, trie: recops.SidTrie) -> None:
        self.first_child = trie.first_child.long()
        self.tokens = trie.tokens.long()
        counts = self.first_child.diff()
        bounds = trie.level_starts()[:-1]
        self.widest = [int(counts[a:b].max()) for a, b in pairwise(bounds)]

    def step(
        self, logits: Tensor, nodes: Tensor, scores: Tensor, num_beams: int, level: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Scores, tokens, parents and nodes ``[B, num_beams]``; all beams are live."""
        first = self.first_child[nodes]
        place = torch.arange(self.widest[level])
        is_child = place < (self.first_child[nodes + 1] - first).unsqueeze(2)
        children = torch.where(is_child, first.unsqueeze(2) + place, 0)
        tokens = self.tokens[children]
        log_probs = logits.log_softmax(2, dtype=torch.float32).gather(2, tokens)
        totals = log_probs + scores.unsqueeze(2)
        totals = torch.where(is_child, totals, -torch.inf).flatten(1)
        best, chosen = totals.topk(num_beams)
        return (
            best,
            tokens.flatten(1).gather(1, chosen),
            chosen // self.widest[level],
            children.flatten(1).gather(1, chosen),
        )


def step_case(
    search: Search, level: int, *, dtype: torch.dtype = torch.float32, compiled: bool = False
) -> Case:
    """One step over the vocabulary, beside the padded rows."""
    trie, num_beams = search.trie, search.workload.beams
    nodes, scores = search.beams(level)
    logits = search.logits(level).to(dtype)
    padded, wide_nodes = PaddedRows(trie), nodes.long()

    def run() -> recops.BeamStep:
        return recops.trie_beam_step(logits, trie, nodes, scores, num_beams=num_beams)

    def padded_rows() -> tuple[Tensor, Tensor, Tensor, Tensor]:
        return padded.step(logits, wide_nodes, scores, num_beams, level)

    def verify() -> None:
        ours, theirs = run(), padded_rows()
        torch.testing.assert_close(ours.scores, theirs[0], rtol=1e-5, atol=1e-4)
        # Which beams is another matter: topk breaks ties as it likes, and 16-bit logits tie often.
        parents, tokens = ours.parents.long(), ours.tokens.long()
        log_probs = logits.log_softmax(2, dtype=torch.float32)
        chosen = log_probs[torch.arange(len(parents))[:, None], parents, tokens]
        told = chosen + scores.gather(1, parents)
        torch.testing.assert_close(ours.scores, told, rtol=1e-5, atol=1e-4)
        assert torch.equal(padded.tokens[ours.nodes.long()], tokens)
        assert all(len(row.unique()) == len(row) for row in ours.nodes)

    peers: dict[str, Thunk] = {"padded rows": padded_rows}
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
        bytes=float(logits.nbytes + _bytes_of_children(trie, nodes, logits)),
        ceiling="bandwidth",
    )


def variant_case(
    search: Search, level: int, *, normalize: Normalize = "vocab", keep: float | None = None
) -> Case:
    """One step in a way that padded rows do not know; the peer is our own plain step.

    ``keep`` is the share of items that a mask leaves.
    """
    trie, num_beams = search.trie, search.workload.beams
    nodes, scores = search.beams(level)
    logits = search.logits(level)
    name: str = normalize
    allowed = None
    if keep is not None:
        kept = torch.rand(trie.num_items, generator=torch.Generator().manual_seed(0)) < keep
        name, allowed = f"keep={keep:g}", trie.mask(keep=trie.item_ids[kept])

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

    def verify() -> None:  # on one beam: the reference is too slow for more
        arguments = (logits[:1, :1], trie, nodes[:1, :1], scores[:1, :1])
        found, expected = (
            step(*arguments, num_beams=50, normalize=normalize, allowed=allowed)
            for step in (recops.trie_beam_step, reference.trie_beam_step)
        )
        torch.testing.assert_close(found.scores, expected.scores, rtol=1e-5, atol=1e-5)
        assert torch.equal(found.nodes, expected.nodes)

    rows = logits.nbytes if normalize == "vocab" else 0
    return Case(
        op="trie_beam_step",
        shape=f"{search.workload} level={level} {name}",
        run=run,
        peers={"plain": plain},
        verify=verify,
        bytes=float(rows + _bytes_of_children(trie, nodes, logits)),
        ceiling="bandwidth",
    )


def _bytes_of_children(trie: recops.SidTrie, nodes: Tensor, logits: Tensor) -> int:
    """Tokens and logits of the real children of live beams."""
    live = nodes.long()
    children = int((trie.first_child[live + 1] - trie.first_child[live]).sum())
    return children * (trie.tokens.element_size() + logits.element_size())


def build_case(workload: Workload) -> Case:
    """Building the trie; the peers sort the SIDs (numpy), or build in plain torch (reference)."""
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
