"""Runs that train UniRec without some items, and ask for those items alone."""

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
from recops_models.recipes.files import load_model
from recops_models.recipes.new_items import insert_new_items
from recops_models.recipes.run import MODEL, PREDICTIONS

CODES = ("content", "chance")
"""An arm's setting ``codes_of``: codes are made of content alone; or so, and each new item has the
codes of another one. Without it codes are of content and company, of which new items have none."""

_SETTING = "codes_of"
_WIDTH = 64
_LAST = 10
_CUTOFFS = (10, 50)
_OLD, _NEW = "old_vectors.parquet", "new_items.parquet"


@dataclass(frozen=True)
class NewItemRuns(RankingRuns):
    """Trainings on a data set without a share of its items, drawn anew for every seed.

    What is asked of test is which *new* item a user met, and no other item competes;
    ``hr@10_beside_old`` and ``hr@50_beside_old`` are of lists in which all items do. Validation is
    that of the training.

    Attributes:
        held_out: the share of the items.
    """

    held_out: float = 0.2

    @property
    def label(self) -> str:
        """See :attr:`Experiment.label`: new items alone are asked for, and compete."""
        return f"{self.held_out:.0%} of items held out"

    def config(self, run: Run) -> dict[str, object]:
        """The job, what codes are made of, and how many items are held out."""
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
        made = self._held_out(run, some_users(self._made(run, data), run.share))
        alone, codes = run.without(_SETTING), run.choice(_SETTING, CODES, model="unirec")
        if codes is None:
            write_table(folder / _NEW, made.new)
        else:
            alone = alone.having("vectors", str(folder / _OLD))
            _write_content(made, run.seed, folder, shuffled=codes == "chance")
        job = job_of(alone)
        validation, _ = train(job, made.old, folder, test=False, callbacks=callbacks)
        if not run.test:
            return validation, {}
        model = load_model(folder / MODEL)
        assert isinstance(model, UniRec)
        live = insert_new_items(job, made.old, model, folder, folder / _NEW).live
        targets = model.num_items + torch.from_numpy(made.asked.targets.items)
        both = target_ranks(_lists(live.model, made), targets)
        live.remove(torch.arange(model.num_items))
        items = _lists(live.model, made)
        ranks = target_ranks(items, targets)
        users = made.old.user_vocabulary.ids[made.asked.users]
        write_table(folder / PREDICTIONS, pa.table({"user": users, "rank": ranks.numpy()}))
        beside = {f"hr@{k}_beside_old": hits(both, k).mean().item() for k in _CUTOFFS}
        return validation, {**ranking_metrics(items, ranks, made.new.num_rows), **beside}

    def floors_config(self, run: Run) -> object | None:
        """The data, the items held out of it, and how much of it."""
        shared = super().floors_config(run.without(_SETTING))
        return {"floors": shared, "held_out": self.held_out, "seed": run.seed}

    def floors(self, run: Run, data: Dataset) -> dict[str, Metrics]:
        """New items by how like they are to those of the user's last ten events, and by chance."""
        made = self._held_out(run, self._made(run, data))
        neighbours = evaluate(ContentNeighbours(made, run.seed), made.asked, made.new.num_rows)
        chance = {f"hr@{k}": min(1.0, k / made.new.num_rows) for k in _CUTOFFS}
        return finite_floors({"neighbours by content": neighbours.metrics, "chance": chance})

    def _held_out(self, run: Run, data: Dataset) -> HeldOutItems:
        return HeldOutItems.draw(data, self.held_out, run.seed)


class ContentNeighbours(Recommender):
    """Ranks new items by the cosine of their content with the mean of the last ten old ones'.

    Args:
        made: old items and new ones.
        seed: of the vectors' SVD.
    """

    def __init__(self, made: HeldOutItems, seed: int) -> None:
        super().__init__()
        old, new = _content(made, seed)
        self._old, self._new = torch.from_numpy(old), torch.from_numpy(new)

    def recommend(self, histories: Histories, k: int) -> Ranking:
        """See :class:`~recops_models.generative.ranker.Recommender`; items are new ones."""
        last, lengths = histories.last(_LAST, padding=0)
        there = torch.arange(_LAST) < torch.from_numpy(lengths)[:, None]
        liked = (self._old[torch.from_numpy(last)] * there[..., None]).sum(1)
        best = (liked @ self._new.T).topk(min(k, len(self._new)))
        return Ranking(best.indices, best.values)


def _lists(model: UniRec, made: HeldOutItems) -> Tensor:
    return model.recommend(made.asked.histories, max(_CUTOFFS)).items


def _content(made: HeldOutItems, seed: int) -> tuple[Float32Array, Float32Array]:
    """Vectors of old items, and of new ones in the space that the old ones span."""
    encoder = ContentEncoder(made.old, dim=_WIDTH, seed=seed)
    return encoder.vectors, encoder.encode(made.new)


def _write_content(made: HeldOutItems, seed: int, folder: Path, *, shuffled: bool) -> None:
    """Both kinds' vectors, as ``vectors=FILE`` and :func:`insert_new_items` take them."""
    old, new = _content(made, seed)
    if shuffled:
        new = new[np.random.default_rng(seed).permutation(len(new))]
    for path, items, vectors in ((_OLD, made.old.items, old), (_NEW, made.new, new)):
        column = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), vectors.shape[1])
        write_table(folder / path, pa.table({"item_id": items["item_id"], "vector": column}))
