"""Tasks of ``keep`` on streamed examples of a super-domain and of a small domain.

The folder of the small domain is a click folder (:mod:`recops_models.examples.click_stream`) with
the features ``user`` and ``item``. Its subfolder ``super`` is the click folder of the super-domain,
whose rows are in the order of time. There is one domain and one task, clicks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from recops_models.click.extractor import Extractor
from recops_models.click.loss import click_loss
from recops_models.data.errors import DataError
from recops_models.evaluation.click_evaluation import ClickEvaluation
from recops_models.examples.batch import CLICK, Batch
from recops_models.examples.block import Block
from recops_models.examples.click import ClickData
from recops_models.examples.click_stream import is_click_folder, open_click_folder
from recops_models.examples.features import FittedSchema
from recops_models.examples.knowledge_features import KNOWN, with_knowledge
from recops_models.examples.last_rows import LastRows
from recops_models.examples.loader import MappedSource
from recops_models.examples.task_maker import DOMAIN
from recops_models.graphs.coded_rows import CodedRows
from recops_models.graphs.knowledge import Knowledge, KnowledgeError, Window, version_of
from recops_models.recipes.keep_task import unknown_shares
from recops_models.training.click_task import ClickTask, ExampleTask
from recops_models.training.device import device_of, to_device, to_host
from recops_models.training.example_config import ExampleConfig

if TYPE_CHECKING:
    import pyarrow as pa

SUPER = "super"
"""Subfolder with the examples of the super-domain."""

_ENTITIES = ("user", "item")
_BATCH = 1024


class StreamedKnowledgeTask(ExampleTask[Extractor]):
    """Click prediction on the examples of the super-domain.

    Args:
        data: the examples of the small domain, whose folder has the subfolder ``super``.
        examples: settings of examples.
        fitted: the schema of a trained extractor; None: it is fitted on the training part.

    Attributes:
        tasks: the only task, clicks.
        domains: the only domain.

    Raises:
        DataError: the folder is missing, or its features lack ``user`` or ``item``.
    """

    tasks = (CLICK,)
    domains = ("",)

    def __init__(
        self, data: ClickData, examples: ExampleConfig, fitted: FittedSchema | None = None
    ) -> None:
        folder = data.files[0].parent / SUPER
        if not is_click_folder(folder):
            raise DataError(
                f"keep: {folder} must hold examples of the super-domain, with features.json; or "
                "name their knowledge with the setting knowledge"
            )
        source = open_click_folder(folder, fitted=fitted)
        check_features(source.fitted, folder)
        self._paths = source.files
        one_domain = dataclasses.replace(
            source,
            name=f"{data.name}/{SUPER}",
            train=MappedSource(source.train, _with_domain),
            validation=MappedSource(source.validation, _with_domain),
            test=MappedSource(source.test, _with_domain),
        )
        super().__init__(one_domain, examples)

    def loss(self, model: Extractor, batch: Batch) -> tuple[Tensor, int]:
        click = model.task_logits(batch)[:, 0]
        return click_loss(click, batch.label, batch.weight), len(batch.label)

    def evaluate(self, model: Extractor) -> dict[str, float]:
        return self.validated(model)

    @torch.no_grad()
    def extract(self, model: Extractor) -> Knowledge:
        """Return the knowledge of all users and items, as of their last example of any part.

        The times of examples are unknown, so nothing rules out leakage into the small domain.
        """
        model.eval()
        last = LastRows.of(self._paths, self.data.fitted, _ENTITIES)
        towers: dict[str, Callable[[Batch], Tensor]] = {
            "user": model.of_users,
            "item": model.of_items,
        }
        device = device_of(model)
        tables = {}
        for name, tower in towers.items():
            rows = torch.zeros(last.lookups[name].cardinality, model.config.width)
            for index, block in last.blocks(name):
                rows[torch.from_numpy(index)] = _encoded(tower, block, device)
            tables[name] = CodedRows.of(rows, "float32")
        return Knowledge(
            last.lookups,
            tables,
            {name: to_host(value.clone()) for name, value in model.pair.state_dict().items()},
            version_of(model.state_dict(), model.tasks, dataclasses.asdict(model.config)),
            self.name,
            self.tasks,
            Window(0, 0, seconds=False),
        )


class StreamedKeepTask(ClickTask):
    """Click prediction on the examples of the small domain, with rows of the knowledge.

    Args:
        data: the examples.
        examples: settings of examples.
        knowledge: knowledge of the super-domain; None: the schema of ``data`` has its rows.

    Attributes:
        knowledge: see the argument.

    Raises:
        DataError: the features lack ``user`` or ``item``.
        KnowledgeError: neither ``knowledge`` nor rows of it are given.
    """

    def __init__(
        self, data: ClickData, examples: ExampleConfig, *, knowledge: Knowledge | None = None
    ) -> None:
        check_features(data.fitted, data.files[0].parent)
        self.knowledge = knowledge
        if knowledge is not None:
            fitted = with_knowledge(data.fitted, knowledge.lookups)
            data = open_click_folder(data.files[0].parent, fitted=fitted)
        elif not set(KNOWN.values()) <= set(data.fitted.lookups):
            raise KnowledgeError("keep: examples need knowledge, or a trained model")
        super().__init__(data, examples)

    def summary(self, evaluation: ClickEvaluation, part: str) -> tuple[dict[str, float], pa.Table]:
        """See :meth:`ExampleTask.summary`.

        The metrics include the shares of examples with an unknown user or item.
        """
        metrics, predictions = super().summary(evaluation, part)
        return {**metrics, **unknown_shares(getattr(self.data, part))}, predictions


def _with_domain(batch: Batch) -> Batch:
    """Return a batch whose examples are all of domain 0."""
    domain = torch.zeros(len(batch.label), dtype=torch.int64)
    return batch._replace(features={**batch.features, DOMAIN: domain})


def check_features(fitted: FittedSchema, folder: Path) -> None:
    """Check that examples have the features that knowledge is about.

    Raises:
        DataError: a feature is missing.
    """
    names = [feature.name for feature in fitted.schema.features]
    for name in _ENTITIES:
        if name not in names:
            raise DataError(
                f"keep: {folder}/features.json must have a categorical feature {name!r}, got "
                f"{', '.join(names)}"
            )


def _encoded(tower: Callable[[Batch], Tensor], block: Block, device: torch.device) -> Tensor:
    """Return a row per example of a block."""
    starts = range(0, len(block), _BATCH)
    batches = (block.batch(np.arange(s, min(s + _BATCH, len(block)))) for s in starts)
    return torch.cat([to_host(tower(to_device(batch, device))) for batch in batches])
