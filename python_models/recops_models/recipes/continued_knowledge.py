"""Knowledge of a KEEP that continues, in the basis that its plug was trained with."""

from __future__ import annotations

import dataclasses

from torch import nn

from recops_models.callbacks import Callbacks
from recops_models.click.keep import Keep
from recops_models.graphs.coded_rows import CodedRows
from recops_models.graphs.knowledge import Knowledge
from recops_models.recipes.aligned_knowledge import align_knowledge
from recops_models.recipes.earlier import EarlierTraining
from recops_models.training.device import to_host


def continued_knowledge(
    knowledge: Knowledge, start: EarlierTraining, callbacks: Callbacks
) -> Knowledge:
    """Return knowledge that the plug of an earlier training can read.

    Knowledge of the earlier extractor is returned as it is. That of another extractor is rotated
    onto the knowledge that the earlier model holds, and a message reports the cosines.

    Args:
        knowledge: knowledge of the continued training.
        start: the earlier training of a KEEP.
        callbacks: receive the message.

    Raises:
        KnowledgeError: the widths differ, or no user or no item is shared.
    """
    model: nn.Module = start.model
    assert isinstance(model, Keep)  # The jobs have the same recipe.
    if knowledge.version == model.config.version:
        return knowledge
    aligned = align_knowledge(knowledge, _on_host(model.knowledge(str(start.folder))))
    for name, cosine in aligned.after.items():
        callbacks.log_message(
            f"knowledge: mean cosine of shared {name}s with the earlier knowledge "
            f"{aligned.before[name]:.3f}, after the rotation {cosine:.3f}"
        )
    return aligned.knowledge


def _on_host(knowledge: Knowledge) -> Knowledge:
    tables = {
        name: CodedRows(to_host(rows.values), None if rows.scale is None else to_host(rows.scale))
        for name, rows in knowledge.tables.items()
    }
    pair = {name: to_host(value) for name, value in knowledge.pair.items()}
    return dataclasses.replace(knowledge, tables=tables, pair=pair)
