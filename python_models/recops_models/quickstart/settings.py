"""Configuration of a quickstart run."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from recops_models.generative.item_knn import ItemKNNConfig
from recops_models.generative.sasrec import SASRecConfig
from recops_models.generative.unirec import UniRecConfig
from recops_models.item_vectors import TextEncoder
from recops_models.recipes.input_config import InputConfig
from recops_models.recipes.job import Job
from recops_models.recipes.parts import Parts
from recops_models.recipes.registry import recipe_of
from recops_models.recipes.sid_config import SidConfig
from recops_models.training.config import TrainingConfig

# A run takes minutes on two cores. Sizes, losses and rates are the best ones of `recops reproduce
# league` on MovieLens 100K, where every row has the same budget of trials. UniRec ranks the items
# that its beams find, as a large catalogue needs, and is trained on the scores of all items.
_UNIREC = UniRecConfig(
    heads=2, head_hidden=128, dropout=0.2, negatives=0, item_loss=4.0, item_content=True
)
_UNIREC_TRAINING = TrainingConfig(epochs=24, batch=64, learning_rate=4e-3, weight_decay=0.1)
_INPUTS = InputConfig()
_ITEM_KNN = ItemKNNConfig(candidate_normalization=0.5, backward=0.7)
_SASREC = SASRecConfig(layers=2, dropout=0.1)
_SASREC_TRAINING = TrainingConfig(batch=64, learning_rate=8e-3, weight_decay=1.0)


@dataclass(frozen=True)
class Settings:
    """Configuration of one run; its results depend on nothing else.

    Attributes:
        data: a named data set, or a folder.
        seed: seed of every random draw.
        text_encoder: encoder of item texts.
        vectors: a file of item vectors; None: vectors are built from texts, attributes and events.
        order: the item of each row of ``vectors``; see
            :func:`~recops_models.item_vectors.row_order.check_order`.
        levels: codes per semantic ID.
        codes: codewords per level; at most the number of items.
        inputs: columns that the generative model reads in addition to the events.
        unirec: sizes of the generative model.
        unirec_training: its training.
        sasrec: sizes of the neural baseline.
        sasrec_training: its training.
        item_knn: settings of the baseline without training.
    """

    data: str = "ml-100k"
    seed: int = 0
    text_encoder: TextEncoder = "tfidf"
    vectors: str | None = None
    order: str | None = None
    levels: int = 3
    codes: int = 256
    inputs: InputConfig = _INPUTS
    unirec: UniRecConfig = _UNIREC
    unirec_training: TrainingConfig = _UNIREC_TRAINING
    sasrec: SASRecConfig = _SASREC
    sasrec_training: TrainingConfig = _SASREC_TRAINING
    item_knn: ItemKNNConfig = _ITEM_KNN

    def quick(self) -> Settings:
        """Return settings with two epochs per model, to try the pipeline."""
        return dataclasses.replace(
            self,
            unirec_training=dataclasses.replace(self.unirec_training, epochs=2),
            sasrec_training=dataclasses.replace(self.sasrec_training, epochs=2),
        )

    def job(self, model: str) -> Job:
        """Return the job of a model: unirec, sasrec, item-knn or popularity."""
        own: Parts = {}
        if model == "sasrec":
            own = {"sizes": self.sasrec, "training": self.sasrec_training}
        elif model == "item-knn":
            own = {"sizes": self.item_knn}
        elif model == "unirec":
            own = {
                "sizes": self.unirec,
                "training": self.unirec_training,
                "sids": SidConfig(
                    self.levels,
                    self.codes,
                    self.text_encoder,
                    self.vectors,
                    vectors_order=self.order,
                ),
                "inputs": self.inputs,
            }
        recipe = recipe_of(model)
        parts = {**recipe.defaults(), **recipe.nets({}), **own}
        return Job(model, self.data, self.seed, "leave-one-out", parts)

    def config(self) -> dict[str, Any]:
        """Return the content of ``config.json``, as it is after a round trip through JSON."""
        content = {"command": "quickstart", **dataclasses.asdict(self)}
        config: dict[str, Any] = json.loads(json.dumps(content))
        return config
