"""Scaling of a beam-search step with beams, batch and catalogue, compared with peers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec

import torch

import recops
from recops.benchmarks.registry import Case, Point, Thunk, register_scaling
from recops.benchmarks.trie import Search, Workload, prefix_case, step_case
from recops.benchmarks.trie_peers import sorted_keys_in

LEVEL = 1  # the level with the most children
SHAPES = [  # items, vocabulary, depth
    (100_000, 256, 4),
    (1_000_000, 2048, 4),
    (1_000_000, 2048, 8),
    (1_500_000, 8192, 3),
    (10_000_000, 2048, 8),
    (20_000_000, 2048, 8),
]
EXPONENTS = (1.0, 0.8, 0.0)  # of Zipf's law; 0: uniform
BEAMS = (10, 50, 70, 128, 256, 512, 1024)
BATCHES = (1, 2, 8, 32)
MAX_PEER_BEAMS = 128  # largest number of beams for the peer that calls Python for each beam


@register_scaling("trie")
def points() -> Iterator[Point]:
    for search in _catalogues():
        for beams in BEAMS:
            yield _point("M", beams, search.by(batch=1, beams=beams))
        if search.workload.exponent == 1:
            for batch in BATCHES:
                yield _point("B", batch, search.by(batch=batch, beams=50))


@register_scaling("trie_grid")
def grid() -> Iterator[Point]:
    """Yield every combination of catalogue, batch, beams and threads, without peers."""
    for search in _catalogues():
        for batch in BATCHES:
            for beams in BEAMS:
                crossed = search.by(batch=batch, beams=beams)
                case = _case_without_peers(crossed)
                for threads in (1, 2):
                    side = f"B = {batch}, {threads} thread{'s' * (threads > 1)}"
                    point_case = replace(case, threads=threads)
                    yield Point(
                        "M", beams, batch * beams, point_case, of=_catalogue(crossed), side=side
                    )


def _catalogues() -> Iterator[Search]:
    for items, vocab, depth in SHAPES:
        for exponent in EXPONENTS:
            yield Search(Workload(items, vocab, depth, batch=1, beams=1, exponent=exponent))


def _catalogue(search: Search) -> str:
    name, _, _ = str(search.workload).partition(" B=")
    return name


def _case_without_peers(search: Search) -> Case:
    """Return a step without peers; its check compares the batch with each single request."""
    nodes, scores = search.beams(LEVEL)
    logits = search.logits(LEVEL)

    def step(request: slice) -> recops.BeamStep:
        arguments = (logits[request], search.trie, nodes[request], scores[request])
        return recops.trie_beam_step(*arguments, num_beams=search.workload.beams)

    def verify() -> None:
        batched = step(slice(None))
        for b in range(search.workload.batch):
            for rows, row in zip(batched, step(slice(b, b + 1)), strict=True):
                assert torch.equal(rows[b : b + 1], row)

    return Case(
        op="trie_beam_step",
        shape=f"{search.workload} level={LEVEL}",
        run=lambda: step(slice(None)),
        verify=verify,
    )


def _point(size: str, value: int, search: Search) -> Point:
    workload = search.workload
    case = step_case(search, LEVEL)
    peers: dict[str, Thunk] = dict(case.peers)
    if find_spec("beamgrad"):
        peers["beamgrad, unconstrained"] = _unconstrained(search)
    if workload.beams <= MAX_PEER_BEAMS and find_spec("transformers"):
        peers |= prefix_case(search, LEVEL).peers
    rows = workload.batch * workload.beams
    case = replace(case, peers=peers)
    return Point(size, value, rows, case, of=_catalogue(search), facts=_facts(search))


def _unconstrained(search: Search) -> Thunk:
    """Return beamgrad's step over the whole vocabulary, after a first step that reads one row."""
    import beamgrad

    rows = search.logits(LEVEL)
    stacked = torch.stack([search.logits(0).expand_as(rows), rows], 1)
    options = beamgrad.BeamOptions(search.workload.beams)
    return lambda: beamgrad.decode(stacked, options, from_logits=True)


def _facts(search: Search) -> str:
    """Describe the trie and the results of complete searches by recops and by sorted keys."""
    trie, workload = search.trie, search.workload
    exact, _ = search.beams(workload.depth)
    peer = sorted_keys_in(trie)
    nodes, scores = torch.zeros(workload.batch, 1).long(), torch.zeros(workload.batch, 1)
    for level in range(workload.depth):
        logits = search.logits(level)
        scores, _, _, nodes = peer.step(logits, nodes, scores, workload.beams, level)
    inexact = torch.where(scores > -torch.inf, nodes, -1)
    lost = sum(
        int((~torch.isin(best, row)).sum()) for best, row in zip(exact, inexact, strict=True)
    )
    structure = trie.first_child.nbytes + trie.tokens.nbytes
    return (
        f"built in {search.build_seconds:.2f} s; {structure / 2**20:.1f} MiB, "
        f"{structure / trie.num_nodes:.1f} B per node; "
        f"recops: {int((exact < 0).sum())} dead beams; "
        f"sorted keys: {lost} beams lost, {int((inexact < 0).sum())} dead"
    )
