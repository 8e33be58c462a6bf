"""Start of a click model from the weights of an earlier one with other vocabularies."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from recops_models.click.model import ClickScorer
from recops_models.data.vocabulary import Vocabulary
from recops_models.examples.features import FittedSchema
from recops_models.examples.lookup import PADDING, UNKNOWN
from recops_models.layers.pair_features import PairTable
from recops_models.layers.value_rows import HasValueRows


@torch.no_grad()
def inherit_weights(
    model: nn.Module,
    schema: FittedSchema,
    earlier: ClickScorer,
    *,
    without: Sequence[str] = (),
) -> None:
    """Copy the weights of an earlier model: known values keep their rows.

    A new value starts from the row of the unknown value. Buffers are copied too, such as the
    statistics of Dice.

    Args:
        model: a new model, of the class and sizes of ``earlier``.
        schema: its schema, an extension of that of ``earlier``.
        earlier: the trained model.
        without: prefixes of names that stay as they are in ``model``.

    Raises:
        ValueError: the models differ in more than their vocabularies.

    Example:
        >>> import torch
        >>> from recops_models.click.din import Din, DinConfig
        >>> from recops_models.click.inheriting import inherit_weights
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> schema, batch = tiny_click_data()
        >>> earlier = Din(schema, DinConfig(width=4)).eval()
        >>> model = Din(schema, DinConfig(width=4)).eval()
        >>> inherit_weights(model, schema, earlier)
        >>> torch.equal(model(batch), earlier(batch))
        True
    """

    def rows_of(feature: str) -> Tensor:
        return rows_in_earlier(schema, earlier.schema, feature)

    rows = _rows(model, earlier, rows_of)
    weights, old = model.state_dict(), earlier.state_dict()
    for name, value in weights.items():
        if name.startswith(tuple(without)) or rows.get(name, 0) is None:
            continue
        if name not in old:
            raise ValueError(f"train: the earlier model lacks {name}, so it cannot be continued")
        inherited = old[name].to(value.device)
        index = rows.get(name)
        if index is not None:
            index = index.to(value.device)
            inherited = torch.where(index[:, None] < 0, value, inherited[index.clamp(min=0)])
        elif inherited.shape != value.shape:
            raise ValueError(
                f"train: {name} must have the shape {list(inherited.shape)} of the earlier model, "
                f"got {list(value.shape)}"
            )
        value.copy_(inherited)


def rows_in_earlier(schema: FittedSchema, earlier: FittedSchema, feature: str) -> Tensor:
    """Return the row ``[V]`` i64 in ``earlier`` of each row of a feature's table.

    Args:
        schema: schema of the new model.
        earlier: schema of the earlier one.
        feature: name of a categorical feature of both.

    Example:
        >>> from recops_models.click.inheriting import rows_in_earlier
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> schema, _ = tiny_click_data()
        >>> rows_in_earlier(schema, schema, "item")[:4]
        tensor([0, 1, 2, 3])
    """
    keys, lookup = schema.lookup(feature).keys, earlier.lookup(feature)
    if schema.lookup(feature) is lookup:
        return torch.arange(lookup.cardinality)
    if not len(lookup.keys):
        rows = np.full(len(keys), UNKNOWN, dtype=np.int64)
    else:
        rows = lookup.rows(keys.ids if isinstance(keys, Vocabulary) else keys)
    return torch.cat([torch.tensor([PADDING, UNKNOWN]), torch.from_numpy(rows)])


def _rows(
    model: nn.Module, earlier: nn.Module, rows_of: Callable[[str], Tensor]
) -> dict[str, Tensor | None]:
    """Return the earlier row of each row of every table, by name; −1: none.

    None stands for a tensor that stays as it is.
    """
    others = dict(earlier.named_modules())
    rows: dict[str, Tensor | None] = {}
    for name, module in model.named_modules():
        prefix = f"{name}." if name else ""
        if isinstance(module, HasValueRows):
            for parameter, feature in module.value_rows().items():
                rows[prefix + parameter] = rows_of(feature)
        other = others.get(name)
        if isinstance(module, PairTable) and isinstance(other, PairTable):
            for table, index in enumerate(module.rows_in(other, rows_of)):
                rows[f"{prefix}tables.{table}.weight"] = index
                rows[f"{prefix}keys_{table}"] = None
    return rows
