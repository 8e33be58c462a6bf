"""Start of a ranker from an earlier training, on the items of newer data."""

from __future__ import annotations

import torch
from torch import Tensor

from recops_models.data.dataset import Dataset
from recops_models.generative.path_ranker import PathRanker
from recops_models.generative.ranker import Recommender
from recops_models.generative.unirec import UniRec
from recops_models.recipes.input_config import InputConfig
from recops_models.recipes.matching import user_field_values
from recops_models.recipes.stage import StageContext
from recops_models.training.device import to_host


def continued_ranker(context: StageContext, dataset: Dataset, events: Tensor) -> Recommender:
    """Return the earlier model over the items of ``dataset``: known items keep their rows.

    A new item starts from the mean row (SASRec), or from codes of its content by the frozen
    tokenizer. A path ranker also writes the files of its semantic IDs.

    Args:
        context: of the stage, with the earlier training.
        dataset: the newer data.
        events: ``[N']``, number of training events of each item.
    """
    start = context.start
    assert start is not None
    assert start.known is not None
    model = start.model
    assert isinstance(model, Recommender)
    items = start.known.rows(dataset, "item")
    rows = torch.from_numpy(items)
    if not isinstance(model, PathRanker):
        return model.with_items(rows)
    # Rankers without codes import no tokenizer.
    from recops_models.recipes.new_paths import item_codes
    from recops_models.recipes.semantic_ids import TRIE

    codes = item_codes(start.folder, start.job, model, dataset, items)
    context.start_output()
    codes.save(context.folder, dataset)
    prior = events.float()
    if isinstance(model, UniRec) and model.user is not None:
        inputs = start.job.parts["inputs"]
        assert isinstance(inputs, InputConfig)
        users = user_field_values(
            to_host(model.user.values),
            dataset,
            inputs.user_fields,
            start.known.rows(dataset, "user"),
        )
        continued: PathRanker = model.with_paths(rows, codes.paths, prior=prior, users=users)
    else:
        continued = model.with_paths(rows, codes.paths, prior=prior)
    continued.trie.save(context.folder / TRIE)
    return continued
