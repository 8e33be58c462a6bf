"""How a step scales with beams, batch and catalogue, beside other ways to take it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec

import torch

from recops.benchmarks.registry import Point, Thunk, register_scaling
from recops.benchmarks.trie import Search, Workload, prefix_case, step_case
from recops.benchmarks.trie_peers import sorted_keys_in

LEVEL = 1  # the one with the most children
SHAPES = [  # items, vocabulary, depth
    (100_000, 256, 4),
    (1_000_000, 2048, 4),
    (1_000_000, 2048, 8),
    (1_500_000, 8192, 3),
    (10_000_000, 2048, 8),
    (20_000_000, 2048, 8),
]
SMALLER = SHAPES[:4]  # these with other laws too
BEAMS = (10, 50, 128, 512, 1024)
FEW_BEAMS = (50, 512)
BATCHES = (1, 2, 8, 32)
MOST_ASKED = 128  # beams that a function in Python is asked for


@register_scaling("trie")
def points() -> Iterator[Point]:
    for shape in SHAPES:
        for exponent in (1.0, 0.8, 0.0) if shape in SMALLER else (1.0,):
            items, vocab, depth = shape
            search = Search(Workload(items, vocab, depth, batch=1, beams=1, exponent=exponent))
            for beams in BEAMS if exponent == 1 else FEW_BEAMS:
                yield _point("M", beams, search.by(batch=1, beams=beams))
            if shape == SHAPES[1] and exponent == 1:
                for batch in BATCHES:
                    yield _point("B", batch, search.by(batch=batch, beams=50))


def _point(size: str, value: int, search: Search) -> Point:
    workload = search.workload
    catalogue, _, _ = str(workload).partition(" B=")
    case = step_case(search, LEVEL)
    peers: dict[str, Thunk] = dict(case.peers)
    if find_spec("beamgrad"):
        peers["beamgrad, unconstrained"] = _unconstrained(search)
    if workload.beams <= MOST_ASKED and find_spec("transformers"):
        peers |= prefix_case(search, LEVEL).peers
    rows = workload.batch * workload.beams
    case = replace(case, peers=peers)
    return Point(size, value, rows, case, of=catalogue, facts=_facts(search))


def _unconstrained(search: Search) -> Thunk:
    """beamgrad's step over the whole vocabulary, after a first one that reads one row."""
    import beamgrad

    rows = search.logits(LEVEL)
    stacked = torch.stack([search.logits(0).expand_as(rows), rows], 1)
    options = beamgrad.BeamOptions(search.workload.beams)
    return lambda: beamgrad.decode(stacked, options, from_logits=True)


def _facts(search: Search) -> str:
    """Of the trie, and how whole searches end: ours, and one that cuts off before it asks it."""
    trie, workload = search.trie, search.workload
    ours, _ = search.beams(workload.depth)
    peer = sorted_keys_in(trie)
    nodes, scores = torch.zeros(workload.batch, 1).long(), torch.zeros(workload.batch, 1)
    for level in range(workload.depth):
        logits = search.logits(level)
        scores, _, _, nodes = peer.step(logits, nodes, scores, workload.beams, level)
    found = torch.where(scores > -torch.inf, nodes, -1)
    lost = sum(int((~torch.isin(best, row)).sum()) for best, row in zip(ours, found, strict=True))
    structure = trie.first_child.nbytes + trie.tokens.nbytes
    return (
        f"built in {search.build_seconds:.2f} s; {structure / 2**20:.1f} MiB, "
        f"{structure / trie.num_nodes:.1f} B a node; exact, {int((ours < 0).sum())} dead; "
        f"sorted keys: {lost} lost, {int((found < 0).sum())} dead"
    )
