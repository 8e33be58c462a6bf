"""Task of KEEP's extractor, and the extraction of its knowledge."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from recops_models import workers
from recops_models.click.extractor import Extractor
from recops_models.click.loss import click_loss
from recops_models.data.dataset import Dataset, entity_keys
from recops_models.data.histories import Int64Array
from recops_models.data.vocabulary import Vocabulary, distinct
from recops_models.evaluation.click_metrics import CLICK_METRICS
from recops_models.evaluation.grouped_auc import auc
from recops_models.evaluation.over_workers import auc_over_workers
from recops_models.examples.batch import CLICK, Batch, task_feature
from recops_models.examples.block import Block
from recops_models.examples.click_sources import click_examples
from recops_models.examples.domains import DOMAIN_ID, DomainConfig, Domains
from recops_models.examples.events import Events
from recops_models.examples.features import FittedSchema
from recops_models.examples.feedback import feedback_of
from recops_models.examples.fit_click import fit_click_schema
from recops_models.examples.lookup import UNKNOWN, Lookup, as_keys
from recops_models.examples.task_maker import TaskMaker
from recops_models.examples.tasks import event_column, further_labels
from recops_models.graphs.coded_rows import CodedRows
from recops_models.graphs.knowledge import Knowledge, Window, version_of
from recops_models.training.click_task import ExampleTask
from recops_models.training.device import array, device_of, to_device, to_host
from recops_models.training.example_config import ExampleConfig

_BATCH = 1024


class KnowledgeTask(ExampleTask[Extractor]):
    """Prediction of the labels of all tasks on impressions of the super-domain.

    The loss is ``Σ_t λ_t CE_t``; with ``loss=ips``, each example has its weight in all of them.
    Validation reports the click metrics and the AUC of every further task.

    Neither running rates nor event columns are features of requests here: stored knowledge must not
    depend on a moment.

    Args:
        dataset: the events of all domains.
        domains: the super-domain, the small domain and the time between them.
        examples: how examples are made of events.
        fitted: the schema of a trained extractor; None: it is fitted on the training part.

    Attributes:
        cut: the data set, cut into domains.
        source: the split of the super-domain.
        tasks: the names of all tasks; the first is clicks.
        domains: the names of all domains.

    Raises:
        DataError: the data set has no super-domain of these settings, or lacks a task's column.
    """

    def __init__(
        self,
        dataset: Dataset,
        domains: DomainConfig,
        examples: ExampleConfig,
        fitted: FittedSchema | None = None,
    ) -> None:
        self.cut = Domains.of(dataset, domains)
        self.source = split = self.cut.super_domain()
        feedback = examples.feedback or feedback_of(split.dataset)
        events = Events.of(split, feedback, examples.positive)
        if fitted is None:
            fitted = fit_click_schema(
                events,
                feedback,
                max_len=examples.max_len,
                rare_count=examples.rare_count,
                rare_share=examples.rare_share,
                signed=examples.signed,
                running_rates=False,
                event_requests=False,
            )
        self._maker = TaskMaker(
            events,
            fitted,
            further_labels(split, events, domains.task_labels, domains.task_value),
            event_column(split, DOMAIN_ID),
            examples.targets_per_history,
            item_domains=self.cut.item_domains,
        )
        data = click_examples(
            self._maker,
            feedback,
            positive=examples.positive,
            negatives=examples.negatives,
            negatives_law=examples.negatives_law,
            max_weight=examples.max_weight if examples.loss == "ips" else None,
            split_name="super-domain",
        )
        super().__init__(data, examples)
        self.tasks = (CLICK, *self._maker.tasks)
        self.domains = self.cut.names

    @property
    def metrics(self) -> tuple[str, ...]:
        return (*CLICK_METRICS, *(f"auc_{task}" for task in self.tasks[1:]))

    def loss(self, model: Extractor, batch: Batch) -> tuple[Tensor, int]:
        click, *others = model.task_logits(batch).unbind(-1)
        total = click_loss(click, batch.label, batch.weight)
        for task, logits in zip(self.tasks[1:], others, strict=True):
            label = batch.features[task_feature(task)]
            total = total + model.config.task_weight * click_loss(logits, label, batch.weight)
        return total, len(batch.label)

    @torch.no_grad()
    def evaluate(self, model: Extractor) -> dict[str, float]:
        metrics, device = self.validated(model), device_of(model)
        for index, task in enumerate(self.tasks[1:], 1):
            logits, labels = [], []
            for batch in self.data.validation.batches(_BATCH, seed=None, share=workers.share()):
                logits.append(to_host(model.task_logits(to_device(batch, device))[:, index]))
                labels.append(batch.features[task_feature(task)] > 0)
            compute = auc_over_workers if workers.several() else auc
            metrics[f"auc_{task}"] = compute(array(torch.cat(logits)), array(torch.cat(labels)))
        return metrics

    @property
    def window(self) -> Window:
        """The period of the super-domain's events."""
        times = self.source.dataset.interactions["timestamp"].to_numpy()
        return Window(int(times[0]), int(times[-1]), self.cut.config.cut == "clock")

    @torch.no_grad()
    def extract(self, model: Extractor) -> Knowledge:
        """Return the knowledge of all users and items with events, as of the last event."""
        model.eval()
        events = self._maker.events
        user, item = (distinct(each.astype(np.int64)) for each in (events.user, events.item))
        users = self._maker.after_all_events(user, np.zeros_like(user))
        items = self._maker.after_all_events(np.zeros_like(item), item)
        return Knowledge(
            {
                "user": _lookup(self.source.dataset, "user", user),
                "item": _lookup(self.source.dataset, "item", item),
            },
            {
                "user": _table(model.of_users, users, device_of(model)),
                "item": _table(model.of_items, items, device_of(model)),
            },
            {name: to_host(value.clone()) for name, value in model.pair.state_dict().items()},
            version_of(model.state_dict(), model.tasks, dataclasses.asdict(model.config)),
            self.name,
            model.tasks,
            self.window,
        )


def _lookup(dataset: Dataset, entity: str, rows: Int64Array) -> Lookup:
    """Map the source's ids of the users or items ``rows`` to rows of their knowledge table."""
    ids = as_keys(entity_keys(dataset, entity)).take(pa.array(rows))
    return Lookup(Vocabulary(ids.to_numpy()) if pa.types.is_int64(ids.type) else ids)


def _table(tower: Callable[[Batch], Tensor], block: Block, device: torch.device) -> CodedRows:
    """Return a row per example of ``block``, after zero rows for padding and for unknown ids."""
    starts = range(0, len(block), _BATCH)
    batches = (block.batch(np.arange(s, min(s + _BATCH, len(block)))) for s in starts)
    rows = torch.cat([to_host(tower(to_device(batch, device))) for batch in batches])
    return CodedRows.of(torch.cat([rows.new_zeros(UNKNOWN + 1, rows.shape[1]), rows]), "float32")
