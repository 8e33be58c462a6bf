"""The first training of ``keep``: an extractor of knowledge on the super-domain."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from recops_models.click.extractor import Extractor, ExtractorConfig
from recops_models.click.keep import KeepConfig
from recops_models.click.loss import click_loss
from recops_models.click.model import ClickModel
from recops_models.data.dataset import Dataset
from recops_models.data.histories import Int64Array
from recops_models.data.splits import Split, SplitName
from recops_models.data.vocabulary import Vocabulary, distinct
from recops_models.evaluation.click_metrics import CLICK_METRICS
from recops_models.evaluation.grouped_auc import auc
from recops_models.examples.batch import Batch
from recops_models.examples.block import Block
from recops_models.examples.click import ClickData, click_data
from recops_models.examples.click_schema import entity_keys, keys
from recops_models.examples.domains import DOMAIN_ID, DomainConfig, Domains
from recops_models.examples.events import Events
from recops_models.examples.features import FittedSchema
from recops_models.examples.loader import Source
from recops_models.examples.lookup import UNKNOWN, Lookup
from recops_models.examples.tasks import CLICK, TaskMaker, further_labels, of_events, task_feature
from recops_models.generative.ranker import Ranking
from recops_models.graphs.coded_rows import CodedRows
from recops_models.graphs.knowledge import Knowledge, Window, version_of
from recops_models.recipes.parts import Parts, part
from recops_models.recipes.stage import Data, StageContext, TrainingStage, TrainResult
from recops_models.setting_checks import check_file
from recops_models.training.click_problem import ClickProblem, ExampleConfig
from recops_models.training.click_task import ExampleTask
from recops_models.training.problem import Measured, Problem

KNOWLEDGE = "knowledge.safetensors"

_ROWS = 1024


class KnowledgeProblem(Problem[nn.Module]):
    """Examples of the super-domain with the labels of all tasks, made when first asked for.

    Args:
        dataset: all domains.
        domains: how it is cut.
        examples: how examples are made; running rates are left out, since what is stored must not
            depend on a moment.
        fitted: see :class:`~recops_models.training.click_problem.ClickProblem`.

    Raises:
        DataError: it cannot be cut so.
    """

    split = "super-domain"

    def __init__(
        self,
        dataset: Dataset,
        domains: DomainConfig,
        examples: ExampleConfig,
        fitted: FittedSchema | None = None,
    ) -> None:
        self.name, self.cut = dataset.name, Domains.of(dataset, domains)
        self._examples, self._fitted = examples, fitted

    @cached_property
    def source(self) -> Split:
        """The window's events."""
        return self.cut.super_domain()

    @property
    def data(self) -> ClickData:
        """All parts."""
        return self._made[0]

    @property
    def tasks(self) -> tuple[str, ...]:
        """What there is to be learnt."""
        return (CLICK, *self._made[1].tasks)

    def measure(self, model: nn.Module, part: str) -> Measured:
        return ClickProblem(self.data, self._examples).measure(model, part)

    def recommend(self, model: nn.Module, user: int, k: int) -> Ranking:
        return ClickProblem(self.data, self._examples).recommend(model, user, k)

    @cached_property
    def _made(self) -> tuple[ClickData, TaskMaker]:
        made: list[TaskMaker] = []

        def make(events: Events, schema: FittedSchema, targets: int) -> TaskMaker:
            domains = self.cut.config
            labels = further_labels(self.source, events, domains.task_labels, domains.task_value)
            domain = of_events(self.source, DOMAIN_ID)
            made.append(
                TaskMaker(events, schema, labels, domain, targets, of_items=self.cut.of_items)
            )
            return made[-1]

        settings = {**dataclasses.asdict(self._examples), "running_rates": False}
        data = click_data(
            self.source.dataset, self.source, **settings, fitted=self._fitted, make=make
        )
        return data, made[-1]

    @property
    def window(self) -> Window:
        """Of all events that teach."""
        times = self.source.dataset.interactions["timestamp"].to_numpy()
        return Window(int(times[0]), int(times[-1]), self.cut.config.cut == "clock")

    @torch.no_grad()
    def extract(self, model: Extractor) -> Knowledge:
        """What ``model`` knows, behind all events, of whoever is in them."""
        model.eval()
        maker, dataset = self._made[1], self.source.dataset
        events = maker.events
        met = {"user": distinct(events.user), "item": distinct(events.item)}
        users, items = (
            maker.after_all(met["user"], np.zeros_like(met["user"])),
            maker.after_all(np.zeros_like(met["item"]), met["item"]),
        )
        of_users = torch.cat([model.of_users(batch) for batch in _batches(users)])
        of_items = torch.cat([model.of_items(batch) for batch in _batches(items)])
        pair = {name: value.clone() for name, value in model.pair.state_dict().items()}
        return Knowledge(
            {name: _lookup(dataset, name, rows) for name, rows in met.items()},
            {"user": _table(of_users), "item": _table(of_items)},
            pair,
            version_of(model.state_dict(), model.tasks, dataclasses.asdict(model.config)),
            self.name,
            model.tasks,
            self.window,
        )


class ExtractorTask(ExampleTask[Extractor]):
    """``Σ_t λ_t CE_t`` over all impressions; validation by clicks, and by each task's AUC."""

    def __init__(self, train: Source, validation: Source, batch: int, tasks: Sequence[str]) -> None:
        super().__init__(train, validation, batch)
        self._more = tuple(tasks[1:])

    @property
    def metrics(self) -> tuple[str, ...]:
        return (*CLICK_METRICS, *(f"auc_{task}" for task in self._more))

    def loss(self, model: Extractor, batch: Batch) -> tuple[Tensor, int]:
        click, *others = model.task_logits(batch).unbind(-1)
        total = click_loss(click, batch.label)
        for task, logits in zip(self._more, others, strict=True):
            label = batch.features[task_feature(task)]
            total = total + model.config.task_weight * click_loss(logits, label)
        return total, len(batch.label)

    @torch.no_grad()
    def evaluate(self, model: Extractor) -> dict[str, float]:
        metrics = self.validated(model)
        for place, task in enumerate(self._more, 1):
            logits, labels = [], []
            for batch in self.validation.batches(_ROWS, seed=None):
                logits.append(model.task_logits(batch)[:, place])
                labels.append(batch.features[task_feature(task)] > 0)
            metrics[f"auc_{task}"] = auc(torch.cat(logits).numpy(), torch.cat(labels).numpy())
        return metrics


class Extracted(nn.Module):
    """What the first stage hands on.

    Args:
        knowledge: to be read from now on.
    """

    def __init__(self, knowledge: Knowledge) -> None:
        super().__init__()
        self.knowledge = knowledge


class KnowledgeStage(TrainingStage[KnowledgeProblem, Extractor]):
    """Trains an extractor on the super-domain and writes down what it knows; where a finished file
    is named, reads that.
    """

    name = "knowledge"
    part = "extracting"

    def check(self, context: StageContext) -> None:
        """See :meth:`Stage.check`."""
        named = part(context.settings, "sizes", KeepConfig).knowledge
        if named is not None:
            check_file("keep", "knowledge", Path(named))

    def problem(
        self, data: Data, parts: Parts, split: SplitName | None, model: nn.Module | None = None
    ) -> KnowledgeProblem:
        """See :meth:`Stage.problem`."""
        fitted = model.schema if isinstance(model, ClickModel) else None
        domains = part(parts, "domains", DomainConfig)
        return KnowledgeProblem(
            all_domains(data, split), domains, part(parts, "examples", ExampleConfig), fitted
        )

    def build(self, problem: KnowledgeProblem, context: StageContext) -> Extractor:
        """See :meth:`TrainingStage.build`."""
        sizes = part(context.settings, "extractor", ExtractorConfig)
        return Extractor(problem.data.fitted, sizes, problem.tasks, len(problem.cut.names))

    def task(self, problem: KnowledgeProblem, model: Extractor, batch: int) -> ExtractorTask:
        """See :meth:`TrainingStage.task`."""
        return ExtractorTask(problem.data.train, problem.data.validation, batch, model.tasks)

    def run(self, context: StageContext) -> TrainResult:
        """See :meth:`TrainingStage.run`; leaves ``knowledge.safetensors`` too."""
        named = part(context.settings, "sizes", KeepConfig).knowledge
        if named is not None:
            problem = self.problem(context.data, context.settings, context.split)
            return TrainResult(Extracted(Knowledge.load(Path(named))), problem)
        result = super().run(context)
        assert isinstance(result.problem, KnowledgeProblem)
        assert isinstance(result.model, Extractor)
        knowledge = result.problem.extract(result.model)
        knowledge.save(context.folder / KNOWLEDGE)
        return dataclasses.replace(result, model=Extracted(knowledge))


def all_domains(data: Data, split: SplitName | None) -> Dataset:
    """The data set that both stages of ``keep`` cut.

    Raises:
        ValueError: data that cannot be cut so, or a split, which the cut itself is.
    """
    if isinstance(data, ClickData):
        raise ValueError(
            f"keep: data must be a data set, whose events are cut by domain and time, got the "
            f"examples of {data.name}"
        )
    if split is not None:
        raise ValueError(f"keep: split must be left out, since until and test say it, got {split}")
    return data


def _batches(block: Block) -> Iterator[Batch]:
    for start in range(0, len(block), _ROWS):
        yield block.batch(np.arange(start, min(start + _ROWS, len(block))))


def _lookup(dataset: Dataset, entity: str, rows: Int64Array) -> Lookup:
    """The source's own ids of users or items that are known by their indices."""
    found = keys(entity_keys(dataset, entity)).take(pa.array(rows))
    return Lookup(Vocabulary(found.to_numpy()) if pa.types.is_int64(found.type) else found)


def _table(rows: Tensor) -> CodedRows:
    """In front, rows of zeros for padding and the unknown."""
    return CodedRows.of(torch.cat([rows.new_zeros(UNKNOWN + 1, rows.shape[1]), rows]), "float32")
