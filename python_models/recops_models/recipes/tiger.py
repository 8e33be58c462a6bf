"""The recipe of ``tiger``: semantic IDs, their trie, and the encoder–decoder upon them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from recops_models.generative.tiger import TIGER, TIGERConfig
from recops_models.recipes.parts import PartSettings, part
from recops_models.recipes.recipe import Recipe

if TYPE_CHECKING:
    from recops_models.examples.features import FittedSchema
    from recops_models.recipes.stage import AnyStage, StageContext
    from recops_models.training.next_item_task import NextItemTask


class TIGERRecipe(Recipe):
    """One training on next items, upon semantic IDs that are made before it.

    It leaves ``item_vectors.safetensors``, ``tokenizer.safetensors``, ``sids.parquet`` and
    ``trie.safetensors`` as well.
    """

    name = "tiger"
    sizes = TIGERConfig()

    def defaults(self) -> dict[str, PartSettings]:
        """Sizes, training and semantic IDs."""
        from recops_models.recipes.sid_config import SidConfig
        from recops_models.training.config import ChoiceConfig, TrainingConfig

        return {
            "sizes": self.sizes,
            "training": TrainingConfig(),
            "choice": ChoiceConfig(),
            "sids": SidConfig(),
        }

    def nets(self, chosen: Mapping[str, object]) -> dict[str, PartSettings]:
        """The SASRec that collaborative semantic IDs are made of."""
        from recops_models.recipes.collaborative import collaborative_nets

        return collaborative_nets()

    def stages(self) -> Sequence[AnyStage]:
        """Item vectors, with ``collaborative=true``, and one training."""
        from recops_models.recipes.collaborative import CollaborativeStage
        from recops_models.recipes.ranking import NextItemStage
        from recops_models.recipes.semantic_ids import SID_FILES

        return (CollaborativeStage(), NextItemStage(self.name, _make, files=SID_FILES))

    def restore(
        self, weights: Mapping[str, Tensor], sizes: PartSettings | None, schema: FittedSchema | None
    ) -> TIGER:
        """See :meth:`Recipe.restore`."""
        assert isinstance(sizes, TIGERConfig)
        paths = weights["paths"][1:] - 1  # Inside, tokens count from 1 below a row of padding.
        vocab_sizes = [len(weights[f"token.{i}.weight"]) - 1 for i in range(paths.shape[1])]
        return TIGER(paths, vocab_sizes, weights["prior"], sizes)


def _make(task: NextItemTask, context: StageContext) -> TIGER:
    import torch

    from recops_models.recipes.ranking import training_counts
    from recops_models.recipes.semantic_ids import TRIE, make_semantic_ids
    from recops_models.recipes.sid_config import SidConfig
    from recops_models.tokenizers.collisions import resolve_collisions

    made = make_semantic_ids(
        task.dataset, task.parts.train, part(context.settings, "sids", SidConfig), context
    )
    sizes = part(context.settings, "sizes", TIGERConfig)
    paths, vocab_sizes = made.codes, list(made.tokenizer.vocab_sizes)
    if sizes.collision_token:
        paths = torch.from_numpy(resolve_collisions(paths.numpy())[0])
        vocab_sizes.append(int(paths[:, -1].max()) + 1)
    model = TIGER(paths, vocab_sizes, training_counts(task), sizes)
    model.trie.save(context.folder / TRIE)
    return model


recipe = TIGERRecipe()
