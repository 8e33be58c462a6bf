"""A trained model on a current data set: items and users are matched by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from recops_models.data.dataset import Dataset
from recops_models.data.histories import Int64Array
from recops_models.generative.ranker import Recommender
from recops_models.recipes.earlier import EarlierTraining
from recops_models.recipes.input_config import InputConfig
from recops_models.recipes.job import Job
from recops_models.recipes.known_ids import KnownIds
from recops_models.training.device import to_host

if TYPE_CHECKING:
    from recops_models.recipes.stage import Data


@dataclass(frozen=True, eq=False)
class MatchedModel:
    """Trained model whose items are those of a data set.

    Attributes:
        module: the model.
        notes: what the data set has that training did not, and how it is served.
    """

    module: nn.Module
    notes: tuple[str, ...] = ()


def match_model(folder: Path, job: Job, module: nn.Module, data: Data) -> MatchedModel:
    """Return a trained model for the items and users of ``data``.

    A ranker has a row per item: rows move to the data set's order, items that the data set lacks
    are left out, and new items get the row of an unknown item, or codes from their content. A click
    model looks ids up and reads the trained row of unknown ids.

    Args:
        folder: folder of the training.
        job: the job that was trained.
        module: the trained model.
        data: the result of :func:`~recops_models.recipes.trained.open_data`.

    Raises:
        CorruptFileError: a file in ``folder`` is damaged.
    """
    known = KnownIds.load(folder)
    if known is None or not isinstance(data, Dataset):
        return MatchedModel(module)
    items, users = known.rows(data, "item"), known.rows(data, "user")
    new_items, new_users = int((items < 0).sum()), int((users < 0).sum())
    notes = []
    if job.data_kind == "click":
        how = "the model reads its row of unknown items, and their other features"
    elif isinstance(module, Recommender):
        module, how = _ranker_on(folder, job, module, data, known)
    else:
        how = "the model ignores them"
    if new_items:
        notes.append(f"new items since training: {new_items:,} of {len(items):,}; {how}")
    if new_users and known.users is not None:
        by = "its row of unknown users and" if job.data_kind == "click" else "only"
        notes.append(
            f"new users since training: {new_users:,} of {len(users):,}; the model reads {by} "
            "their events"
        )
    absent = len(known.items) - (len(items) - new_items)
    if absent:
        notes.append(f"the data lacks {absent:,} items of training, which are not recommended")
    return MatchedModel(module, tuple(notes))


def _ranker_on(
    folder: Path,
    job: Job,
    module: Recommender,
    data: Dataset,
    known: KnownIds,
) -> tuple[Recommender, str]:
    """Return a ranker on the items of ``data``, and how it serves new ones."""
    items, users = known.rows(data, "item"), known.rows(data, "user")
    is_same = np.array_equal(items, np.arange(module.num_items))
    inputs = job.parts.get("inputs")
    fields = inputs.user_fields if isinstance(inputs, InputConfig) else ()
    if is_same and not (fields and not np.array_equal(users, np.arange(len(users)))):
        return module, ""
    from recops_models.generative.path_ranker import PathRanker
    from recops_models.generative.unirec import UniRec

    rows = torch.from_numpy(items)
    if not isinstance(module, PathRanker):
        return module.with_items(rows).eval(), "they have the row of an unknown item"
    from recops_models.recipes.new_paths import item_codes

    training = EarlierTraining(folder, job.model, job.parts, job.seed, module, known)
    codes = item_codes(training, data, items)
    how = "they have codes by their content"
    if codes.without_content:
        how += f", {codes.without_content:,} without content the code of an empty vector"
    if isinstance(module, UniRec):
        values = None
        if module.user is not None:
            values = user_field_values(to_host(module.user.values), data, fields, users)
        model = module.with_paths(rows, codes.paths, users=values, content=codes.content)
        return model.eval(), how
    return module.with_paths(rows, codes.paths).eval(), how


def user_field_values(
    old: Tensor, data: Dataset, fields: tuple[str, ...], users: Int64Array
) -> Tensor:
    """Return the fields ``[1 + U', F]`` of a data set's users, as a trained model numbers values.

    Known users keep their values. The value of a new user has the token that known users with the
    same value have; 0, unknown, if there are none.

    Args:
        old: ``[1 + U, F]``, the fields of the model's users.
        data: the data set.
        fields: names of the fields.
        users: ``[U']`` i64, the model's index of each user; −1: a new user.
    """
    values = torch.zeros(1 + len(users), old.shape[1], dtype=old.dtype)
    is_known = users >= 0
    values[1:][is_known] = old[1:][users[is_known]]
    for column, name in enumerate(fields):
        texts = [str(value) for value in data.users[name].to_pylist()]
        pairs = zip(texts, values[1:, column].tolist(), is_known, strict=True)
        token_of = {text: token for text, token, known in pairs if known}
        for row in np.flatnonzero(~is_known):
            values[1 + row, column] = token_of.get(texts[row], 0)
    return values
