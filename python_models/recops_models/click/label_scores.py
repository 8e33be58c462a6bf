"""Scores of a click model's labels: one probability, or a weighted product of several."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from recops_models.click.model import ClickModel, ClickScorer
from recops_models.examples.batch import CLICK, Batch


def check_label_weights(model: object, name: str, weights: Mapping[str, float]) -> None:
    """Check that a model predicts all labels of ``weights``, and that the weights are finite.

    Args:
        model: a trained model.
        name: its name, for errors.
        weights: label → weight.

    Raises:
        ValueError: another label, or no label; a weight that is not finite.

    Example:
        >>> from recops_models.click.din import Din, DinConfig
        >>> from recops_models.click.label_scores import check_label_weights
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> schema, _ = tiny_click_data()
        >>> check_label_weights(Din(schema, DinConfig(width=4)), "score", {"click": 1.0})
    """
    known = model.labels if isinstance(model, ClickModel) else (CLICK,)
    if not isinstance(model, ClickScorer):
        raise ValueError(f"{name}: predicts no labels; leave out label")
    for label, weight in weights.items():
        if label not in known:
            raise ValueError(f"{name}: label must be among {', '.join(known)}, got {label!r}")
        if not torch.tensor(float(weight)).isfinite():
            raise ValueError(f"{name}: the weight of {label} must be finite, got {weight}")
    if not weights:
        raise ValueError(f"{name}: label must name one of {', '.join(known)}")


def label_scores(
    model: ClickScorer, batch: Batch, weights: Mapping[str, float] | None = None
) -> Tensor:
    """Return ``Π_l p_l ** w_l``, ``[B]`` f32, of the label probabilities p and weights w.

    Args:
        model: the model.
        batch: B examples.
        weights: label → weight; None: the click probability.

    Example:
        >>> from recops_models.click.din import Din, DinConfig
        >>> from recops_models.click.label_scores import label_scores
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> schema, batch = tiny_click_data()
        >>> config = DinConfig(width=4, heads="mmoe", labels=("purchase",))
        >>> model = Din(schema, config).eval()
        >>> label_scores(model, batch, {"click": 1.0, "purchase": 0.5}).shape
        torch.Size([3])
    """
    if weights is None or not isinstance(model, ClickModel) or set(weights) == {CLICK}:
        scores: Tensor = model(batch).float().sigmoid()
        power = 1.0 if weights is None else weights[CLICK]
        return scores if power == 1 else scores**power
    logits = model.label_logits(model.bottom(batch)[0]).float()
    total = torch.zeros_like(logits[:, 0])
    for label, weight in weights.items():
        column = logits[:, model.labels.index(label)]
        total = total + weight * torch.nn.functional.logsigmoid(column)
    return total.exp()
