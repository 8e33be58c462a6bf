"""The training of ``res-embedding``: the graph, the table upon it, and the folded base."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from torch import Tensor

from recops_models.click.res_embedding import ResEmbedding, ResEmbeddingConfig
from recops_models.examples.batch import Batch
from recops_models.graphs.item_graph import ItemGraph
from recops_models.graphs.training_histories import histories_key, training_histories
from recops_models.recipes.click_nets import click_net
from recops_models.recipes.click_stage import ExampleStage
from recops_models.recipes.parts import part
from recops_models.recipes.stage import StageContext, TrainResult
from recops_models.setting_checks import check_file
from recops_models.training.click_problem import ClickProblem
from recops_models.training.click_task import ExampleTask
from recops_models.training.optimizers import check_dense
from recops_models.training.trainer import CHECKPOINT

GRAPH, TABLE = "graph.safetensors", "item_table.safetensors"


class ResEmbeddingTask(ExampleTask[ResEmbedding]):
    """As of the base; it is the folded one that is evaluated."""

    def loss(self, model: ResEmbedding, batch: Batch) -> tuple[Tensor, int]:
        return model.loss(batch), len(batch.label)

    def evaluate(self, model: ResEmbedding) -> dict[str, float]:
        return self.validated(model.fold())


class ResEmbeddingStage(ExampleStage[ResEmbedding]):
    """Counts the graph, trains, and folds; beside what every training leaves there are
    ``graph.safetensors``, under a hash of the training ids, and ``item_table.safetensors``, which a
    later refresh of the graph needs.
    """

    name = "res-embedding"
    files = (CHECKPOINT, GRAPH)

    def check(self, context: StageContext) -> None:
        """See :meth:`Stage.check`; a step must leave something of the residuals, and
        attention reads all rows.
        """
        super().check(context)
        config = self.config(context.settings)
        sizes = part(context.settings, "sizes", ResEmbeddingConfig)
        name = "learning_rate" if config.table_learning_rate is None else "table_learning_rate"
        rate, decay = getattr(config, name), sizes.residual_decay
        if sizes.weights == "attention":
            check_dense(config)
        if sizes.residual and rate * decay >= 1:
            raise ValueError(
                f"{self.name}: {name} · residual_decay must be < 1, got {rate:g} · {decay:g}"
            )

    def build(self, problem: ClickProblem, context: StageContext) -> ResEmbedding:
        """The base first: it begins as it would alone.

        Raises:
            ValueError: ``graph_file`` is of other training data or settings.
            FileNotFoundError: there is no such file.
        """
        sizes = part(context.settings, "sizes", ResEmbeddingConfig)
        base = click_net(self.name, sizes.base).build(problem, context.with_sizes("base"))
        return ResEmbedding(base, _graph(problem, context, sizes), sizes.table())

    def task(self, problem: ClickProblem, model: ResEmbedding, batch: int) -> ResEmbeddingTask:
        """See :meth:`TrainingStage.task`."""
        return ResEmbeddingTask(problem.data.train, problem.data.validation, batch)

    def run(self, context: StageContext) -> TrainResult:
        """See :meth:`Stage.run`; what it makes is the base with a plain table."""
        result = super().run(context)
        assert isinstance(result.model, ResEmbedding)
        result.model.table.save(context.folder / TABLE)
        return dataclasses.replace(result, model=result.model.fold())


def _graph(problem: ClickProblem, context: StageContext, sizes: ResEmbeddingConfig) -> ItemGraph:
    """From the folder, if a run that is gone on with left it there; else from ``graph_file``; else
    counted.
    """
    schema = problem.data.fitted
    candidate = schema.schema.candidate
    assert candidate is not None  # Else the base could not have been made.
    histories, rows = training_histories(problem.data), schema.cardinality(candidate)
    settings = {**sizes.graph_settings(), "rows": rows}
    if sizes.graph == "random":
        settings["seed"] = context.seed
    key = histories_key(histories, settings)
    here = context.folder / GRAPH
    if context.resume and here.exists() and (found := ItemGraph.load(here, key)) is not None:
        return found
    if sizes.graph_file is None:
        graph = sizes.make_graph(histories, rows, context.seed)
    else:
        check_file("res-embedding", "graph_file", Path(sizes.graph_file))
        given = ItemGraph.load(Path(sizes.graph_file), key)
        if given is None:
            raise ValueError(
                f"res-embedding: graph_file {sizes.graph_file} must be of the same training data "
                "and graph settings; it is of others"
            )
        graph = given
    context.start_output()
    graph.save(here, key)
    return graph
