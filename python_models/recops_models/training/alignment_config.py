"""Settings of the training by rewards and preferences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recops_models.setting_checks import check_above_zero, check_at_least

Alignment = Literal["none", "rft", "dpo", "both"]


@dataclass(frozen=True)
class AlignmentConfig:
    """Settings of the alignment that follows next-token prediction, ``L = L_RFT + λ_DPO · L_DPO``.

    β and the ratio 20 : 3 of the two losses come from the paper (arXiv 2604.12234). It does not
    report λ and c; these and the horizon are ours.

    Attributes:
        align: ``"rft"``: rewards; ``"dpo"``: preferences, with unweighted next tokens; ``"both"``;
            ``"none"``: no alignment.
        align_epochs: maximum number of epochs; also at most those of next-token prediction.
        align_rate: learning rate, as a share of that of next-token prediction.
        reward_strength: λ: a target has the weight 1 + λÃ; λc is at most 1. With ``align=rft``, 0
            continues next-token prediction, the control of any gain.
        reward_clip: c: Ã is clipped to ±c.
        dpo_weight: λ_DPO.
        dpo_beta: β.
        dpo_grad_scope: parameters that receive the gradient of preferences: ``"last_head"``, the
            output head of the last token; ``"last_step"``, all that the last token's logits depend
            on.
        dpo_horizon: maximum distance in events between the two events of a pair; see
            :func:`~recops_models.generative.path_losses.preference_pairs`.

    Raises:
        ValueError: ``align_epochs`` or ``dpo_horizon`` below 1; ``reward_clip`` not above 0;
            another number negative or not finite.
    """

    align: Alignment = "none"
    align_epochs: int = 3
    align_rate: float = 0.1
    reward_strength: float = 0.4
    reward_clip: float = 2.0
    dpo_weight: float = 0.15
    dpo_beta: float = 0.1
    dpo_grad_scope: Literal["last_head", "last_step"] = "last_head"
    dpo_horizon: int = 10

    def __post_init__(self) -> None:
        check_at_least("alignment", self, align_epochs=1, dpo_horizon=1)
        check_at_least("alignment", self, align_rate=0, reward_strength=0, dpo_weight=0, dpo_beta=0)
        check_above_zero("alignment", self, "reward_clip")

    @property
    def strength(self) -> float:
        """λ; 0 without rewards."""
        return self.reward_strength if self.align in ("rft", "both") else 0.0

    @property
    def preferences(self) -> float:
        """λ_DPO; 0 without preferences."""
        return self.dpo_weight if self.align in ("dpo", "both") else 0.0
