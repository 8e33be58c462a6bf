"""Training of ``res-embedding``: build the item graph, train, fold the table."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor, nn

from recops_models import workers
from recops_models.click.inheriting import inherit_weights, rows_in_earlier
from recops_models.click.model import ClickScorer
from recops_models.click.res_embedding import ResEmbedding, ResEmbeddingConfig
from recops_models.examples.batch import Batch
from recops_models.examples.click import ClickData
from recops_models.examples.features import FittedSchema
from recops_models.graphs.item_graph import ItemGraph
from recops_models.graphs.training_histories import histories_key, training_histories
from recops_models.layers.residual_table import ResidualTable
from recops_models.recipes.click_nets import click_net
from recops_models.recipes.click_stage import ExampleStage
from recops_models.recipes.parts import part
from recops_models.recipes.stage import StageContext
from recops_models.setting_checks import check_file
from recops_models.training.click_task import ExampleTask
from recops_models.training.optimizers import check_dense
from recops_models.training.trainer import CHECKPOINT

GRAPH, TABLE = "graph.safetensors", "item_table.safetensors"


class ResEmbeddingTask(ExampleTask[ResEmbedding]):
    """Loss of the base model; validation measures the base with the folded table."""

    def loss(self, model: ResEmbedding, batch: Batch) -> tuple[Tensor, int]:
        return model.loss(batch), len(batch.label)

    def evaluate(self, model: ResEmbedding) -> dict[str, float]:
        with model.folded() as base:
            return self.validated(base)


class ResEmbeddingStage(ExampleStage[ResEmbedding]):
    """Training of a base model with a residual item table.

    It also writes ``graph.safetensors``, with a hash of the training ids, and
    ``item_table.safetensors``, which a later refresh of the graph needs.
    """

    name = "res-embedding"
    task_type = ResEmbeddingTask
    files = (CHECKPOINT, GRAPH)

    def check(self, context: StageContext) -> None:
        """Check the settings of the optimizer against those of the table.

        One step must not shrink a residual to zero or beyond: learning rate · decay must be below
        1. Attention reads every row of the table, so its gradients must be dense.
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

    def build(self, task: ExampleTask[ResEmbedding], context: StageContext) -> ResEmbedding:
        """See :meth:`TrainingStage.build`; the base starts with the weights it has alone.

        Raises:
            ValueError: ``graph_file`` is of other training data or settings.
            FileNotFoundError: ``graph_file`` does not exist.
        """
        sizes = part(context.settings, "sizes", ResEmbeddingConfig)
        base = click_net(self.name, sizes.base).build(task.data, context.with_sizes("base"))
        graph = workers.on_first(lambda: _graph(task.data, context, sizes))
        return ResEmbedding(base, graph, sizes.table())

    def inherit(
        self,
        model: ResEmbedding,
        schema: FittedSchema,
        earlier: ClickScorer,
        context: StageContext,
    ) -> None:
        """See :meth:`ExampleStage.inherit`; known items keep their rows under the new graph.

        The residuals take up what the centres of the new graph do not give. Without residuals, the
        centres are those of the earlier training, and its graph's changes change rows.
        """
        start, candidate = context.start, schema.schema.candidate
        assert start is not None
        assert candidate is not None
        name = model.base.embedding.weight_name(candidate)
        inherit_weights(model.base, schema, earlier, without=[name.removesuffix("weight")])
        rows = rows_in_earlier(schema, earlier.schema, candidate)
        path = start.folder / TABLE
        table = ResidualTable.load(path) if path.exists() else None
        plain = earlier.state_dict()[name]
        model.table.start_from(plain[rows], table, rows)

    def trained(self, model: ResEmbedding, context: StageContext) -> nn.Module:
        """See :meth:`TrainingStage.trained`; the base with a plain table."""
        if workers.is_first():
            model.table.save(context.folder / TABLE)
        return model.fold()


def _graph(data: ClickData, context: StageContext, sizes: ResEmbeddingConfig) -> ItemGraph:
    """Return the item graph and leave it in the folder.

    The first of these that exists: the folder's graph of the run to resume, the graph in
    ``graph_file``, a new graph.
    """
    schema = data.fitted
    candidate = schema.schema.candidate
    assert candidate is not None  # The base model needs one too.
    histories, rows = training_histories(data), schema.cardinality(candidate)
    settings = {**sizes.graph_settings(), "rows": rows}
    if sizes.graph == "random":
        settings["seed"] = context.seed
    key = histories_key(histories, settings)
    path = context.folder / GRAPH
    if context.resume and path.exists():
        saved = ItemGraph.load(path, key)
        if saved is not None:
            return saved
    if sizes.graph_file is None:
        graph = sizes.make_graph(histories, rows, context.seed)
    else:
        graph = _graph_file(Path(sizes.graph_file), key)
    context.start_output()
    graph.save(path, key)
    return graph


def _graph_file(path: Path, key: str) -> ItemGraph:
    check_file("res-embedding", "graph_file", path)
    graph = ItemGraph.load(path, key)
    if graph is None:
        raise ValueError(
            f"res-embedding: graph_file {path} must come from the same "
            "training data and graph settings as this run"
        )
    return graph
