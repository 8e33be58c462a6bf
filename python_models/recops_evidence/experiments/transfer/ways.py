"""Training examples of the methods that transfer without knowledge."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa

from recops_models.data.splits import Split
from recops_models.examples.click import ClickData, click_data
from recops_models.examples.domains import Domains
from recops_models.examples.features import FittedSchema
from recops_models.examples.feedback import feedback_of
from recops_models.recipes.job import Job
from recops_models.recipes.parts import part
from recops_models.training.example_config import ExampleConfig

WAYS = ("base", "long", "zero-shot", "mixed", "fine-tune")
"""Values of an arm's setting ``way``, for models other than ``keep``.

- ``base``: train on the small domain after the cut; earlier events are in histories only.
- ``long``: train on the small domain before the cut as well.
- ``zero-shot``: train on the super-domain before the cut only.
- ``mixed``: train on both at once.
- ``fine-tune``: train as ``zero-shot``, then continue as ``base``.
"""


def way_split(domains: Domains, way: str) -> Split:
    """Return training, validation, test and context of a way.

    Validation and test are the same for all ways. Ways that learn from the super-domain have the
    events of all domains in histories.
    """
    part = domains.parts()
    if way == "base":
        return domains.small_domain()
    if way == "long":
        small = domains.small_domain()
        train = pa.concat_tables([small.context, small.train])
        return dataclasses.replace(small, train=train, context=small.context.slice(0, 0))
    code_before, code_training = {"zero-shot": (0, 3), "mixed": (0, 0), "fine-tune": (3, 0)}[way]
    code = np.where(part == 0, code_training, part)
    return Split.of(domains.dataset, np.where(domains.before, code_before, code))


def way_examples(
    job: Job, domains: Domains, way: str, fitted: FittedSchema | None = None
) -> ClickData:
    """Return the click examples of a way.

    Args:
        job: its part ``examples`` counts.
        domains: the events.
        way: one of :data:`WAYS`.
        fitted: vocabularies of a trained model; None: those of the way's training part.

    Raises:
        ValueError: negatives would be drawn from other items than those of the small domain.
    """
    split = way_split(domains, way)
    examples = dataclasses.asdict(part(job.parts, "examples", ExampleConfig))
    if split.dataset.items.num_rows > domains.small_domain().dataset.items.num_rows:
        feedback = examples["feedback"] or feedback_of(split.dataset)
        if feedback != "explicit":
            raise ValueError(
                f"{way}: feedback must be explicit, got {feedback}: negatives drawn from all "
                "domains would differ from those of other arms"
            )
    data = click_data(split.dataset, split, **examples, fitted=fitted)
    if way == "long":  # Its larger training part would change the drawn negatives of test.
        base = domains.small_domain()
        shared = click_data(base.dataset, base, **examples, fitted=data.fitted)
        data = dataclasses.replace(data, validation=shared.validation, test=shared.test)
    return dataclasses.replace(data, split=domains.split_name)
