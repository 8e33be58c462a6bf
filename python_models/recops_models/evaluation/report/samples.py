"""Section with sample users: history, recommendations of each model, and held-out item."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from recops_models.evaluation.drawing.markup import when
from recops_models.evaluation.report.content import UserSample
from recops_models.evaluation.report.verdict import capitalised


def samples_text(model: str, users: Sequence[UserSample]) -> str:
    """Return the text on the selection of the users and on their lists."""
    hit = sum(user.hits[model] is not None for user in users)
    return escape(
        f"Random users: {hit} with a hit of {model}, and {len(users) - hit} without. Each list is "
        "the top 10 of a model, without the items in the user's history; a check mark shows the "
        "held-out item."
    )


def samples(users: Sequence[UserSample]) -> str:
    """Return one block per user: the history, then one list per model."""
    return "\n".join(_sample(user) for user in users)


def _sample(user: UserSample) -> str:
    past = "".join(f"<li>{escape(title)}</li>" for title in user.history)
    lists = [f'<div><h3>History, latest last</h3><ol class="past">{past}</ol></div>']
    for model, titles in user.recommended.items():
        items = "".join(
            f"<li{when('hit', rank == user.hits[model])}>{escape(title)}</li>"
            for rank, title in enumerate(titles)
        )
        lists.append(f"<div><h3>{escape(capitalised(model))}</h3><ol>{items}</ol></div>")
    return (
        f'<article class="user"><p>User {escape(str(user.user_id))}, '
        f"{user.num_interactions:,} interactions; held-out item: "
        f"<strong>{escape(user.target)}</strong></p>"
        f'<div class="lists">{"".join(lists)}</div></article>'
    )
