"""What a reproduction found, as ``results.json`` holds it. It depends on seconds in one entry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recops_models.evidence.harness.finding import ArmFigures, Finding
from recops_models.versions import versions


def results(
    paper: str,
    findings: Sequence[Finding],
    *,
    command: str,
    quick: bool,
    seconds: float,
    skipped: Sequence[str],
) -> dict[str, Any]:
    """The content of ``results.json``.

    Args:
        paper: whose claims.
        findings: one for each claim and data set.
        command: that gives the same again.
        quick: whether this is a look rather than a figure.
        seconds: of all runs, over all sittings.
        skipped: what was not measured and why, a line each.
    """
    return {
        "paper": paper,
        "claims": [_claim(finding) for finding in findings],
        "tables": {
            "arms": _arms(findings),
            "differences": [_difference(finding) for finding in findings],
            "quick": quick,
            "skipped": list(skipped),
            "versions": versions(),
        },
        "command": command,
        "seconds": round(seconds, 1),
    }


def _claim(finding: Finding) -> dict[str, Any]:
    claim = finding.claim
    return {
        "id": claim.id,
        "text": claim.text,
        "source": claim.source,
        "reported": claim.reported,
        "measured": finding.measured,
        "interval": list(finding.interval),
        "seeds": len(finding.differences),
        "data": finding.data,
        "verdict": finding.verdict,
    }


def _difference(finding: Finding) -> dict[str, Any]:
    claim = finding.claim
    told = {
        "id": claim.id,
        "data": finding.data,
        "metric": claim.metric,
        "direction": claim.direction,
        "minimum": claim.threshold,
        "arms": [side.arm.name for side in finding.arms[:2]],
        "per_seed": list(finding.differences),
        "users_interval": None if finding.users is None else list(finding.users),
    }
    if finding.gap_closed is None:
        return told
    share, interval = finding.gap_closed
    gap = {"to": claim.ceiling, "closed": share, "interval": interval and list(interval)}
    return {**told, "gap": gap}


def _arms(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Every finding's arms; one that several share stands once, unless each claim chose it anew."""
    arms: dict[Any, dict[str, Any]] = {}
    for finding in findings:
        for side in finding.arms:
            claim = finding.claim
            chooser = claim.experiment if side.validation is None else claim.id
            arms.setdefault((finding.data, side.arm.name, side.best, chooser), _arm(finding, side))
    return list(arms.values())


def _arm(finding: Finding, side: ArmFigures) -> dict[str, Any]:
    """The figures of every test metric; ``std`` is that of a sample, over seeds."""
    columns = {
        name: [record.test[name] for record in side.records] for name in side.records[0].test
    }
    values = {
        name: defined
        for name, column in columns.items()
        if len(defined := [v for v in column if v is not None]) == len(column)
    }
    return {
        "id": finding.claim.id,
        "data": finding.data,
        "arm": side.arm.name,
        "model": side.arm.model,
        "trials": len(side.arm.trials()),
        "tuning_seeds": finding.claim.tuning_seeds,
        "settings": dict(side.best),
        "validation": {} if side.validation is None else {finding.claim.metric: side.validation},
        "test": {
            name: {"mean": float(np.mean(v)), "std": float(np.std(v, ddof=1)), "per_seed": v}
            for name, v in values.items()
        },
    }
