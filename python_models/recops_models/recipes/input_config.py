"""Which columns a generative model reads beside the events."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InputConfig:
    """What is known of items and users.

    Attributes:
        attributes: columns of the items that stand before the codes in a path, coarse to fine:
            ``category_l2,category_l3``; ``categories:1`` is the second value of a list;
            ``auto``: the column with the fewest values; ``auto:2``: two such columns, or the first
            two values of each list in the only one; empty: none.
        shuffle_attributes: deals the attributes to items at random: a control.
        user_fields: columns of the users beside the history, such as ``gender,age,occupation``.
    """

    attributes: tuple[str, ...] = ("auto",)
    shuffle_attributes: bool = False
    user_fields: tuple[str, ...] = ()
