"""Warnings about data sets on which a floor (a baseline without a model) beats every arm."""

from __future__ import annotations

from collections.abc import Iterator

from recops_evidence.harness.page.text import number, scope_text
from recops_evidence.harness.results import Results, ResultTables
from recops_models.training.curve import LOWER_IS_BETTER


def lost_to_floors(content: Results) -> Iterator[str]:
    """Yield one line per data set and claimed metric in which the best floor beats the best arm."""
    tables = content["tables"]
    for data, label, metric in _claimed_metrics(tables):
        floors = [
            (value, floor["name"])
            for floor in tables.get("floors", [])
            if (floor["data"], floor["label"]) == (data, label)
            and (value := floor["test"].get(metric)) is not None
        ]
        arms = [
            (means[metric], arm["arm"])
            for arm in tables["arms"]
            if (arm["data"], arm.get("label", "")) == (data, label)
            and metric in (means := tables["measured"][arm["measured"]]["mean"])
        ]
        if not floors or not arms:
            continue
        lower = metric in LOWER_IS_BETTER
        best = min if lower else max
        floor_value, floor_name = best(floors, key=lambda pair: pair[0])
        arm_value, arm_name = best(arms)
        if floor_value <= arm_value if lower else floor_value >= arm_value:
            yield (
                f"**On {scope_text(data, label)} no arm beats the floors in {metric}**: the floor "
                f"{floor_name} has {number(floor_value)}, the best arm, {arm_name}, has "
                f"{number(arm_value)}. Verdicts on this data are no evidence about models."
            )


def _claimed_metrics(tables: ResultTables) -> dict[tuple[str, str, str], None]:
    """Return data, label and metric of every claim, without duplicates."""
    return dict.fromkeys(
        (arm["data"], arm.get("label", ""), difference["metric"])
        for difference in tables["differences"]
        for arm in tables["arms"]
        if arm["data"] == difference["data"] and arm["arm"] in difference["arms"]
    )
