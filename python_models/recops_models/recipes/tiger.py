"""Recipe of ``tiger``: semantic IDs, their trie, and an encoder–decoder of their tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from recops_models.generative.tiger import TIGER, TIGERConfig
from recops_models.recipes.parts import PartSettings, part
from recops_models.recipes.recipe import Recipe

if TYPE_CHECKING:
    from recops_models.examples.features import FittedSchema
    from recops_models.recipes.ranking import AnyNextItemTask
    from recops_models.recipes.stage import AnyStage, StageContext


class TIGERRecipe(Recipe):
    """Recipe of TIGER: semantic IDs, then one training on next items.

    It also writes ``item_vectors.safetensors``, ``tokenizer.safetensors``, ``sids.parquet`` and
    ``trie.safetensors``.
    """

    name = "tiger"
    sizes = TIGERConfig()

    def defaults(self) -> dict[str, PartSettings]:
        """See :meth:`Recipe.defaults`: sizes, training and semantic IDs."""
        from recops_models.recipes.sid_config import SidConfig
        from recops_models.training.config import ChoiceConfig, TrainingConfig

        return {
            "sizes": self.sizes,
            "training": TrainingConfig(),
            "choice": ChoiceConfig(),
            "sids": SidConfig(),
        }

    def nets(self, chosen: Mapping[str, object]) -> dict[str, PartSettings]:
        """See :meth:`Recipe.nets`: the SASRec of collaborative semantic IDs."""
        from recops_models.recipes.collaborative import collaborative_nets

        return collaborative_nets()

    def stages(self) -> Sequence[AnyStage]:
        """See :meth:`Recipe.stages`: a SASRec with ``collaborative=true``, and one training."""
        from recops_models.recipes.collaborative import CollaborativeStage
        from recops_models.recipes.ranking import NextItemStage
        from recops_models.recipes.semantic_ids import SID_FILES

        last = NextItemStage(self.name, _make, files=SID_FILES, streams=True)
        return (CollaborativeStage(), last)

    def restore(
        self, weights: Mapping[str, Tensor], sizes: PartSettings | None, schema: FittedSchema | None
    ) -> TIGER:
        """See :meth:`Recipe.restore`."""
        assert isinstance(sizes, TIGERConfig)
        paths = weights["paths"][1:] - 1  # The model counts tokens from 1, below a padding row.
        vocab_sizes = [len(weights[f"token.{i}.weight"]) - 1 for i in range(paths.shape[1])]
        return TIGER(paths, vocab_sizes, weights["prior"], sizes)


def _make(task: AnyNextItemTask, context: StageContext) -> TIGER:
    import torch

    from recops_models import workers
    from recops_models.recipes.continued_ranker import continued_path_ranker
    from recops_models.recipes.ranking import training_counts
    from recops_models.recipes.semantic_ids import TRIE, make_semantic_ids
    from recops_models.recipes.sid_config import SidConfig
    from recops_models.tokenizers.collisions import resolve_collisions

    if context.start is not None:
        return continued_path_ranker(TIGER, context, task.dataset, training_counts(task))
    sids = make_semantic_ids(task, part(context.settings, "sids", SidConfig), context)
    sizes = part(context.settings, "sizes", TIGERConfig)
    paths, vocab_sizes = sids.codes, list(sids.tokenizer.vocab_sizes)
    if sizes.collision_token:
        paths = torch.from_numpy(resolve_collisions(paths.numpy())[0])
        vocab_sizes.append(int(paths[:, -1].max()) + 1)
    model = TIGER(paths, vocab_sizes, training_counts(task), sizes)
    if workers.is_first():
        model.trie.save(context.folder / TRIE)
    return model


recipe = TIGERRecipe()
