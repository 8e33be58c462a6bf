"""Settings of models that contain other nets."""

from __future__ import annotations

from collections.abc import Mapping

from recops_evidence.harness.experiment import Setting


def of_net(net: str, sizes: Mapping[str, Setting]) -> dict[str, Setting]:
    """Return sizes as settings of one net of several, such as ``base.hidden``."""
    return {f"{net}.{name}": value for name, value in sizes.items()}
