"""Start of a ranker from an earlier training, on the items of newer data."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor

from recops_models import workers
from recops_models.data.dataset import Dataset
from recops_models.generative.path_ranker import PathRanker
from recops_models.generative.sasrec import SASRec
from recops_models.generative.unirec import UniRec
from recops_models.recipes.earlier import EarlierTraining
from recops_models.recipes.input_config import InputConfig
from recops_models.recipes.matching import user_field_values
from recops_models.recipes.new_paths import item_codes
from recops_models.recipes.parts import part
from recops_models.recipes.semantic_ids import TRIE
from recops_models.recipes.stage import StageContext
from recops_models.training.device import to_host

PathRankerT = TypeVar("PathRankerT", bound=PathRanker)


def continued_sasrec(start: EarlierTraining, dataset: Dataset) -> SASRec:
    """Return the earlier SASRec over the items of ``dataset``.

    Known items keep their rows; a new item starts from the mean row.
    """
    assert isinstance(start.model, SASRec)
    return start.model.with_items(torch.from_numpy(start.stored_ids().rows(dataset, "item")))


def continued_path_ranker(
    kind: type[PathRankerT], context: StageContext, dataset: Dataset, events: Tensor
) -> PathRankerT:
    """Return the earlier path ranker over the items of ``dataset``.

    Known items keep their codes; a new item gets codes of its content by the frozen tokenizer. The
    files of the semantic IDs are written into the stage's folder.

    Args:
        kind: class of the model.
        context: of the stage, with the earlier training.
        dataset: the newer data.
        events: ``[N']``, number of training events of each item.
    """
    start = context.start
    assert start is not None
    model, known = start.model, start.stored_ids()
    assert isinstance(model, kind)
    items = known.rows(dataset, "item")
    codes = item_codes(start, dataset, items)
    context.start_output()
    if workers.is_first():
        codes.save(context.folder, dataset)
    rows, prior = torch.from_numpy(items), events.float()
    if isinstance(model, UniRec):
        users = None
        if model.user is not None:
            fields = part(start.parts, "inputs", InputConfig).user_fields
            values = to_host(model.user.values)
            users = user_field_values(values, dataset, fields, known.rows(dataset, "user"))
        continued: PathRanker = model.with_paths(
            rows, codes.paths, prior=prior, users=users, content=codes.content
        )
    else:
        continued = model.with_paths(rows, codes.paths, prior=prior)
    assert isinstance(continued, kind)
    if workers.is_first():
        continued.trie.save(context.folder / TRIE)
    return continued
