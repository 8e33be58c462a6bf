"""Head that turns feature fields into logits: SENet, then MaskNet."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recops_models.layers.dropout import Dropout


class SENet(nn.Module):
    """Squeeze and excitation: field f is scaled by ``a_f``, ``a = σ(W2 relu(W1 means))``.

    The means are those of each field. Source: FiBiNET (Huang et al. 2019); UniRec gives no
    reduction, 3 is inferred.

    Args:
        field_widths: the width of each field of the concatenated input, in order.
        reduction: F fields have a hidden layer of width F / reduction, at least 1.

    Example:
        >>> import torch
        >>> from recops_models.layers.rank_head import SENet
        >>> SENet(field_widths=[4, 2, 2])(torch.randn(3, 8)).shape
        torch.Size([3, 8])
    """

    def __init__(self, field_widths: list[int], reduction: int = 3) -> None:
        super().__init__()
        fields = len(field_widths)
        hidden = max(1, fields // reduction)
        self.excite = nn.Sequential(
            nn.Linear(fields, hidden), nn.ReLU(), nn.Linear(hidden, fields), nn.Sigmoid()
        )
        member = torch.eye(fields).repeat_interleave(
            torch.tensor(field_widths), dim=1
        )  # (F, width)
        self.register_buffer("member", member, persistent=False)
        self.member: Tensor

    def forward(self, x: Tensor) -> Tensor:
        squeezed = F.linear(x, self.member / self.member.sum(1, keepdim=True))  # (..., F)
        out: Tensor = x * (self.excite(squeezed) @ self.member)
        return out  # (..., width)


class MaskBlock(nn.Module):
    """MaskNet's ``relu(LN(W3 (LN(x) ⊙ W_b relu(W_a x))))`` (Wang et al. 2021).

    Example:
        >>> import torch
        >>> from recops_models.layers.rank_head import MaskBlock
        >>> MaskBlock(width=8, hidden=4, output=6)(torch.randn(3, 8)).shape
        torch.Size([3, 6])
    """

    def __init__(self, width: int, hidden: int, output: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.mask = nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, width))
        self.project = nn.Sequential(nn.Linear(width, output), nn.LayerNorm(output), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.project(self.norm(x) * self.mask(x))
        return out


class RankHead(nn.Module):
    """Logits of one decoding step: ``[q ⊕ e_prefix ⊕ c ⊕ h_agg]`` → SENet → MaskNet → linear.

    Args:
        field_widths: widths of the fields of :meth:`forward`, in order.
        hidden: width of the mask's bottleneck and of the block's output.
        vocab_size: V_t.
        dropout: on the input of the linear layer.

    Example:
        >>> import torch
        >>> from recops_models.layers.rank_head import RankHead
        >>> head = RankHead(field_widths=[4, 2], hidden=8, vocab_size=10)
        >>> head([torch.randn(3, 4), torch.randn(3, 2)]).shape
        torch.Size([3, 10])
    """

    def __init__(
        self, field_widths: list[int], hidden: int, vocab_size: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.senet = SENet(field_widths)
        self.masknet = MaskBlock(sum(field_widths), hidden, hidden)
        self.dropout = Dropout(dropout)
        self.logits = nn.Linear(hidden, vocab_size)

    def forward(self, fields: list[Tensor]) -> Tensor:
        out: Tensor = self.logits(self.dropout(self.masknet(self.senet(torch.cat(fields, dim=-1)))))
        return out  # (..., V_t)
