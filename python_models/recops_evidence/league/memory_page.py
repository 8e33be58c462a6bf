"""Page of the memory question, from its ``results.json``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recops_evidence.league.memory_question import DATA, RIVAL, ROWS
from recops_evidence.league.page import table

_MEANING: Mapping[str, str] = {
    "item and user rates": "no history: smoothed rates of the item and of the user",
    "recent labels": "one number: the decayed mean of the user's last labels",
    "recent labels of the skill": "the same, among events with the candidate's skill",
    "item rate and recent labels": "the sum of these rates",
    "boosting on all rates": "the league's baseline `rates`",
    RIVAL: "attention to the last 50 events",
    "MIMN": "a memory of the last 200 events",
    "DIN + recent rates": "DIN that also reads recent rates",
    "MIMN, labels hidden": "a memory of items alone, without their labels",
    "DIN, labels hidden": "attention to items alone",
}
_METRICS = {
    "gauc": "GAUC",
    "auc": "AUC",
    "logloss": "logloss",
    "gauc_frozen": "GAUC, frozen",
    "auc_frozen": "AUC, frozen",
    "logloss_frozen": "logloss, frozen",
}
_GAINS = {"gauc": "GAUC − DIN", "gauc_frozen": "GAUC, frozen − DIN"}


def memory_page(content: Mapping[str, Any]) -> str:
    """Return the page in Markdown.

    Args:
        content: content of ``results.json`` with all rows of the question.

    Raises:
        ValueError: a row is missing.
    """
    rows = {row["row"]: row for row in content["rows"]}
    if missing := [row.name for row in ROWS if row.name not in rows]:
        raise ValueError(f"memory question: rows must be finished, missing {missing}")
    seeds = max(row["seeds"] for row in content["rows"])
    minutes = sum(sum(row["core_seconds"]) for row in content["rows"]) / 60
    cells = [
        [
            row.name,
            _MEANING[row.name],
            *(f"{rows[row.name]['test'][name]:.4f}" for name in _METRICS),
            *(_gain(rows[row.name], metric) for metric in _GAINS),
        ]
        for row in ROWS
    ]
    return "\n\n".join(
        [
            "# What a memory gains from recent labels",
            _answer(rows),
            table(["row", "what it reads", *_METRICS.values(), *_GAINS.values()], cells),
            _LEGEND,
            _use(rows),
            f"## Method\n\n{_method(content['share'], seeds, minutes)}",
        ]
    )


def _answer(rows: Mapping[str, Any]) -> str:
    """Return the decomposition of MIMN's lead in GAUC over DIN."""
    lead, hidden, simple, rival_hidden = (
        rows[name]["gain_over_din"]["gauc"]["mean"]
        for name in (
            "MIMN",
            "MIMN, labels hidden",
            "DIN + recent rates",
            "DIN, labels hidden",
        )
    )
    frozen = rows["MIMN"]["gain_over_din"]["gauc_frozen"]["mean"]
    return (
        f"On {DATA} MIMN − DIN is {_signed(lead)} in GAUC. With histories that end before the test "
        f"part the difference is {_signed(frozen)}. A DIN that also reads rates of recent labels "
        f"gains {_signed(simple)}. A memory that does not see labels differs from DIN by "
        f"{_signed(hidden)}, and from a DIN that does not see them either by "
        f"{_signed(hidden - rival_hidden)}. The memory reads 200 events, DIN 50."
    )


_LEGEND = """Brackets are 95 % intervals over users alone. *Frozen*: histories, states and rates end
before the user's test part."""
_USE = """## What it means for use

- **Compare a memory with rates of recent labels first.** They are a few counters per user.
- **A state must be updated during the test part to keep such a lead.** Compare the frozen columns:
  a nightly batch of states has those."""
_MOST = 0.5
"""Share of the lead from which most of it is kept."""


def _use(rows: Mapping[str, Any]) -> str:
    """Return the recommendations; the last one depends on the rows with hidden labels."""
    gains = [rows[name]["gain_over_din"] for name in ("MIMN", "MIMN, labels hidden")]
    lead, hidden = (gain["gauc"]["mean"] for gain in gains)
    frozen = gains[1]["gauc_frozen"]["mean"]
    share = max(0.0, hidden / lead) if lead > 0 else 0.0
    title = "The sequence of items is a signal too" if share >= _MOST else "Labels are the signal"
    return (
        f"{_USE}\n"
        f"- **{title}.** A memory that does not see labels keeps {share:.0%} of the lead, and "
        f"differs from DIN by {_signed(frozen)} with frozen histories. In a tutoring system the "
        "next exercises may depend on earlier answers, so items can reveal labels."
    )


def _method(share: float, seeds: int, minutes: float) -> str:
    users = "All users" if share == 1 else f"{share:.0%} of the users"
    return (
        f"{users} of {DATA}, every event of the training part, the split and metrics of "
        f"[the league](league.md), fixed settings, {seeds} seed{'s' if seeds > 1 else ''}. This is "
        f"exploratory: nothing is tuned. The runs took {minutes:.0f} core-minutes.\n\n"
        "```bash\n"
        f"python -m recops_evidence.league.memory_question --out runs/memory --share {share:g} "
        f"--seeds {seeds}\n"
        "```\n"
    )


def _gain(row: Mapping[str, Any], metric: str) -> str:
    gain = row["gain_over_din"].get(metric)
    if gain is None:
        return ""
    low, high = gain["users"]
    return f"{_signed(gain['mean'])} [{low:.4f}, {high:.4f}]"


def _signed(value: float) -> str:
    return f"{value:+.4f}"
