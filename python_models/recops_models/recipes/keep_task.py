"""Task of ``keep``: click examples of the small domain, with rows of the knowledge."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recops_models.data.dataset import Dataset
from recops_models.evaluation.click_evaluation import ClickEvaluation
from recops_models.examples.click import click_data
from recops_models.examples.domains import DomainConfig, Domains, slices_of
from recops_models.examples.features import FittedSchema
from recops_models.examples.knowledge_features import KNOWN
from recops_models.examples.loader import Source
from recops_models.examples.lookup import UNKNOWN
from recops_models.graphs.knowledge import Knowledge, KnowledgeError
from recops_models.recipes.knowledge_checks import check_knowledge
from recops_models.training.click_task import ClickTask
from recops_models.training.example_config import ExampleConfig

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH = 1024


class KeepTask(ClickTask):
    """Click prediction on later events of the small domain, with rows of the knowledge.

    Args:
        dataset: the events of all domains.
        domains: the super-domain, the small domain and the time between them.
        examples: how examples are made of events.
        knowledge: knowledge of the super-domain; None: ``fitted`` has its rows.
        fitted: the schema of a trained ``keep`` model; None: it is fitted on the training part.

    Attributes:
        domains: see the argument.
        knowledge: see the argument.

    Raises:
        KnowledgeError: neither ``knowledge`` nor ``fitted`` is given, or the knowledge covers no
            user or no item of this data set.
        LeakageError: the knowledge was learnt from events as late as the examples.
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
            check_knowledge(knowledge, small, domains)
        elif fitted is None:
            raise KnowledgeError("keep: examples need knowledge, or a trained model")
        data = click_data(
            small.dataset,
            small,
            fitted=fitted,
            knowledge=None if knowledge is None else knowledge.lookups,
            **dataclasses.asdict(examples),
        )
        super().__init__(dataclasses.replace(data, split=cut.split_name), examples)
        self.dataset, self.domains, self.knowledge = small.dataset, domains, knowledge
        self._small = small

    @cached_property
    def slices(self) -> list[Source]:
        """The training examples of each slice, in time order."""
        examples = dataclasses.asdict(self.examples)
        return [
            click_data(split.dataset, split, fitted=self.data.fitted, **examples).train
            for split in slices_of(self._small, self.domains.slices)
        ]

    def training_part(self, epoch: int) -> Source:
        """See :meth:`ExampleTask.training_part`; with slices, an epoch is a pass over one."""
        if not self.domains.slices:
            return super().training_part(epoch)
        return self.slices[epoch // self.domains.passes]

    def summary(self, evaluation: ClickEvaluation, part: str) -> tuple[dict[str, float], pa.Table]:
        """See :meth:`ExampleTask.summary`.

        The metrics include the shares of examples with an unknown user or item.
        """
        metrics, predictions = super().summary(evaluation, part)
        return {**metrics, **unknown_shares(getattr(self.data, part))}, predictions


def unknown_shares(source: Source) -> dict[str, float]:
    """Return the shares of examples whose user or item the knowledge lacks, by metric."""
    unknown: dict[str, list[Tensor]] = {name: [] for name in KNOWN}
    for batch in source.batches(_BATCH, seed=None):
        for name, feature in KNOWN.items():
            unknown[name].append(batch.features[feature] <= UNKNOWN)
    return {
        f"unknown_{name}": float(torch.cat(flags).double().mean())
        for name, flags in unknown.items()
    }
