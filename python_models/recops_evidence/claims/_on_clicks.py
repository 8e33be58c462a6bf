"""Sizes, grid and margin of equivalence that the claims about click models share."""

from __future__ import annotations

from collections.abc import Mapping

from recops_evidence.harness.experiment import Setting

AS_GOOD = 0.003
"""Margin of AUC within which models count as equally good; seeds of one model differ as much."""

SIZES: Mapping[str, Setting] = {
    "batch": 512,
    "epochs": 3,
    "patience": 2,
    "warmup_epochs": 0.3,
    "max_len": 50,
    "hidden": "200,80",
    "attention_hidden": "80,40",
}
"""Sizes close to the papers'. Training examples are each user's last 40 events by time; all earlier
events are in histories."""

GRID: Mapping[str, tuple[Setting, ...]] = {
    "learning_rate": (1e-3, 3e-3, 1e-2, 3e-2),
    "dropout": (0.0, 0.3),
    "weight_decay": (0.0, 0.01),
}

ONCE: Mapping[str, Setting] = {"epochs": 1, "patience": 1}
"""One epoch on a million events: validation falls in a second epoch for every model, and a schedule
planned for two epochs has not decayed by the end of the first."""


def of_net(net: str, sizes: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return sizes as settings of one net of several, such as ``base.hidden``."""
    return {f"{net}.{name}": value for name, value in sizes.items()}
