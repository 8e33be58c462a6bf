"""Trainings of UniRec without some items, measured on those items only."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from recops_evidence.experiments.new_items import HeldOutItems
from recops_evidence.experiments.ranking_runs import RankingRuns
from recops_evidence.experiments.training import finite_floors, job_of, some_users, train
from recops_evidence.harness.experiment import Metrics, Run
from recops_models.callbacks import Callbacks
from recops_models.data import Dataset
from recops_models.data.histories import Histories
from recops_models.data.storage import write_table
from recops_models.evaluation.metrics import evaluate, hits, ranking_metrics, target_ranks
from recops_models.generative.ranker import Ranking, Recommender
from recops_models.generative.unirec import UniRec
from recops_models.item_vectors.content import ContentEncoder
from recops_models.item_vectors.svd import Float32Array
from recops_models.recipes.files import MODEL, load_model
from recops_models.recipes.new_items import insert_new_items
from recops_models.recipes.predictions import PREDICTIONS

CODES = ("content", "chance")
"""Values of an arm's setting ``codes_of``.

With "content", codes come from content only. With "chance", the codes of new items are permuted in
addition. Without the setting, codes come from content and co-occurrence, which new items lack.
"""

_SETTING = "codes_of"
_WIDTH = 64
_LAST = 10
_CUTOFFS = (10, 50)
_OLD, _NEW = "old_vectors.parquet", "new_items.parquet"


@dataclass(frozen=True)
class NewItemRuns(RankingRuns):
    """Trainings on a data set without a share of its items, drawn per seed.

    Test ranks only the *new* items. ``hr@10_beside_old`` and ``hr@50_beside_old`` rank all items.
    Validation is that of the training.

    Attributes:
        held_out: share of held-out items.
    """

    held_out: float = 0.2

    @property
    def label(self) -> str:
        """See :attr:`Experiment.label`."""
        return f"{self.held_out:.0%} of items held out"

    def config(self, run: Run) -> dict[str, object]:
        """Return the job, the source of codes and the share of held-out items."""
        config = super().config(run.without(_SETTING))
        return {
            **config,
            _SETTING: run.choice(_SETTING, CODES, model="unirec"),
            "held_out": self.held_out,
        }

    def measure(
        self, run: Run, data: Dataset, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Metrics]:
        """See :meth:`Training.measure`."""
        items = self._held_out(run, some_users(self._dataset(run, data), run.share))
        plain_run, codes = run.without(_SETTING), run.choice(_SETTING, CODES, model="unirec")
        if codes is None:
            write_table(folder / _NEW, items.new)
        else:
            plain_run = plain_run.having("vectors", str(folder / _OLD))
            _write_content(items, run.seed, folder, shuffled=codes == "chance")
        job = job_of(plain_run)
        validation, _ = train(job, items.old, folder, test=False, callbacks=callbacks)
        if not run.test:
            return validation, {}
        model = load_model(folder / MODEL)
        assert isinstance(model, UniRec)
        live = insert_new_items(job, items.old, model, folder, folder / _NEW).live
        targets = model.num_items + torch.from_numpy(items.questions.targets.items)
        among_all = target_ranks(_lists(live.model, items), targets)
        live.remove(torch.arange(model.num_items))
        lists = _lists(live.model, items)
        ranks = target_ranks(lists, targets)
        users = items.old.user_vocabulary.ids[items.questions.users]
        write_table(folder / PREDICTIONS, pa.table({"user": users, "rank": ranks.numpy()}))
        in_all = {f"hr@{k}_beside_old": hits(among_all, k).mean().item() for k in _CUTOFFS}
        return validation, {**ranking_metrics(lists, ranks, items.new.num_rows), **in_all}

    def floors_config(self, run: Run) -> object | None:
        """Return the data, its size and the held-out items."""
        shared = super().floors_config(run.without(_SETTING))
        return {"floors": shared, "held_out": self.held_out, "seed": run.seed}

    def floors(self, run: Run, data: Dataset) -> dict[str, Metrics]:
        """Return the floors: similarity to the user's last ten events, and chance."""
        items = self._held_out(run, self._dataset(run, data))
        neighbours = evaluate(
            ContentNeighbours(items, run.seed), items.questions, items.new.num_rows
        )
        chance = {f"hr@{k}": min(1.0, k / items.new.num_rows) for k in _CUTOFFS}
        return finite_floors({"neighbours by content": neighbours.metrics, "chance": chance})

    def _held_out(self, run: Run, data: Dataset) -> HeldOutItems:
        return HeldOutItems.draw(data, self.held_out, run.seed)


class ContentNeighbours(Recommender):
    """Ranker of new items by content cosine with the mean of a user's last ten old items.

    Args:
        items: old and new items.
        seed: seed of the SVD of the vectors.
    """

    def __init__(self, items: HeldOutItems, seed: int) -> None:
        super().__init__()
        old, new = _content(items, seed)
        self._old, self._new = torch.from_numpy(old), torch.from_numpy(new)

    def recommend(self, histories: Histories, k: int, *, exclude_seen: bool = True) -> Ranking:
        """See :class:`~recops_models.generative.ranker.Recommender`; items are new ones."""
        last, lengths = histories.last(_LAST, padding=0)
        mask = torch.arange(_LAST) < torch.from_numpy(lengths)[:, None]
        profile = (self._old[torch.from_numpy(last)] * mask[..., None]).sum(1)
        best = (profile @ self._new.T).topk(min(k, len(self._new)))
        return Ranking(best.indices, best.values)


def _lists(model: UniRec, items: HeldOutItems) -> Tensor:
    return model.recommend(items.questions.histories, max(_CUTOFFS)).items


def _content(items: HeldOutItems, seed: int) -> tuple[Float32Array, Float32Array]:
    """Return content vectors of old and of new items, in the space fitted on old items."""
    encoder = ContentEncoder(items.old, dim=_WIDTH, seed=seed)
    return encoder.vectors, encoder.encode(items.new)


def _write_content(items: HeldOutItems, seed: int, folder: Path, *, shuffled: bool) -> None:
    """Write the vectors of old and new items for ``vectors=FILE`` and :func:`insert_new_items`."""
    old, new = _content(items, seed)
    if shuffled:
        new = new[np.random.default_rng(seed).permutation(len(new))]
    for path, table, vectors in ((_OLD, items.old.items, old), (_NEW, items.new, new)):
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        write_table(folder / path, pa.table({"item_id": table["item_id"], "vector": column}))
