"""What a run is asked to do; its results depend on nothing else."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any

from recops_models.generative.sasrec import SASRecConfig
from recops_models.generative.unirec import UniRecConfig
from recops_models.item_vectors import TextEncoder
from recops_models.recipes.input_config import InputConfig
from recops_models.recipes.job import Job
from recops_models.recipes.parts import Parts
from recops_models.recipes.registry import recipe_of
from recops_models.recipes.sid_config import SidConfig
from recops_models.training.config import TrainingConfig

# Sized so that the whole run takes minutes on two cores. Rates and dropout are those of the best
# trials by validation, equally many of each model (`recops reproduce unirec`).
_UNIREC = UniRecConfig(heads=2, head_hidden=128, dropout=0.1, negatives=1600, item_loss=4.0)
_UNIREC_TRAINING = TrainingConfig(epochs=15, learning_rate=4e-3)
_INPUTS = InputConfig()
_SASREC, _SASREC_TRAINING = SASRecConfig(dropout=0.2), TrainingConfig(learning_rate=8e-3)


@dataclass(frozen=True)
class Settings:
    """The configuration of one run.

    Attributes:
        data: a named data set, or a folder.
        seed: of every random draw.
        text_encoder: how item text becomes numbers.
        vectors: a file of item vectors to use instead of made ones.
        order: the item of each row of ``vectors``; see
            :func:`~recops_models.item_vectors.row_order.check_order`.
        levels: codes of a semantic ID.
        codes: codewords per level; fewer where there are fewer items.
        inputs: which columns the generative model reads beside the events.
        unirec: sizes of the generative model.
        unirec_training: how it is trained.
        sasrec: sizes of the baseline.
        sasrec_training: how it is trained.
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

    def quick(self) -> Settings:
        """Two epochs of each model: a look at the pipeline rather than at figures."""
        return dataclasses.replace(
            self,
            unirec_training=dataclasses.replace(self.unirec_training, epochs=2),
            sasrec_training=dataclasses.replace(self.sasrec_training, epochs=2),
        )

    def job(self, model: str) -> Job:
        """The training of one of the run's models: unirec, sasrec or popularity."""
        own: Parts = {}
        if model == "sasrec":
            own = {"sizes": self.sasrec, "training": self.sasrec_training}
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
        """As JSON brings it back, nested as the attributes are."""
        content = {"command": "quickstart", **dataclasses.asdict(self)}
        config: dict[str, Any] = json.loads(json.dumps(content))
        return config
