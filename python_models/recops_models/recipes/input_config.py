"""Settings of the columns that a generative model reads in addition to the events."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InputConfig:
    """Columns of items and users.

    Attributes:
        attributes: item columns whose values precede the codes in a path, coarse to fine:
            ``category_l2,category_l3``. ``categories:1`` is the second value of a list.
            ``auto``: the column with the fewest values. ``auto:2``: two such columns, or the first
            two values of each list if there is only a column of lists. Empty: none.
        shuffle_attributes: whether attributes are assigned to items at random, as a control.
        user_fields: user columns in addition to the history, such as ``gender,age,occupation``.
    """

    attributes: tuple[str, ...] = ("auto",)
    shuffle_attributes: bool = False
    user_fields: tuple[str, ...] = ()
