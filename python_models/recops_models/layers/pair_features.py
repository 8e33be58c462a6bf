"""Baselines of co-action: products of embeddings, and a table of value pairs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from recops_models.examples.batch import Batch
from recops_models.examples.features import FittedSchema
from recops_models.examples.lookup import PADDING, UNKNOWN
from recops_models.layers.coaction import Pair, ids_of
from recops_models.layers.column_modules import ColumnModules
from recops_models.layers.embedding_bags import embedding_bags

_RADIX = 1 << 31


class PairProduct(nn.Module):
    """``[B, pairs · (width + 1)]``: e_induction ∘ Σ_t e_fed and its sum, of shared embeddings.

    Source: inner product of Qu et al., Product-based Neural Networks for User Response Prediction,
    ICDM 2016; the unsummed product is added.

    Example:
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> from recops_models.layers.coaction import Pair
        >>> from recops_models.layers.feature_embedding import FeatureEmbedding
        >>> from recops_models.layers.pair_features import PairProduct
        >>> schema, batch = tiny_click_data()
        >>> product = PairProduct(schema, [Pair("item", "history_item")], width=4)
        >>> columns = product(batch, FeatureEmbedding(schema, width=4).tables)
        >>> [column.shape for column in columns]
        [torch.Size([3, 4]), torch.Size([3, 1])]
    """

    def __init__(self, schema: FittedSchema, pairs: Sequence[Pair], width: int) -> None:
        super().__init__()
        self.pairs, self.width = list(pairs), width
        self.table_of = {
            name: schema.schema.table(name) for pair in pairs for name in (pair.induction, pair.fed)
        }

    def output_dim(self) -> int:
        """Return the total width of all pairs."""
        return len(self.pairs) * (self.width + 1)

    def forward(self, batch: Batch, tables: ColumnModules) -> list[Tensor]:
        """Return the columns of ``[B, output_dim]``.

        Args:
            batch: the examples.
            tables: tables of a :class:`~recops_models.layers.feature_embedding.FeatureEmbedding`.
        """
        outputs = []
        for pair in self.pairs:
            history, _ = ids_of(batch, pair.fed)
            target = tables[self.table_of[pair.induction]](batch.features[pair.induction])
            pooled = tables[self.table_of[pair.fed]](history).sum(1)  # padding is a row of zeros
            product = target * pooled
            outputs += [product, product.sum(-1, keepdim=True)]
        return outputs


class OwnPairProduct(nn.Module):
    """:class:`PairProduct` with separate tables, a baseline as close as possible to co-action.

    Args:
        schema: the features, fitted.
        pairs: the pairs of features.
        width: width of a row.
        std: standard deviation of initial rows; those of padding and of the unknown value start at
            0.

    Example:
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> from recops_models.layers.coaction import Pair
        >>> from recops_models.layers.pair_features import OwnPairProduct
        >>> schema, batch = tiny_click_data()
        >>> product = OwnPairProduct(schema, [Pair("item", "history_item")], width=4, std=0.1)
        >>> [column.shape for column in product(batch)]
        [torch.Size([3, 4]), torch.Size([3, 1])]
    """

    def __init__(self, schema: FittedSchema, pairs: Sequence[Pair], width: int, std: float) -> None:
        super().__init__()
        self.product = PairProduct(schema, pairs, width)
        names = [name for pair in pairs for name in (pair.induction, pair.fed)]
        sizes = {schema.schema.table(name): schema.cardinality(name) for name in names}
        self.tables = ColumnModules(
            {table: nn.Embedding(size, width, padding_idx=PADDING) for table, size in sizes.items()}
        )
        for table in self.tables.values():
            assert isinstance(table, nn.Embedding)
            nn.init.normal_(table.weight, std=std)
            with torch.no_grad():
                table.weight[[PADDING, UNKNOWN]] = 0

    def value_rows(self) -> dict[str, str]:
        """Return the name of each table's weights, and the feature that numbers its rows."""
        names = set(self.product.table_of.values())
        return {f"tables.{self.tables.key(name)}.weight": name for name in sorted(names)}

    def output_dim(self) -> int:
        """Return the total width of all pairs."""
        return self.product.output_dim()

    def forward(self, batch: Batch) -> list[Tensor]:
        """Return the columns of ``[B, output_dim]``."""
        columns: list[Tensor] = self.product(batch, self.tables)
        return columns


class PairTable(nn.Module):
    """``[B, width]`` per pair of features: Σ_t of an embedding per frequent pair of *values*.

    This is a Cartesian product with a frequency threshold: a pair of values with fewer than
    ``min_count`` occurrences in the training part has row 0, which stays zero.

    Args:
        pairs: the pairs of features.
        width: width of a row.
        keys: number of value pairs per table; :meth:`fit` finds them.

    Example:
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> from recops_models.layers.coaction import Pair
        >>> from recops_models.layers.pair_features import PairTable
        >>> _, batch = tiny_click_data()
        >>> table = PairTable.fit([Pair("item", "history_item")], 4, [batch], min_count=1)
        >>> table.tables[0].num_embeddings  # 3 pairs of values and padding
        4
        >>> [column.shape for column in table(batch)]
        [torch.Size([3, 4])]
    """

    def __init__(self, pairs: Sequence[Pair], width: int, keys: Sequence[int]) -> None:
        super().__init__()
        self.pairs, self.width = list(pairs), width
        self.tables = nn.ModuleList(nn.Embedding(count + 1, width, padding_idx=0) for count in keys)
        for p, (table, count) in enumerate(zip(self.tables, keys, strict=True)):
            assert isinstance(table, nn.Embedding)
            nn.init.normal_(table.weight[1:], std=0.01)
            self.register_buffer(f"keys_{p}", torch.zeros(count, dtype=torch.int64))

    @classmethod
    def fit(
        cls, pairs: Sequence[Pair], width: int, batches: Iterable[Batch], min_count: int
    ) -> PairTable:
        """Return a table of the value pairs that ``batches`` hold ``min_count`` times or more."""
        # Imported here, because loading a model does not count.
        import pyarrow as pa

        from recops_models.examples.key_counts import KeyCounts

        counters = [KeyCounts(capacity=sys.maxsize) for _ in pairs]
        for batch in batches:
            for pair, counts in zip(pairs, counters, strict=True):
                keys = _keys(batch, pair).flatten()
                counts.add(pa.array(np.asarray(keys[keys >= 0])))
        frequent = [torch.from_numpy(counts.lookup(min_count).keys.ids) for counts in counters]
        table = cls(pairs, width, [len(keys) for keys in frequent])
        for p, keys in enumerate(frequent):
            table.get_buffer(f"keys_{p}").copy_(keys)
        return table

    def output_dim(self) -> int:
        """Return the total width of all pairs."""
        return len(self.pairs) * self.width

    def rows_in(self, earlier: PairTable, rows_of: Callable[[str], Tensor]) -> list[Tensor]:
        """Return the row in ``earlier`` of each row of the tables; −1: a new pair of values.

        Args:
            earlier: a table of the same pairs, of another vocabulary.
            rows_of: returns the earlier row of each row of a feature's table.
        """
        from recops_models.training.device import to_host  # Loading a model needs no training code.

        indices = []
        for p, pair in enumerate(self.pairs):
            keys = to_host(self.get_buffer(f"keys_{p}"))
            old = to_host(earlier.get_buffer(f"keys_{p}"))
            induction, fed = (
                rows_of(pair.induction)[keys // _RADIX],
                rows_of(pair.fed)[keys % _RADIX],
            )
            before = induction * _RADIX + fed
            row = torch.searchsorted(old, before).clamp(max=max(len(old) - 1, 0))
            is_known = old[row] == before if len(old) else torch.zeros_like(before).bool()
            is_known &= (induction > UNKNOWN) & (fed > UNKNOWN)
            rows = torch.where(is_known, row + 1, -1)
            indices.append(torch.cat([torch.zeros(1, dtype=torch.int64), rows]))
        return indices

    def forward(self, batch: Batch) -> list[Tensor]:
        """Return the columns of ``[B, output_dim]``."""
        bags = []
        for p, (pair, table) in enumerate(zip(self.pairs, self.tables, strict=True)):
            assert isinstance(table, nn.Embedding)
            table_keys, keys = self.get_buffer(f"keys_{p}"), _keys(batch, pair)
            index = torch.searchsorted(table_keys, keys).clamp(max=max(len(table_keys) - 1, 0))
            is_known = (
                table_keys[index] == keys if len(table_keys) else torch.zeros_like(keys).bool()
            )
            rows = torch.where(is_known, index + 1, 0)
            bags.append((table, rows))
        return [embedding_bags(bags)]


def _keys(batch: Batch, pair: Pair) -> Tensor:
    """Return one integer key per pair of values, ``[B, T]``; −1 past the lengths."""
    history, lengths = ids_of(batch, pair.fed)
    keys = batch.features[pair.induction][:, None] * _RADIX + history
    if lengths is None:
        return keys
    return keys.where(torch.arange(keys.shape[1], device=keys.device) < lengths[:, None], -1)
