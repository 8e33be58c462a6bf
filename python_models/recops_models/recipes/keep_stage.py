"""The second training of ``keep``: a base with a plug, on the small domain behind the cut."""

from __future__ import annotations

import copy
import dataclasses
from functools import cached_property

import torch
from torch import Tensor, nn

from recops_models.click.keep import Keep, KeepConfig, plug_in, with_known, without_known
from recops_models.click.model import ClickModel
from recops_models.data.dataset import Dataset
from recops_models.data.splits import Split, SplitName
from recops_models.evaluation.click_metrics import CLICK_METRICS
from recops_models.examples.click import ClickData, click_data
from recops_models.examples.click_schema import KNOWN, entity_keys, keys
from recops_models.examples.domains import DomainConfig, Domains, slices_of
from recops_models.examples.features import FittedSchema
from recops_models.examples.loader import Source
from recops_models.examples.lookup import UNKNOWN
from recops_models.graphs.knowledge import Knowledge, KnowledgeError
from recops_models.layers.plug import PluggedHead
from recops_models.recipes.click_nets import click_net
from recops_models.recipes.knowledge_stage import Extracted, KnowledgeStage, all_domains
from recops_models.recipes.parts import Parts, part
from recops_models.recipes.stage import Data, StageContext, TrainingStage
from recops_models.training.click_problem import ClickProblem, ExampleConfig
from recops_models.training.click_task import ClickTask
from recops_models.training.config import TrainingConfig
from recops_models.training.problem import Measured
from recops_models.training.stream_task import StreamTask, stream_config
from recops_models.training.trainer import check_select

_ROWS = 1024


class KeepProblem(ClickProblem):
    """Examples of the small domain behind the cut, which tell their rows of the knowledge.

    Args:
        dataset: all domains.
        domains: how it is cut.
        examples: how examples are made.
        knowledge: whose rows; None: those of ``fitted``.
        fitted: the schema of a trained model.

    Raises:
        KnowledgeError: there is neither, or it knows nobody of this data set.
        LeakageError: the knowledge's window reaches into the examples.
    """

    def __init__(
        self,
        dataset: Dataset,
        domains: DomainConfig,
        examples: ExampleConfig,
        *,
        knowledge: Knowledge | None = None,
        fitted: FittedSchema | None = None,
    ) -> None:
        cut = Domains.of(dataset, domains)
        small = cut.small_domain()
        if knowledge is not None:
            _check(knowledge, small, domains)
        self._small, self.domains = small, domains
        self._asked = dataclasses.asdict(examples)
        if fitted is None:
            if knowledge is None:
                raise KnowledgeError("keep: examples need knowledge, or a trained model")
            fitted = with_known(self._make(small).fitted, knowledge)
        made = dataclasses.replace(self._make(small, fitted=fitted), split=cut.split_name)
        super().__init__(made, examples)
        self.dataset = small.dataset

    @cached_property
    def slices(self) -> list[Source]:
        """The training part, slice by slice."""
        splits = slices_of(self._small, self.domains.slices)
        return [self._make(split, fitted=self.data.fitted).train for split in splits]

    def _make(self, split: Split, fitted: FittedSchema | None = None) -> ClickData:
        return click_data(split.dataset, split, **self._asked, fitted=fitted)

    def measure(self, model: nn.Module, part: str) -> Measured:
        """With the shares of examples whose user, and whose item, the knowledge does not know."""
        measured = super().measure(model, part)
        unknown: dict[str, list[Tensor]] = {name: [] for name in KNOWN}
        for batch in getattr(self.data, part).batches(_ROWS, seed=None):
            for name, feature in KNOWN.items():
                unknown[name].append(batch.features[feature] <= UNKNOWN)
        for name, found in unknown.items():
            measured.metrics[f"unknown_{name}"] = float(torch.cat(found).double().mean())
        return measured


class KeepStage(TrainingStage[KeepProblem, ClickModel]):
    """Trains a base and the plug beside its first hidden layer; knowledge stays as it is."""

    name = "keep"

    def check(self, context: StageContext) -> None:
        """See :meth:`Stage.check`; the base is made of its examples, as it will be again."""
        check_select(CLICK_METRICS, self.config(context.settings))
        domains, examples = (
            part(context.settings, "domains", DomainConfig),
            part(context.settings, "examples", ExampleConfig),
        )
        small = Domains.of(all_domains(context.data, context.split), domains).small_domain()
        if domains.slices > small.train.num_rows:
            raise ValueError(
                f"domains: slices must be ≤ {small.train.num_rows:,}, the events of training, got "
                f"{domains.slices:,}"
            )
        data = click_data(small.dataset, small, **dataclasses.asdict(examples))
        with torch.random.fork_rng(devices=[]):
            _check_plug(_base(ClickProblem(data, examples), context), context)

    def problem(
        self, data: Data, parts: Parts, split: SplitName | None, model: nn.Module | None = None
    ) -> KeepProblem:
        """See :meth:`Stage.problem`; the model, or the knowledge extracted, tells the rows."""
        return KeepProblem(
            all_domains(data, split),
            part(parts, "domains", DomainConfig),
            part(parts, "examples", ExampleConfig),
            knowledge=model.knowledge if isinstance(model, Extracted) else None,
            fitted=model.schema if isinstance(model, ClickModel) else None,
        )

    def begin(self, context: StageContext) -> tuple[KeepProblem, ClickModel]:
        """See :meth:`TrainingStage.begin`."""
        extracted = context.earlier[KnowledgeStage.name]
        problem = self.problem(context.data, context.settings, context.split, extracted)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(context.seed)
            return problem, self.build(problem, context)

    def build(self, problem: KeepProblem, context: StageContext) -> Keep:
        """The base first: it begins as it would alone."""
        extracted = context.earlier[KnowledgeStage.name]
        assert isinstance(extracted, Extracted)
        alone = copy.copy(problem)
        alone.data = dataclasses.replace(problem.data, fitted=without_known(problem.data.fitted))
        sizes = part(context.settings, "sizes", KeepConfig)
        return plug_in(_base(alone, context), extracted.knowledge, sizes)

    def task(self, problem: KeepProblem, model: ClickModel, batch: int) -> ClickTask:
        """See :meth:`TrainingStage.task`."""
        data = problem.data
        if not problem.domains.slices:
            return ClickTask(data.train, data.validation, batch)
        passes = problem.domains.passes
        return StreamTask(data.train, data.validation, batch, problem.slices, passes)

    def config(self, parts: Parts) -> TrainingConfig:
        """See :meth:`TrainingStage.config`; over slices, at one rate, with the last state kept."""
        domains, config = part(parts, "domains", DomainConfig), super().config(parts)
        if not domains.slices:
            return config
        return stream_config(config, domains.slices * domains.passes)


def _base(problem: ClickProblem, context: StageContext) -> ClickModel:
    """A new one, for examples that tell nothing of knowledge."""
    net = click_net("keep", part(context.settings, "sizes", KeepConfig).base)
    return net.build(problem, context.with_sizes("base"))


def _check_plug(base: ClickModel, context: StageContext) -> None:
    """That a plug can stand beside a layer of the base, whose head is of no use afterwards."""
    sizes = part(context.settings, "sizes", KeepConfig)
    PluggedHead(base.head, dict.fromkeys(sizes.parts, 1), sizes.plug, hidden=sizes.plug_hidden)


def _check(knowledge: Knowledge, small: Split, domains: DomainConfig) -> None:
    """That the knowledge is of before, and of somebody."""
    dataset = small.dataset
    if domains.cut == "clock":
        first = min(
            int(table["timestamp"].to_numpy().min())
            for table in (small.train, small.validation, small.test)
        )
        knowledge.check_before(first, data=dataset.name, seconds=dataset.time == "seconds")
    for name in KNOWN:
        if not (knowledge.lookups[name].rows(keys(entity_keys(dataset, name))) > UNKNOWN).any():
            raise KnowledgeError(
                f"keep: knowledge must be of {dataset.name}'s {name}s, got that of "
                f"{knowledge.source}, which knows none of them"
            )
