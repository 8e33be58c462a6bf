"""Trainings of memories, with the balance of writes over slots as a further metric."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import torch

from recops_evidence.experiments.click_runs import ClickRuns
from recops_evidence.experiments.training import job_of, train, trained_model
from recops_evidence.harness.experiment import Metrics, Run
from recops_models.callbacks import Callbacks
from recops_models.click.mimn import Mimn
from recops_models.data import Dataset
from recops_models.examples.loader import Source

_BATCH, _BATCHES = 256, 40


class MemoryRuns(ClickRuns):
    """Runs of :class:`ClickRuns`; the test metrics of a MIMN include :func:`usage_variance`."""

    def config(self, run: Run) -> dict[str, object]:
        """Return the configuration of :class:`ClickRuns` with the further metric."""
        return {**super().config(run), "told": "usage_variance"}

    def measure(
        self, run: Run, data: Dataset, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Metrics]:
        """See :meth:`Experiment.measure`."""
        examples = self.examples(run, data)
        validation, test = train(job_of(run), examples, folder, test=run.test, callbacks=callbacks)
        model = trained_model(folder)
        if not run.test or not isinstance(model, Mimn):
            return validation, test
        return validation, {**test, "usage_variance": usage_variance(model, examples.test)}


@torch.no_grad()
def usage_variance(model: Mimn, source: Source) -> float:
    """Return the mean over examples of ``Σ_i (s_i − 1/m)² / m``, s the write shares of m slots.

    The value is 0 if all slots are written equally, and (m − 1)/m² if one slot gets everything. It
    is computed on the histories of the first 10,240 examples.

    Args:
        model: a MIMN in evaluation mode.
        source: the examples.
    """
    total, count = 0.0, 0
    for batch in islice(source.batches(_BATCH, seed=None), _BATCHES):
        _, state = model.write(*model.embedding.histories(batch))
        written = state.usage.double()
        shares = written / written.sum(1, keepdim=True)
        total += float(shares.var(1, correction=0).sum())
        count += len(shares)
    return total / count
