"""Alignment of renewed knowledge with earlier knowledge, so that a trained plug can read it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from recops_models.data.vocabulary import Vocabulary
from recops_models.examples.lookup import UNKNOWN
from recops_models.graphs.coded_rows import CodedRows
from recops_models.graphs.knowledge import ENTITIES, Knowledge, KnowledgeError
from recops_models.item_vectors.procrustes import procrustes
from recops_models.layers.pair_knowledge import PairKnowledge
from recops_models.training.device import array

_PAIRS = 4096
"""Largest number of pairs of a shared user and a shared item that align the pair knowledge."""


@dataclass(frozen=True, eq=False)
class AlignedKnowledge:
    """Renewed knowledge in the basis of earlier knowledge.

    Attributes:
        knowledge: the renewed knowledge, rotated, with the version of the earlier one.
        before: mean cosine of shared users' and items' rows with the earlier rows, by name.
        after: the same after the rotation.
    """

    knowledge: Knowledge
    before: dict[str, float]
    after: dict[str, float]


def align_knowledge(renewed: Knowledge, earlier: Knowledge) -> AlignedKnowledge:
    """Rotate renewed knowledge onto earlier knowledge over the ids that both have.

    Two trainings of an extractor find the same structure in different bases. An orthogonal map per
    table, by :func:`~recops_models.item_vectors.procrustes.procrustes`, keeps all inner products of
    the renewed table. The knowledge of pairs has a separate rotation, and its net reads rows in
    the basis in which it was trained.

    Args:
        renewed: knowledge of a new extractor.
        earlier: knowledge that a plug was trained with.

    Raises:
        KnowledgeError: the widths differ, or no user or no item is shared.

    Complexity:
        O((U + I) d² + d³).
    """
    if renewed.width != earlier.width:
        raise KnowledgeError(
            f"keep: knowledge must be {earlier.width} wide, as the earlier one, got {renewed.width}"
        )
    tables, shared, before, after = {}, {}, {}, {}
    rotations = []
    for name in ENTITIES:
        new_rows, old_rows = _shared(renewed, earlier, name)
        values = renewed.tables[name].decoded().float()
        source, target = values[new_rows], earlier.tables[name].decoded().float()[old_rows]
        rotation = torch.from_numpy(procrustes(array(source), array(target)))
        tables[name] = CodedRows.of(values @ rotation, "float32")
        rotations.append(rotation)
        shared[name] = source, target
        before[name], after[name] = _cosine(source, target), _cosine(source @ rotation, target)
    pairs = [_pairs(knowledge, shared, side) for side, knowledge in enumerate((renewed, earlier))]
    rotations.append(torch.from_numpy(procrustes(*map(array, pairs))))
    own = renewed.pair.get("bases")
    bases = torch.stack(rotations)
    pair = {**renewed.pair, "bases": bases if own is None else own @ bases}
    knowledge = dataclasses.replace(renewed, tables=tables, pair=pair, version=earlier.version)
    return AlignedKnowledge(knowledge, before, after)


def _shared(renewed: Knowledge, earlier: Knowledge, name: str) -> tuple[Tensor, Tensor]:
    """Return the rows of the ids that both have, in both tables."""
    keys = renewed.lookups[name].keys
    old = earlier.lookups[name].rows(keys.ids if isinstance(keys, Vocabulary) else keys)
    is_shared = old > UNKNOWN
    if not is_shared.any():
        raise KnowledgeError(
            f"keep: knowledge of {renewed.source} must share a {name} with that of "
            f"{earlier.source}, got none"
        )
    new = torch.arange(len(old)) + UNKNOWN + 1
    return new[torch.from_numpy(is_shared)], torch.from_numpy(old[is_shared])


@torch.no_grad()
def _pairs(knowledge: Knowledge, shared: dict[str, tuple[Tensor, Tensor]], side: int) -> Tensor:
    """Return the pair knowledge of shared users and items, matched in turn."""
    users, items = shared["user"][side], shared["item"][side]
    number = min(_PAIRS, max(len(users), len(items)))
    turn = torch.arange(number)
    net = PairKnowledge.shaped(knowledge.pair)
    net.load_state_dict(dict(knowledge.pair))
    pairs: Tensor = net(users[turn % len(users)], items[turn % len(items)])
    return pairs


def _cosine(first: Tensor, second: Tensor) -> float:
    return float(F.cosine_similarity(first, second).mean())
