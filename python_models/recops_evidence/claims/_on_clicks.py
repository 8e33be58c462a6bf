"""What the claims on click models share: sizes near the papers', what is tuned, what is a tie."""

from __future__ import annotations

from collections.abc import Mapping

from recops_evidence.harness.experiment import Setting

AS_GOOD = 0.003
"""Of AUC: differences that two seeds of one model have as well."""

SIZES: Mapping[str, Setting] = {
    "batch": 512,
    "epochs": 3,
    "patience": 2,
    "warmup_epochs": 0.3,
    "max_len": 50,
    "hidden": "200,80",
    "attention_hidden": "80,40",
}
"""The training part is each user's last 40 events by the clock, with all that came before them in
histories."""

GRID: Mapping[str, tuple[Setting, ...]] = {
    "learning_rate": (1e-3, 3e-3, 1e-2, 3e-2),
    "dropout": (0.0, 0.3),
    "weight_decay": (0.0, 0.01),
}

ONCE: Mapping[str, Setting] = {"epochs": 1, "patience": 1}
"""On a million events: in a second epoch validation only falls, whatever the model, and a schedule
that is planned for two has not come down by the end of the first."""


def of_net(net: str, sizes: Mapping[str, Setting]) -> dict[str, Setting]:
    """Sizes as settings of one net of several: ``base.hidden``."""
    return {f"{net}.{name}": value for name, value in sizes.items()}
