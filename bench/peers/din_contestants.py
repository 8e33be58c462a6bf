"""DIN of recops, DeepCTR-Torch and FuxiCTR: equal sizes and weights, each with its own step."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from recops_models.click.din import Din, DinConfig
from recops_models.click.loss import click_loss
from recops_models.examples.batch import Batch
from recops_models.examples.click import ClickData
from recops_models.examples.features import Categorical, FittedSchema

CONFIG = DinConfig(width=16, hidden=(200, 80), activation="relu", attention_hidden=(80, 40))
"""The attention has sigmoid and softmax, which all three libraries support."""

LEARNING_RATE = 1e-3


class Contestant(NamedTuple):
    """A model with functions for its form of a batch, a training step and probabilities ``[B]``."""

    model: nn.Module
    prepare: Callable[[Batch], Any]
    step: Callable[[Any], object]
    probability: Callable[[Any], Tensor]


def recops_din(data: ClickData) -> Contestant:
    """Return the DIN of recops."""
    model = Din(data.fitted, CONFIG)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)

    def step(batch: Batch) -> None:
        loss = click_loss(model(batch), batch.label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return Contestant(model, lambda batch: batch, step, lambda batch: model(batch).sigmoid())


def deepctr(data: ClickData, max_len: int, start: Din) -> Contestant:
    """Return the DIN of DeepCTR-Torch; steps are those of its ``fit``: float ids, summed loss."""
    from deepctr_torch.inputs import SparseFeat, VarLenSparseFeat
    from deepctr_torch.models import DIN

    fitted, history = data.fitted, start.embedding.history
    columns = [
        SparseFeat(name, fitted.cardinality(name), CONFIG.width) for name in categoricals(fitted)
    ]
    columns += [
        VarLenSparseFeat(
            SparseFeat(
                f"hist_{feature.share_embedding}",
                fitted.cardinality(feature.name),
                CONFIG.width,
                embedding_name=feature.share_embedding,
            ),
            maxlen=max_len,
            length_name="length",
        )
        for feature in history
    ]
    model = DIN(
        columns,
        [feature.share_embedding for feature in history],
        dnn_hidden_units=CONFIG.hidden,
        att_hidden_size=CONFIG.attention_hidden,
        att_activation="sigmoid",
        att_weight_normalization=True,
        l2_reg_embedding=0,
    )
    model.compile(torch.optim.Adam(model.parameters(), lr=LEARNING_RATE), "binary_crossentropy")
    attention = model.attention.local_att
    copy_weights(start, model.embedding_dict, [*attention.dnn.linears, attention.dense])
    copy_layers(start.head, [*model.dnn.linears, model.dnn_linear])
    with torch.no_grad():
        model.out.bias.copy_(linear_layers(start.head)[-1].bias)

    def prepare(batch: Batch) -> tuple[Tensor, Tensor]:
        parts = {name: batch.features[name][:, None] for name in categoricals(fitted)}
        for feature in history:
            ids = batch.features[feature.name]
            padded = nn.functional.pad(ids, (0, max_len - ids.shape[1]))
            parts[f"hist_{feature.share_embedding}"] = padded
        parts["length"] = batch.lengths[history[0].name][:, None]
        return torch.cat([parts[name] for name in model.feature_index], -1), batch.label

    def probability(prepared: tuple[Tensor, Tensor]) -> Tensor:
        return model(prepared[0].float()).squeeze(-1)

    def step(prepared: tuple[Tensor, Tensor]) -> None:
        predicted = probability(prepared)
        model.optim.zero_grad()
        loss = model.loss_func(predicted, prepared[1].float(), reduction="sum")
        (loss + model.get_regularization_loss() + model.aux_loss).backward()
        model.optim.step()

    return Contestant(model, prepare, step, probability)


def fuxictr(data: ClickData, start: Din) -> Contestant:
    """Return the DIN of FuxiCTR's LongCTR zoo; steps are its ``train_step``."""
    from fuxictr.features import FeatureMap
    from model_zoo.LongCTR.DIN import DIN

    fitted, history = data.fitted, start.embedding.history
    items = [feature.share_embedding for feature in history]
    features = FeatureMap("recops", "")
    features.labels, features.default_emb_dim = ["label"], CONFIG.width
    for name in categoricals(fitted):
        features.features[name] = {
            "type": "categorical",
            "source": "item" if name in items else "user",
            "vocab_size": fitted.cardinality(name),
            "padding_idx": 0,
        }
    model = DIN(
        features,
        dnn_hidden_units=list(CONFIG.hidden),
        attention_hidden_units=list(CONFIG.attention_hidden),
        attention_hidden_activations="sigmoid",
        din_use_softmax=True,
        learning_rate=LEARNING_RATE,
        embedding_dim=CONFIG.width,
        optimizer="adam",
        loss="binary_crossentropy",
        verbose=0,
        metrics=["AUC"],
        model_root="",
    )
    model._max_gradient_norm, model._batch_index = float("inf"), 0
    tables = model.embedding_layer.embedding_layer.embedding_layers
    copy_weights(start, tables, linear_layers(model.attention_layers))
    copy_layers(start.head, linear_layers(model.dnn))

    def prepare(batch: Batch) -> tuple[dict[str, Tensor], dict[str, Tensor], Tensor]:
        context = {name: batch.features[name] for name in categoricals(fitted) if name not in items}
        sequences = {
            feature.share_embedding: torch.cat(
                [batch.features[feature.name], batch.features[feature.share_embedding][:, None]], 1
            ).flatten()
            for feature in history
        }
        width = batch.features[history[0].name].shape[1]
        mask = torch.arange(width) < batch.lengths[history[0].name][:, None]
        return context | {"label": batch.label}, sequences, mask

    def probability(prepared: Any) -> Tensor:
        return model(prepared)["y_pred"].squeeze(-1)

    return Contestant(model, prepare, model.train_step, probability)


def categoricals(fitted: FittedSchema) -> list[str]:
    """Return the names of the categorical features, in order."""
    return [feature.name for feature in fitted.schema.of_type(Categorical)]


def linear_layers(module: nn.Module) -> list[nn.Linear]:
    """Return all linear layers of ``module``, in order."""
    return [layer for layer in module.modules() if isinstance(layer, nn.Linear)]


def copy_layers(start: nn.Module, layers: Iterable[nn.Linear]) -> None:
    """Copy the weights of the linear layers of ``start``; a layer may have no bias."""
    with torch.no_grad():
        for source, target in zip(linear_layers(start), layers, strict=True):
            target.weight.copy_(source.weight)
            if target.bias is not None:
                target.bias.copy_(source.bias)


def copy_weights(start: Din, tables: nn.ModuleDict, attention: list[nn.Linear]) -> None:
    """Copy the tables and the attention of ``start``, whose first layer is ``attention.pair``."""
    with torch.no_grad():
        for name, table in start.embedding.tables.items():
            tables[name].weight.copy_(table.weight)
        attention[0].weight.copy_(start.attention.pair.weight)
        attention[0].bias.copy_(start.attention.pair.bias)
    copy_layers(start.attention.score, attention[1:])


def contestants(data: ClickData, max_len: int) -> dict[str, Contestant]:
    """Return all three models with equal weights."""
    torch.manual_seed(0)
    first = recops_din(data)
    assert isinstance(first.model, Din)
    return {
        "recops": first,
        "DeepCTR-Torch": deepctr(data, max_len, first.model),
        "FuxiCTR": fuxictr(data, first.model),
    }
