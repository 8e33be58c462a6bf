"""Item vectors for semantic IDs from the item table of a SASRec, trained before."""

from __future__ import annotations

from recops_models.data.dataset import Dataset
from recops_models.generative.sasrec import SASRec, SASRecConfig
from recops_models.item_vectors import ItemVectors
from recops_models.recipes.parts import Parts, PartSettings, part
from recops_models.recipes.ranking import AnyNextItemTask, NextItemStage
from recops_models.recipes.sid_config import SidConfig
from recops_models.recipes.stage import StageContext
from recops_models.training.config import TrainingConfig
from recops_models.training.device import array

_NAME = "collaborative"


class CollaborativeStage(NextItemStage):
    """Training of the SASRec, in the folder ``collaborative``.

    Its settings are dotted: ``sasrec.dropout``, ``collaborating.epochs``.
    """

    part = "collaborating"
    continues = False  # The codes are frozen then.

    def __init__(self) -> None:
        super().__init__(_NAME, _make, streams=True)

    def is_enabled(self, parts: Parts) -> bool:
        """See :meth:`Stage.is_enabled`: with ``collaborative=true``."""
        return part(parts, "sids", SidConfig).collaborative


def collaborative_nets() -> dict[str, PartSettings]:
    """Return the default settings of the stage."""
    return {"sasrec": SASRecConfig(), "collaborating": TrainingConfig()}


def collaborative_vectors(context: StageContext, dataset: Dataset) -> ItemVectors:
    """Return the item table of the stage's model, ``[N, d]``, by ascending item id."""
    model = context.earlier[_NAME]
    assert isinstance(model, SASRec)
    rows = array(model.item.weight[1:]).copy()
    return ItemVectors(dataset.item_vocabulary.ids, rows)


def _make(task: AnyNextItemTask, context: StageContext) -> SASRec:
    return SASRec(task.num_items, part(context.settings, "sasrec", SASRecConfig))
