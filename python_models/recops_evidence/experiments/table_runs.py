"""Trainings of click models with metrics of the item table: gap, radius, new items."""

from __future__ import annotations

from pathlib import Path

from recops_evidence.experiments.click_runs import ClickRuns, SyntheticClicks
from recops_evidence.experiments.synthetic_delays import SyntheticDelays
from recops_evidence.experiments.table_figures import (
    categories,
    every_item,
    gap_figures,
    item_rows,
    new_figures,
    radius_ratio,
    seldom_figures,
)
from recops_evidence.experiments.training import job_of, train, trained_model
from recops_evidence.harness.experiment import Metrics, Run
from recops_models.callbacks import Callbacks
from recops_models.data import Dataset


class TableRuns(ClickRuns):
    """Runs of :class:`ClickRuns` with further test metrics.

    These are ``gap``, ``auc_gap``, ``radius_ratio`` of the items' categories, and ``auc_seldom``.
    """

    def config(self, run: Run) -> dict[str, object]:
        """Return the configuration of :class:`ClickRuns` with the further metrics."""
        return {**super().config(run), "told": "gap, radius_ratio, auc_seldom"}

    def measure(
        self, run: Run, data: Dataset, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Metrics]:
        """See :meth:`Experiment.measure`."""
        examples = self.examples(run, data)
        validation, test = train(job_of(run), examples, folder, test=run.test, callbacks=callbacks)
        if not run.test:
            return validation, test
        model, row_categories = trained_model(folder), categories(data, examples)
        radius = {"radius_ratio": radius_ratio(item_rows(model).numpy(), row_categories)}
        every = self.examples(run, data, every_item(data, examples.fitted))
        seldom = seldom_figures(folder, model, every)
        return validation, {**test, **gap_figures(model, examples, test), **radius, **seldom}


class DelayRuns(SyntheticClicks):
    """Runs on :class:`SyntheticDelays` with further test metrics.

    These are ``gap``, ``auc_gap``, ``radius_ratio`` of the domains, and ``auc_new``.
    """

    def config(self, run: Run) -> dict[str, object]:
        """Return the configuration of :class:`SyntheticClicks` with the further metrics."""
        return {**super().config(run), "told": "gap, radius_ratio, auc_new"}

    def measure(
        self, run: Run, data: None, folder: Path, callbacks: Callbacks
    ) -> tuple[Metrics, Metrics]:
        """See :meth:`Experiment.measure`."""
        validation, test = super().measure(run, data, folder, callbacks)
        law = self.law(run)
        if not run.test or not isinstance(law, SyntheticDelays):
            return validation, test
        model = trained_model(folder)
        radius = {"radius_ratio": radius_ratio(item_rows(model).numpy()[2:], law.domain())}
        gap = gap_figures(model, law.draw(run.seed), test)
        return validation, {
            **test,
            **gap,
            **radius,
            **new_figures(folder, model, law.draw_new(run.seed)),
        }
