"""A few users: what they had chosen, what each model recommended, what they chose next."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from recops_models.evaluation.drawing.markup import when
from recops_models.evaluation.report.content import UserSample
from recops_models.evaluation.report.verdict import capitalised


def samples_text(model: str, users: Sequence[UserSample]) -> str:
    """How the users were picked, and how to read their lists."""
    hit = sum(user.hits[model] is not None for user in users)
    return escape(
        f"Users drawn at random: {hit} of those for whom {model} hit, {len(users) - hit} of the "
        "others. Each list is a model's first ten, without what the user had chosen before; a mark "
        "shows the held-out item."
    )


def samples(users: Sequence[UserSample]) -> str:
    """One block a user: the past, then one list a model."""
    return "\n".join(_sample(user) for user in users)


def _sample(user: UserSample) -> str:
    past = "".join(f"<li>{escape(title)}</li>" for title in user.history)
    lists = [f'<div><h3>Before, latest last</h3><ol class="past">{past}</ol></div>']
    for model, titles in user.recommended.items():
        items = "".join(
            f"<li{when('hit', place == user.hits[model])}>{escape(title)}</li>"
            for place, title in enumerate(titles)
        )
        lists.append(f"<div><h3>{escape(capitalised(model))}</h3><ol>{items}</ol></div>")
    return (
        f'<article class="user"><p>User {escape(str(user.user_id))}, '
        f"{user.num_interactions:,} choices, then chose <strong>{escape(user.target)}</strong></p>"
        f'<div class="lists">{"".join(lists)}</div></article>'
    )
