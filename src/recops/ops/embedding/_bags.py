"""Checks of bags, which the ops of embedding tables share."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from recops._checks import FLOATS, INDICES, check_integer, check_list, check_tensor, check_tuple


def check_bags(
    op: str, bags: Iterable[tuple[Tensor, Tensor]], padding_idx: int | None
) -> tuple[list[Tensor], list[Tensor], list[int]]:
    """Return the distinct tables in order of first use, the ids and the table of each feature.

    Args:
        op: name of the function, for error messages.
        bags: ``(weight, ids)`` of each feature.
        padding_idx: a row of every table, or None.

    Raises:
        TypeError: a tensor has an unsupported dtype.
        ValueError: there are no bags, shapes do not match, or padding_idx is out of range.
    """
    weights: list[Tensor] = []
    ids: list[Tensor] = []
    table_of_weight: dict[Tensor, int] = {}
    tables: list[int] = []
    for f, bag in enumerate(check_list(op, "bags", bags)):
        weight, feature_ids = check_tuple(op, f"bags[{f}]", bag, ("weight", "ids"))
        table = table_of_weight.get(weight)
        if table is None:
            table = table_of_weight[weight] = len(weights)
            weights.append(weight)
            _check_weight(op, f"bags[{f}]: weight", weight, weights[0], padding_idx)
        name, device = f"bags[{f}]: ids", weight.device
        check_tensor(op, name, feature_ids, ndim=(1, 2), dtypes=INDICES, device=device)
        ids.append(feature_ids)
        tables.append(table)
        if feature_ids.shape[0] != ids[0].shape[0]:
            raise ValueError(
                f"{op}: bags[{f}]: ids must have {ids[0].shape[0]} rows as the first have, "
                f"got {feature_ids.shape[0]}"
            )
    if not ids:
        raise ValueError(f"{op}: bags must hold at least one feature, got none")
    return weights, ids, tables


def _check_weight(
    op: str, name: str, weight: Tensor, first: Tensor, padding_idx: int | None
) -> None:
    check_tensor(op, name, weight, ndim=2, dtypes=FLOATS)
    if weight.dtype != first.dtype or weight.device != first.device:
        raise TypeError(
            f"{op}: {name} must be of the first's dtype and device, {first.dtype} on "
            f"{first.device}, got {weight.dtype} on {weight.device}"
        )
    if padding_idx is not None:
        check_integer(op, "padding_idx", padding_idx, most=weight.shape[0] - 1)
