"""The recipe of ``unirec``: semantic IDs, their trie, and the decoder upon them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from torch import Tensor

from recops_models.generative.unirec import UniRec, UniRecConfig
from recops_models.recipes.parts import PartSettings, part
from recops_models.recipes.recipe import Recipe

if TYPE_CHECKING:
    from recops_models.examples.features import FittedSchema
    from recops_models.recipes.stage import AnyStage, StageContext
    from recops_models.training.path_task import PathTask

# What arXiv 2604.12234 does differently from the defaults, where a setting has it; sizes stay.
_PAPER = {
    "events": "concat",
    "history_layers": 0,
    "item_scores": 0,
    "attributes": ("auto:2",),
    "method": "balanced-rq",
    "align": "both",
}


class UniRecRecipe(Recipe):
    """A training on next items, upon semantic IDs that are made before it, and another upon that.

    The first leaves ``item_vectors.safetensors``, ``tokenizer.safetensors``, ``sids.parquet`` and
    ``trie.safetensors`` as well; where a second one follows, all this is in a folder of its own,
    ``unirec``. With ``collaborative=true`` a SASRec is trained before, see
    :mod:`~recops_models.recipes.collaborative`.
    """

    name = "unirec"
    sizes = UniRecConfig()
    derived = frozenset({"num_attributes", "objectives", "scenes"})
    presets = MappingProxyType({"paper": _PAPER})

    def defaults(self) -> dict[str, PartSettings]:
        """Sizes, semantic IDs, inputs, and what both trainings read."""
        from recops_models.recipes.input_config import InputConfig
        from recops_models.recipes.path_stages import path_parts
        from recops_models.recipes.sid_config import SidConfig

        return {
            "sizes": self.sizes,
            "sids": SidConfig(),
            "inputs": InputConfig(),
            **path_parts(),
        }

    def nets(self, chosen: Mapping[str, object]) -> dict[str, PartSettings]:
        """The SASRec that collaborative semantic IDs are made of."""
        from recops_models.recipes.collaborative import collaborative_nets

        return collaborative_nets()

    def stages(self) -> Sequence[AnyStage]:
        """Item vectors, with ``collaborative=true``; next tokens; then, unless ``align=none``,
        rewards and preferences.
        """
        from recops_models.recipes.collaborative import CollaborativeStage
        from recops_models.recipes.path_stages import AlignmentStage, NextTokenStage
        from recops_models.recipes.semantic_ids import SID_FILES

        tokens = NextTokenStage(self.name, _make, files=SID_FILES)
        return (CollaborativeStage(), tokens, AlignmentStage(self.name))

    def restore(
        self, weights: Mapping[str, Tensor], sizes: PartSettings | None, schema: FittedSchema | None
    ) -> UniRec:
        """See :meth:`Recipe.restore`."""
        assert isinstance(sizes, UniRecConfig)
        paths = weights["paths"][1:] - 1  # Inside, tokens count from 1 below a row of padding.
        vocab_sizes = [len(weights[f"prefix.token.{i}.weight"]) - 1 for i in range(paths.shape[1])]
        users = weights.get("user.values")
        return UniRec(paths, vocab_sizes, weights["prior"], sizes, users)


def _make(task: PathTask, context: StageContext) -> UniRec:
    from recops_models.data.attributes import user_fields
    from recops_models.recipes.input_config import InputConfig
    from recops_models.recipes.ranking import training_counts
    from recops_models.recipes.semantic_ids import TRIE, make_paths

    inputs = part(context.settings, "inputs", InputConfig)
    users = user_fields(task.dataset, inputs.user_fields)
    paths = make_paths(task.dataset, task.parts.train, context)
    sizes = dataclasses.replace(
        part(context.settings, "sizes", UniRecConfig),
        num_attributes=len(paths.attributes),
        objectives=task.scenes.num_objectives,
        scenes=task.scenes.num_scenes,
    )
    model = UniRec(paths.tokens, paths.vocab_sizes, training_counts(task), sizes, users)
    model.trie.save(context.folder / TRIE)
    return model


recipe = UniRecRecipe()
