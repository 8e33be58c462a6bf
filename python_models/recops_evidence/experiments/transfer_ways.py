"""The ways from a super-domain into a small domain that need no knowledge, and their examples."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recops_models.callbacks import Callbacks, Portion
from recops_models.click.model import ClickModel
from recops_models.data.splits import Split
from recops_models.data.storage import write_table
from recops_models.examples.click import ClickData, click_data
from recops_models.examples.domains import Domains, slices_of
from recops_models.examples.features import FittedSchema
from recops_models.examples.feedback import feedback_of
from recops_models.recipes.job import Job
from recops_models.recipes.parts import part
from recops_models.recipes.run import PREDICTIONS
from recops_models.training.click_problem import ClickProblem, ExampleConfig
from recops_models.training.click_task import ClickTask
from recops_models.training.config import TrainingConfig
from recops_models.training.curve import finite
from recops_models.training.stream_task import StreamTask, stream_config
from recops_models.training.trainer import fit

WAYS = ("base", "long", "zero-shot", "mixed", "fine-tune")
"""An arm's setting ``way``, where its model is not ``keep``.

- ``base``: trained on the small domain behind the cut; what it met before is in histories.
- ``long``: on the small domain before the cut as well.
- ``zero-shot``: on the super-domain before the cut alone.
- ``mixed``: on both, in one.
- ``fine-tune``: as ``zero-shot``, and from there as ``base``.
"""


def way_split(domains: Domains, way: str) -> Split:
    """Train, validation, test and context of a way. Those that learn from the super-domain have all
    domains in histories.
    """
    part = domains.parts()
    if way == "base":
        return domains.small_domain()
    if way == "long":
        small = domains.small_domain()
        train = pa.concat_tables([small.context, small.train])
        return dataclasses.replace(small, train=train, context=small.context.slice(0, 0))
    of_before, of_train = {"zero-shot": (0, 3), "mixed": (0, 0), "fine-tune": (3, 0)}[way]
    code = np.where(part == 0, of_train, part)
    return Split.of(domains.dataset, np.where(domains.before, of_before, code))


def way_examples(
    job: Job, domains: Domains, way: str, fitted: FittedSchema | None = None
) -> ClickData:
    """The click examples of a way, in a trained model's vocabularies where there is one."""
    split = way_split(domains, way)
    examples = dataclasses.asdict(part(job.parts, "examples", ExampleConfig))
    if split.dataset.items.num_rows > domains.small_domain().dataset.items.num_rows:
        feedback = examples["feedback"] or feedback_of(split.dataset)
        if feedback != "explicit":
            raise ValueError(f"{way}: negatives drawn from all domains are no other arm's")
    made = click_data(split.dataset, split, **examples, fitted=fitted)
    if way == "long":  # A longer training part would draw other negatives to be asked about.
        base = domains.small_domain()
        asked = click_data(base.dataset, base, **examples, fitted=made.fitted)
        made = dataclasses.replace(made, validation=asked.validation, test=asked.test)
    return dataclasses.replace(made, split=domains.split_name)


def train_further(
    job: Job,
    domains: Domains,
    way: str,
    model: ClickModel,
    data: ClickData,
    folder: Path,
    test: bool,
    callbacks: Callbacks,
) -> dict[str, Any]:
    """Train ``model`` from where it stands; leaves a checkpoint and the predictions of test."""
    config, slices = part(job.parts, "training", TrainingConfig), domains.config.slices
    task = ClickTask(data.train, data.validation, config.batch)
    if slices:
        passes = domains.config.passes
        examples = dataclasses.asdict(part(job.parts, "examples", ExampleConfig))
        sources = [
            click_data(piece.dataset, piece, **examples, fitted=data.fitted).train
            for piece in slices_of(way_split(domains, way), slices)
        ]
        config = stream_config(config, slices * passes)
        task = StreamTask(data.train, data.validation, config.batch, sources, passes)

    share = Portion(callbacks, 0.5, 0.5)
    fit(model, task, config, seed=job.seed, folder=folder, resume=True, callbacks=share)
    problem = ClickProblem(data, part(job.parts, "examples", ExampleConfig))
    metrics = {"validation": finite(problem.measure(model, "validation").metrics), "test": {}}
    if test:
        measured = problem.measure(model, "test")
        write_table(folder / PREDICTIONS, measured.predictions)
        metrics["test"] = finite(measured.metrics)
    return metrics
