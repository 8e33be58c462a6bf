"""Counts of a set of the league."""

from __future__ import annotations

from recops_evidence.league.sets import LeagueSet
from recops_models.data import load, named_split
from recops_models.data.splits import leave_last_share


def describe(of_set: LeagueSet) -> dict[str, int | str]:
    """Return counts of the data and of its parts, and the origin of negatives."""
    dataset = load(of_set.data)
    is_clicks = of_set.kind == "clicks"
    split = leave_last_share(dataset) if is_clicks else named_split(dataset)[1]
    counts: dict[str, int | str] = {
        "users": len(dataset.interactions["user_id"].unique()),
        "items": dataset.items.num_rows,
        "events": dataset.interactions.num_rows,
        "train": split.train.num_rows,
        "validation": split.validation.num_rows,
        "test": split.test.num_rows,
        "context": split.context.num_rows,
        "test_users": len(split.test["user_id"].unique()),
    }
    if is_clicks:
        implicit = of_set.settings.get("feedback") == "implicit"
        counts["negatives"] = "one per event, by popularity" if implicit else "real"
    return counts
