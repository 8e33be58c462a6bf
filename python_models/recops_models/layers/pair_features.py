"""What co-action is compared with: products of embeddings, and a table of pairs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

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
    """``[B, pairs · (width + 1)]``: e_induction ∘ Σ_t e_fed, and its sum, of given embeddings.

    Source: the inner product of Qu et al., "Product-based neural networks for user response
    prediction", ICDM 2016, with the product before it is summed beside it.
    """

    def __init__(self, schema: FittedSchema, pairs: Sequence[Pair], width: int) -> None:
        super().__init__()
        self.pairs, self.width = list(pairs), width
        self._table = {
            name: schema.schema.table(name) for pair in pairs for name in (pair.induction, pair.fed)
        }

    def output_dim(self) -> int:
        """The width of the result."""
        return len(self.pairs) * (self.width + 1)

    def forward(self, batch: Batch, tables: ColumnModules) -> list[Tensor]:
        """The columns of ``[B, output_dim]``, from the tables of a :class:`FeatureEmbedding`."""
        outputs = []
        for pair in self.pairs:
            history, _ = ids_of(batch, pair.fed)
            target = tables[self._table[pair.induction]](batch.features[pair.induction])
            pooled = tables[self._table[pair.fed]](history).sum(1)  # padding is a row of zeros
            product = target * pooled
            outputs += [product, product.sum(-1, keepdim=True)]
        return outputs


class OwnPairProduct(nn.Module):
    """:class:`PairProduct` of tables of its own, so that it is co-action's equal in all but form.

    Args:
        schema: the features, fitted.
        pairs: which.
        width: of a row.
        std: of the normal law that rows begin from, but for those of padding and of the unknown.
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

    def output_dim(self) -> int:
        """The width of the result."""
        return self.product.output_dim()

    def forward(self, batch: Batch) -> list[Tensor]:
        """The columns of ``[B, output_dim]``."""
        columns: list[Tensor] = self.product(batch, self.tables)
        return columns


class PairTable(nn.Module):
    """``[B, width]`` a pair of features: Σ_t of an embedding for each pair of *values*, met often.

    The Cartesian product with a frequency cut-off: a pair of values that the training part holds
    fewer than ``min_count`` times has row 0, which stays zero.

    Args:
        pairs: which.
        width: of a row.
        keys: how many pairs of values each table knows; :meth:`fit` learns which they are.
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
        """A table of the pairs of values that ``batches`` hold at least ``min_count`` times."""
        # Here, since whoever loads a model counts nothing.
        import pyarrow as pa

        from recops_models.examples.fit_schema import KeyCounts

        met = [KeyCounts(capacity=sys.maxsize) for _ in pairs]
        for batch in batches:
            for pair, counts in zip(pairs, met, strict=True):
                keys = _keys(batch, pair).flatten()
                counts.add(pa.array(keys[keys >= 0].numpy()))
        kept = [torch.from_numpy(counts.lookup(min_count).keys.ids) for counts in met]
        table = cls(pairs, width, [len(keys) for keys in kept])
        for p, keys in enumerate(kept):
            table.get_buffer(f"keys_{p}").copy_(keys)
        return table

    def output_dim(self) -> int:
        """The width of the result."""
        return len(self.pairs) * self.width

    def forward(self, batch: Batch) -> list[Tensor]:
        """The columns of ``[B, output_dim]``."""
        bags = []
        for p, (pair, table) in enumerate(zip(self.pairs, self.tables, strict=True)):
            assert isinstance(table, nn.Embedding)
            known, wanted = self.get_buffer(f"keys_{p}"), _keys(batch, pair)
            place = torch.searchsorted(known, wanted).clamp(max=max(len(known) - 1, 0))
            there = known[place] == wanted if len(known) else torch.zeros_like(wanted).bool()
            rows = torch.where(there, place + 1, 0)
            bags.append((table, rows))
        return [embedding_bags(bags)]


def _keys(batch: Batch, pair: Pair) -> Tensor:
    """One number a pair of values, ``[B, T]``; −1 past the lengths."""
    history, lengths = ids_of(batch, pair.fed)
    keys = batch.features[pair.induction][:, None] * _RADIX + history
    if lengths is None:
        return keys
    return keys.where(torch.arange(keys.shape[1], device=keys.device) < lengths[:, None], -1)
