"""Res-embedding: an item's row is a centre, summed over graph neighbours, plus a small residual.

Res-embedding for Deep Learning Based Click-Through Rate Prediction Modeling, DLP-KDD 2019, arXiv
1906.10304. Only the abstract was read. Confirmed: a row is a central vector computed from an item
graph plus a residual of small scale. The weights, the initial values and the decay of residuals are
the project's own choices.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from recops._host import is_on_host
from recops.files import CorruptFileError, load_tensors, save_tensors
from recops_models import workers
from recops_models.graphs.item_graph import ItemGraph
from recops_models.layers.decaying_rows import DecayingRows
from recops_models.layers.embedding_bags import ComposedTable
from recops_models.layers.neighbour_attention import NeighbourAttention
from recops_models.layers.neighbour_sums import Edges, Transposed, neighbour_sums

_KIND = "residual-table"

_GATHER = 10
"""Cost of a gathered row relative to a row of the full table."""

_GATHER_ATTENDED = 1
"""Relative cost of a gathered row with attention, whose cost per row is the same in both cases."""


@dataclass(frozen=True)
class ResidualConfig:
    """Settings of a :class:`ResidualTable`.

    Attributes:
        decay: λ ≥ 0 of the residuals, see
            :class:`~recops_models.layers.decaying_rows.DecayingRows`.
        residual_scale: standard deviation of initial residuals relative to that of a plain table,
            in [0, 1].
        residual: False: centres alone.
        attention: width of an attention that weights the edges; None: the graph's weights.

    Example:
        >>> from recops_models.layers.residual_table import ResidualConfig
        >>> ResidualConfig(residual_scale=2.0)
        Traceback (most recent call last):
            ...
        ValueError: ResidualConfig: residual_scale must lie within [0, 1], got 2.0
    """

    decay: float = 0.0
    residual_scale: float = 0.1
    residual: bool = True
    attention: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.residual_scale <= 1:
            raise ValueError(
                f"ResidualConfig: residual_scale must lie within [0, 1], got {self.residual_scale}"
            )


class ResidualTable(ComposedTable):
    """Item table ``e_i = R_i + Σ_j w_ij C_j`` over the graph's neighbours j of i, i included.

    Row 0, padding, has no edges and no residual, so it is always zero. Row 1, the unknown item, is
    no neighbour of other items; it starts at zero, as in a plain table.

    C starts as the plain table times ``√m_eff`` (see
    :meth:`~recops_models.graphs.item_graph.ItemGraph.effective_neighbours`), so that centres have
    about the magnitude of plain rows. R starts at ``residual_scale`` times that table's standard
    deviation.

    A step computes either the rows of its batch or the full table. :meth:`reading` chooses: sparse
    gradients need gathered rows, else the cheaper way is taken. Both give a row the same bits.
    Attention is an exception, since its matrix products round differently for other shapes; in
    evaluation it always computes the full table, as :meth:`fold` does.

    Args:
        table: the plain table that this one replaces.
        graph: with one item per row.
        config: settings.

    Raises:
        ValueError: the graph has another number of items than the table, or edges of padding.

    Example:
        >>> import numpy as np
        >>> import torch
        >>> from recops_models.graphs.item_graph import ItemGraph
        >>> from recops_models.layers.residual_table import ResidualConfig, ResidualTable
        >>> weights = np.array([1.0, 0.5, 0.5], dtype=np.float32)
        >>> graph = ItemGraph(np.array([0, 0, 1, 3]), np.array([1, 1, 2], dtype=np.int32), weights)
        >>> plain = torch.nn.Embedding(3, 4, padding_idx=0)  # padding, unknown, one item
        >>> table = ResidualTable(plain, graph, ResidualConfig())
        >>> table(torch.tensor([0, 2])).shape
        torch.Size([2, 4])
        >>> torch.equal(table.fold().weight, table.compose())  # for serving
        True
    """

    offsets: Tensor
    neighbours: Tensor
    weights: Tensor
    in_offsets: Tensor
    in_neighbours: Tensor
    in_order: Tensor

    def __init__(self, table: nn.Embedding, graph: ItemGraph, config: ResidualConfig) -> None:
        super().__init__()
        rows, width = table.weight.shape
        if len(graph) != rows:
            raise ValueError(
                f"ResidualTable: graph must have the table's {rows} items, got {len(graph)}"
            )
        if graph.offsets[1]:
            raise ValueError("ResidualTable: graph must have no edges of item 0 (padding)")
        self.embedding_dim, self.config = width, config
        plain = table.weight.detach()
        self.centre = nn.Embedding(rows, width)
        with torch.no_grad():
            self.centre.weight.copy_(plain * graph.effective_neighbours() ** 0.5)
        self.residual: DecayingRows | None = None
        if config.residual:
            self.residual = DecayingRows(rows, width, decay=config.decay)
            scale = config.residual_scale * float(plain[2:].std()) if rows > 2 else 0.0
            with torch.no_grad():
                self.residual.weight.normal_(0, 1).mul_(scale)[:2] = 0
        self.attention: NeighbourAttention | None = None
        if config.attention is not None:
            self.attention = NeighbourAttention(width, config.attention)
        for name in ("offsets", "neighbours", "weights"):
            self.register_buffer(name, None)
        for name in ("in_offsets", "in_neighbours", "in_order"):
            self.register_buffer(name, None, persistent=False)
        self._set_graph(graph)
        self._open: tuple[Tensor, Tensor | None] | None = None

    def _set_graph(self, graph: ItemGraph) -> None:
        weight = self.centre.weight
        self._longest = int(np.diff(graph.offsets).max(initial=0))
        self.offsets = torch.from_numpy(graph.offsets.astype(np.int64)).to(weight.device)
        self.neighbours = torch.from_numpy(graph.neighbours.astype(np.int64)).to(weight.device)
        self.weights = torch.from_numpy(graph.weights).to(weight)
        by_column = Transposed.of(self._edges, len(graph))
        self.in_offsets, self.in_neighbours, _ = by_column.edges
        self.in_order = by_column.order

    @property
    def _edges(self) -> Edges:
        return Edges(self.offsets, self.neighbours, self._longest)

    @contextmanager
    def reading(self, ids: Sequence[Tensor]) -> Iterator[None]:
        """Compute the rows of these ids and row 0 once; inside the block, only these can be read.

        In training, pending decay of the residuals that are read is applied.
        """
        rows = self._rows(ids)
        if self.residual is not None and self.training:
            self.residual.touch(rows)
        index = None
        if rows is not None:
            index = torch.zeros(len(self.offsets) - 1, dtype=torch.int64, device=rows.device)
            index[rows] = torch.arange(len(rows), device=rows.device)
        self._open = self.compose(rows), index
        try:
            yield
        finally:
            self._open = None

    def read(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`ComposedTable.read`; outside :meth:`reading`, it computes the full table."""
        rows, index = self._open or (self.compose(), None)
        return rows, ids if index is None else index[ids]

    def compose(self, rows: Tensor | None = None) -> Tensor:
        """Return ``[u, d]`` for distinct rows ``[u]`` i64, or for all. O(edges of the rows · d)."""
        centres = self.centres(rows)
        if self.residual is None:
            return centres
        return centres + (self.residual.weight if rows is None else self.residual(rows))

    def centres(self, rows: Tensor | None = None) -> Tensor:
        """Return ``Σ_j w_ij C_j`` alone, ``[u, d]``."""
        vectors = self.centre.weight
        if rows is None:
            weights = self._edge_weights(self._edges)
            if self.centre.sparse:
                return neighbour_sums(self._edges, weights, vectors, sparse=True)
            by_column = Transposed(Edges(self.in_offsets, self.in_neighbours), self.in_order)
            return neighbour_sums(self._edges, weights, vectors, transposed=by_column)
        row_edges, edges = self._edges.rows(rows)
        if self.attention is None:
            weights = self.weights[edges]
        else:
            weights = self._edge_weights(row_edges, rows)
        return neighbour_sums(row_edges, weights, vectors, sparse=self.centre.sparse)

    def fold(self) -> nn.Embedding:
        """Return the plain table with these rows, for serving; lookups have the same bits."""
        with torch.no_grad():
            if self.residual is not None:
                self.residual.settle()
            rows = self.compose()
        table = nn.Embedding(len(rows), self.embedding_dim, padding_idx=0)
        table.weight = nn.Parameter(rows)
        return table.train(self.training)

    @torch.no_grad()
    def refresh(self, graph: ItemGraph) -> None:
        """Replace the graph without changing any row: ``R ← R + (W − W') C``.

        A row changes at most by one rounding of its terms: |e' − e| ≤ 2⁻²³ (|e| + |R'| + |Σ w'_ij
        C_j|) in float32. The difference then decays as all residuals do. Moments of optimizers are
        unchanged.

        Raises:
            ValueError: a graph of other items, edges of padding, or a table without residuals.
        """
        if self.residual is None:
            raise ValueError("ResidualTable.refresh: the table must have residuals, got none")
        if len(graph) != len(self.offsets) - 1 or graph.offsets[1]:
            raise ValueError(
                f"ResidualTable.refresh: graph must have {len(self.offsets) - 1} items and no "
                f"edges of item 0, got {len(graph)} items"
            )
        self.residual.settle()
        before = self.compose()
        self._set_graph(graph)
        self.residual.weight.copy_(before - self.centres())

    @torch.no_grad()
    def start_from(self, plain: Tensor, earlier: ResidualTable | None, rows: Tensor) -> None:
        """Start from the rows of an earlier training.

        Args:
            plain: ``[V, d]``, the composed rows of the earlier training.
            earlier: its table; None: the centres are those of a plain table ``plain``.
            rows: ``[V]`` i64, the row in ``earlier`` of each row of this table.
        """
        if earlier is None:
            degree = self._edges.offsets.diff().clamp(min=1)[:, None]
            self.centre.weight.copy_(plain * degree**0.5)
        else:
            self.centre.weight.copy_(earlier.centre.weight[rows])
            if self.attention is not None and earlier.attention is not None:
                self.attention.load_state_dict(earlier.attention.state_dict())
        if self.residual is not None:
            self.residual.settle()
            self.residual.weight.copy_(plain.to(self.centre.weight) - self.centres())

    @torch.no_grad()
    def cold_rows(self, graph: ItemGraph) -> Tensor:
        """Return initial rows ``[n, d]`` of n new items, the centres of their first neighbours.

        Args:
            graph: for each new item, its neighbours among the rows of this table, with weights that
                sum to 1. An item without neighbours gets the row of the unknown item.

        Raises:
            IndexError: a neighbour is not a row of this table.
        """
        neighbours = torch.from_numpy(graph.neighbours.astype(np.int64))
        if (
            len(neighbours)
            and not 0 <= int(neighbours.min()) <= int(neighbours.max()) < len(self.offsets) - 1
        ):
            raise IndexError(
                f"ResidualTable.cold_rows: neighbours must lie in [0, {len(self.offsets) - 1})"
            )
        weight = self.centre.weight
        offsets = torch.from_numpy(graph.offsets.astype(np.int64)).to(weight.device)
        weights = torch.from_numpy(graph.weights).to(weight)
        edges = Edges(offsets, neighbours.to(weight.device))
        centres = neighbour_sums(edges, weights, self.centres())
        unknown = self.compose(torch.ones(1, dtype=torch.int64, device=weight.device))
        return torch.where(offsets.diff()[:, None] == 0, unknown, centres)

    def save(self, path: Path) -> None:
        """Write centres, residuals and graph to a file, for :meth:`load` and a later refresh."""
        if self.residual is not None:
            self.residual.settle()
        save_tensors(path, self.state_dict(), kind=_KIND, meta=vars(self.config))

    @classmethod
    def load(cls, path: Path) -> ResidualTable:
        """Return the table that :meth:`save` wrote.

        Raises:
            CorruptFileError: the file is damaged, or holds no such table.
            FileNotFoundError: no such file.
        """
        state, meta = load_tensors(path, kind=_KIND)
        try:
            config = ResidualConfig(**meta)
            names = ("offsets", "neighbours", "weights")
            graph = ItemGraph(*(np.asarray(state[name]) for name in names))
            table = cls(nn.Embedding(*state["centre.weight"].shape), graph, config)
            table.load_state_dict(state)
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CorruptFileError(f"{path}: holds no residual table ({error})") from error
        return table.eval()

    def _rows(self, ids: Sequence[Tensor]) -> Tensor | None:
        """Return the rows to gather, ascending from row 0; None: compute the full table.

        In training, they are those that any of several workers reads.
        """
        if self.attention is not None and not self.training:
            return None
        has_sparse_gradient = self.centre.sparse and self.training
        if not (has_sparse_gradient or is_on_host(self.offsets)):
            return None  # The number of rows would be read from the device.
        rows = len(self.offsets) - 1
        is_read = torch.zeros(rows, dtype=torch.bool, device=self.offsets.device)
        is_read[0] = True
        for column in ids:
            is_read[column] = True
        if workers.several() and self.training:  # Pending decay must be the same everywhere.
            is_read = workers.total(is_read.int()) > 0
        rows_read = is_read.nonzero()[:, 0]
        cost = _GATHER if self.attention is None else _GATHER_ATTENDED
        return rows_read if has_sparse_gradient or len(rows_read) * cost < rows else None

    def _edge_weights(self, edges: Edges, rows: Tensor | None = None) -> Tensor:
        """Return the weights ``[E]``, by attention or from the graph."""
        if self.attention is None:
            return self.weights
        weights: Tensor = self.attention(self.centre.weight, edges, rows)
        return weights
