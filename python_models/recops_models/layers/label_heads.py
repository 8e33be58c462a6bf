"""Heads of several labels on one input: a shared bottom, or a mixture of experts per label."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from recops_models.layers.dropout import Dropout
from recops_models.layers.mlp import MLP, ActivationName, activation


class LabelHeads(nn.Module):
    """Logits of several labels; the first one is the click.

    With one expert, all labels share the first hidden layer (shared bottom):
    ``z_l = MLP_l(σ(W x + b))``. With E experts, each label mixes their outputs by its gate
    (MMoE): ``z_l = MLP_l(Σ_e softmax(G_l x)_e σ(W_e x + b_e))``. The hidden layers after the first
    one belong to each label.

    Source: Caruana, Multitask Learning, 1997; Ma et al., Modeling Task Relationships in Multi-task
    Learning with Multi-gate Mixture-of-Experts, KDD 2018, equations 6 and 7.

    Args:
        input_dim: D, width of the input.
        hidden: widths of the hidden layers, at least one.
        labels: number of labels.
        experts: E.
        activation_name: σ.
        dropout: on the hidden units.

    Raises:
        ValueError: there is no hidden layer.

    Example:
        >>> import torch
        >>> from recops_models.layers.label_heads import LabelHeads
        >>> heads = LabelHeads(8, (16, 4), labels=3, experts=4, activation_name="relu")
        >>> heads.all_labels(torch.randn(5, 8)).shape, heads(torch.randn(5, 8)).shape
        (torch.Size([5, 3]), torch.Size([5, 1]))
    """

    def __init__(
        self,
        input_dim: int,
        hidden: Sequence[int],
        *,
        labels: int,
        experts: int = 1,
        activation_name: ActivationName = "dice",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if not hidden:
            raise ValueError("LabelHeads: hidden must name at least one layer")
        first, *others = hidden
        self.experts = nn.ModuleList(
            nn.Sequential(
                nn.Linear(input_dim, first), activation(activation_name, first), Dropout(dropout)
            )
            for _ in range(experts)
        )
        self.gates = nn.ModuleList(
            nn.Linear(input_dim, experts) for _ in range(labels if experts > 1 else 0)
        )
        self.towers = nn.ModuleList(
            MLP(first, others, 1, activation_name=activation_name, dropout=dropout)
            for _ in range(labels)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the click's logits ``[B, 1]`` of inputs ``[B, D]``."""
        return self._logits(x, 1)

    def all_labels(self, x: Tensor) -> Tensor:
        """Return the logits ``[B, labels]`` of inputs ``[B, D]``."""
        return self._logits(x, len(self.towers))

    def _logits(self, x: Tensor, labels: int) -> Tensor:
        outputs = torch.stack([expert(x) for expert in self.experts], 1)  # (B, E, hidden)
        columns = []
        for label in range(labels):
            if len(self.gates):
                weights = self.gates[label](x).softmax(-1)  # (B, E)
                mixed = torch.bmm(weights[:, None], outputs).squeeze(1)
            else:
                mixed = outputs[:, 0]
            columns.append(self.towers[label](mixed))
        return torch.cat(columns, -1)
