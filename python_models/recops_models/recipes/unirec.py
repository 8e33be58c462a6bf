"""Recipe of ``unirec``: semantic IDs, their trie, and a decoder of their tokens."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

from torch import Tensor

from recops_models.generative.unirec import UniRec, UniRecConfig
from recops_models.generative.unirec.config import WITH_ITEM_KNN
from recops_models.recipes.parts import PartSettings, part
from recops_models.recipes.recipe import Recipe

if TYPE_CHECKING:
    from recops_models.examples.features import FittedSchema
    from recops_models.generative.item_knn import ItemKNN
    from recops_models.recipes.path_stages import AnyPathTask
    from recops_models.recipes.stage import AnyStage, StageContext

# Settings with which arXiv 2604.12234 differs from the defaults; sizes are left out.
_PAPER = {
    "events": "concat",
    "history_layers": 0,
    "item_scores": 0,
    "attributes": ("auto:2",),
    "method": "balanced-rq",
    "align": "both",
}


class UniRecRecipe(Recipe):
    """Recipe of UniRec: next-token training on semantic IDs, optionally followed by alignment.

    The first stage also writes ``item_vectors.safetensors``, ``tokenizer.safetensors``,
    ``sids.parquet`` and ``trie.safetensors``. With an alignment, its files are in the folder
    ``unirec``. With ``collaborative=true`` a SASRec is trained first; see
    :mod:`~recops_models.recipes.collaborative`.
    """

    name = "unirec"
    sizes = UniRecConfig()
    derived = frozenset({"num_attributes", "objectives", "scenes", "knn_decay"})
    presets = MappingProxyType({"paper": _PAPER})

    def defaults(self) -> dict[str, PartSettings]:
        """See :meth:`Recipe.defaults`: sizes, semantic IDs, inputs and settings of both stages."""
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
        """See :meth:`Recipe.nets`: the SASRec of semantic IDs, and the item-kNN of candidates."""
        from recops_models.recipes.collaborative import collaborative_nets

        nets = collaborative_nets()
        if chosen.get("candidates") in WITH_ITEM_KNN:
            from recops_models.generative.item_knn import ItemKNNConfig

            nets["knn"] = ItemKNNConfig()
        return nets

    def stages(self) -> Sequence[AnyStage]:
        """See :meth:`Recipe.stages`.

        A SASRec with ``collaborative=true``; next tokens; alignment unless ``align=none``.
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
        paths = weights["paths"][1:] - 1  # The model counts tokens from 1, below a padding row.
        vocab_sizes = [len(weights[f"prefix.token.{i}.weight"]) - 1 for i in range(paths.shape[1])]
        users = weights.get("user.values")
        fields = 0 if users is None else users.shape[1]
        field_sizes = [len(weights[f"user.tables.{i}.weight"]) - 1 for i in range(fields)]
        item_knn = _restored_item_knn(weights, sizes) if sizes.reads_item_knn else None
        content = weights["item.content"][1:] if sizes.item_content else None
        return UniRec(
            paths, vocab_sizes, weights["prior"], sizes, users, field_sizes, item_knn, content
        )


def _make(task: AnyPathTask, context: StageContext) -> UniRec:
    from recops_models import workers
    from recops_models.data.attributes import user_fields
    from recops_models.recipes.continued_ranker import continued_path_ranker
    from recops_models.recipes.input_config import InputConfig
    from recops_models.recipes.ranking import training_counts
    from recops_models.recipes.semantic_ids import TRIE, make_paths

    counts = training_counts(task)
    if context.start is not None:
        model = continued_path_ranker(UniRec, context, task.dataset, counts)
        model.item_knn = _item_knn(model.config, task, context)
        return model
    inputs = part(context.settings, "inputs", InputConfig)
    users = user_fields(task.dataset, inputs.user_fields)
    paths, vectors = make_paths(task, context)
    sizes = dataclasses.replace(
        part(context.settings, "sizes", UniRecConfig),
        num_attributes=len(paths.attributes),
        objectives=task.scenes.num_objectives,
        scenes=task.scenes.num_scenes,
    )
    item_knn = _item_knn(sizes, task, context)
    if item_knn is not None:
        sizes = dataclasses.replace(sizes, knn_decay=item_knn.config.decay)
    model = UniRec(
        paths.tokens,
        paths.vocab_sizes,
        counts,
        sizes,
        users,
        item_knn=item_knn,
        content=vectors,
    )
    if workers.is_first():
        model.trie.save(context.folder / TRIE)
    return model


def _item_knn(sizes: UniRecConfig, task: AnyPathTask, context: StageContext) -> ItemKNN | None:
    """Return the item-kNN of the training part, if it is a source of candidates."""
    if not sizes.reads_item_knn:
        return None
    from recops_models.generative.item_knn import ItemKNN, ItemKNNConfig

    config = part(context.settings, "knn", ItemKNNConfig)
    return ItemKNN.fit(task.histories(), task.num_items, config, seed=context.seed)


def _restored_item_knn(weights: Mapping[str, Tensor], sizes: UniRecConfig) -> ItemKNN:
    from recops_models.generative.item_knn import ItemKNN, ItemKNNConfig

    neighbours, similarities, ties = (
        weights[f"item_knn.{name}"] for name in ("neighbours", "similarities", "ties")
    )
    return ItemKNN(neighbours, similarities, ties, ItemKNNConfig(decay=sizes.knn_decay))


recipe = UniRecRecipe()
