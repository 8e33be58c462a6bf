"""Multilayer perceptron with the activations of click models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from torch import nn

from recops_models.layers.dice import Dice
from recops_models.layers.dropout import Dropout

ActivationName = Literal["relu", "prelu", "sigmoid", "dice"]


def activation(name: ActivationName, width: int) -> nn.Module:
    """Return a new activation for ``[N, width]``; PReLU and Dice have one slope per unit.

    Slopes of PReLU start at 0.25, those of Dice at 0.

    Raises:
        ValueError: an unknown name.

    Example:
        >>> import torch
        >>> from recops_models.layers.mlp import activation
        >>> activation("prelu", 2)(torch.tensor([[-4.0, 4.0]])).tolist()  # slope 0.25
        [[-1.0, 4.0]]
    """
    match name:
        case "relu":
            return nn.ReLU()
        case "sigmoid":
            return nn.Sigmoid()
        case "prelu":
            return nn.PReLU(width)
        case "dice":
            return Dice(width)
    raise ValueError(f"activation: name must be relu, prelu, sigmoid or dice, got {name!r}")


class MLP(nn.Sequential):
    """``x ↦ W_n σ(… σ(W_1 x + b_1) …) + b_n``: ``[N, input_dim]`` to ``[N, output_dim]``.

    Args:
        input_dim: width of the input.
        hidden: widths of the hidden layers; if empty, the MLP is one linear map.
        output_dim: width of the output, which has no activation.
        activation_name: σ.
        dropout: on the hidden units.

    Example:
        >>> import torch
        >>> from recops_models.layers.mlp import MLP
        >>> mlp = MLP(8, (16, 4), 1, activation_name="relu", dropout=0.1)
        >>> mlp(torch.randn(3, 8)).shape
        torch.Size([3, 1])
    """

    def __init__(
        self,
        input_dim: int,
        hidden: Sequence[int],
        output_dim: int,
        *,
        activation_name: ActivationName = "dice",
        dropout: float = 0.0,
    ) -> None:
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [nn.Linear(input_dim, width), activation(activation_name, width)]
            if dropout:
                layers.append(Dropout(dropout))
            input_dim = width
        super().__init__(*layers, nn.Linear(input_dim, output_dim))
