"""Summary of a training before it starts: sizes of the data and of the model."""

from __future__ import annotations

from torch import nn

from recops_models.training.click_task import ExampleTask
from recops_models.training.streamed_ranking_task import StreamedRankingTask
from recops_models.training.task import AnyTask


def training_summary(stage: str, task: AnyTask, model: nn.Module) -> str:
    """Return one line with the sizes of a stage's data and model.

    The line has the events, users and items of a data set; the training examples, features and
    share of positives of click examples; and the parameters. Nothing is drawn or read from files,
    so streamed examples are not counted.

    Args:
        stage: name of the stage.
        task: the data of the stage.
        model: the untrained model.
    """
    counts = []
    if isinstance(task, StreamedRankingTask):
        counts += [
            f"{task.num_sequences:,} streamed sequences",
            f"{task.num_events:,} events",
            f"{task.num_items:,} items",
        ]
    elif (dataset := task.dataset) is not None:
        counts += [
            f"{dataset.num_events:,} events",
            f"{dataset.users.num_rows:,} users",
            f"{dataset.items.num_rows:,} items",
        ]
    if isinstance(task, ExampleTask):
        data = task.data
        examples = data.train.num_examples
        counts.append("streamed examples" if examples is None else f"{examples:,} examples")
        if data.positives is not None:
            counts[-1] += f" ({data.positives:.1%} positive)"
        counts.append(f"{len(data.fitted.schema.features):,} features")
    counts.append(f"{sum(each.numel() for each in model.parameters()):,} parameters")
    return f"{stage}: {', '.join(counts)}"
