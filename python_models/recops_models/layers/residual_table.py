"""Res-embedding: an item's row is a centre, summed over its neighbours, and a small residual.

Res-embedding for Deep Learning Based Click-Through Rate Prediction Modeling, DLP-KDD 2019, arXiv
1906.10304. Only its abstract was at hand: that a row is a central vector computed from an item
graph and a residual of small scale is confirmed; everything else here (weights, where rows begin,
how the residual decays) is the project's own choice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from recops.files import CorruptFileError, load_tensors, save_tensors
from recops_models.graphs.item_graph import ItemGraph
from recops_models.layers.decaying_rows import DecayingRows
from recops_models.layers.embedding_bags import ComposedTable
from recops_models.layers.neighbour_attention import NeighbourAttention
from recops_models.layers.neighbour_sums import Edges, Transposed, neighbour_sums

_KIND = "residual-table"

_GATHER = 10
"""A row costs so many times as much gathered as in a whole table: 2.0 ms for 1,000 rows of 16
numbers with 21 edges each, forward and backward, where all 3,708 take 0.56 (one thread, a shared
cloud machine)."""

_GATHER_ATTENDED = 1
"""Under attention, which both ways cost alike: 17 ms for 3,000 rows, 93 for all 12,000."""


@dataclass(frozen=True)
class ResidualConfig:
    """Of a :class:`ResidualTable`.

    Attributes:
        decay: λ ≥ 0 of the residuals, see
            :class:`~recops_models.layers.decaying_rows.DecayingRows`.
        residual_scale: residuals begin so many times as large as a plain row, in [0, 1]; they must
            begin small.
        residual: False: centres alone.
        attention: the width of an attention that weighs the edges; None: they keep the graph's
            weights.
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
    """``e_i = R_i + Σ_j w_ij C_j`` over the graph's neighbours of i, itself among them.

    Row 0, padding, has no edges and no residual: it is zero and stays so. Row 1, the unknown, is
    in nobody's neighbourhood (its items have nothing in common): it has its loop alone and begins
    at zero, as in a plain table.

    C begins as the plain table does, times ``√m_eff`` (see
    :meth:`~recops_models.graphs.item_graph.ItemGraph.effective_neighbours`), so that centres are
    about as large as plain rows would be; R at ``residual_scale`` of that table's deviation.

    A step reads either the rows of its batch, each once however often it stands there, or, where
    they are more than a tenth of all (and no attention makes a row dear), the whole table:
    :meth:`reading` chooses by cost, and by what the optimizer can take: sparse gradients come from
    gathered rows alone. Either way a row has the same bits; under attention, whose products of
    matrices round as their shapes have it, evaluation reads the whole table always, as :meth:`fold`
    does.

    Args:
        table: the plain table whose place it takes.
        graph: of as many items.
        config: how.

    Raises:
        ValueError: the graph has other items than the table, or edges of padding.
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
                f"ResidualTable: graph must have {rows} items, those of the table, got {len(graph)}"
            )
        if graph.offsets[1]:
            raise ValueError("ResidualTable: graph must have no edges of item 0, padding")
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
        self._take(graph)
        self._open: tuple[Tensor, Tensor | None] | None = None

    def _take(self, graph: ItemGraph) -> None:
        weight = self.centre.weight
        self.offsets = torch.from_numpy(graph.offsets.astype(np.int64)).to(weight.device)
        self.neighbours = torch.from_numpy(graph.neighbours.astype(np.int64)).to(weight.device)
        self.weights = torch.from_numpy(graph.weights).to(weight)
        (self.in_offsets, self.in_neighbours), self.in_order = Transposed.of(
            self._edges, len(graph)
        )

    @property
    def _edges(self) -> Edges:
        return Edges(self.offsets, self.neighbours)

    @contextmanager
    def reading(self, ids: Sequence[Tensor]) -> Iterator[None]:
        """Within, the rows of these ids (row 0 among them) are made once, and no others are there.

        In training, residuals that are about to be read do the decay that is due.
        """
        rows = self._rows(ids)
        if self.residual is not None and self.training:
            self.residual.touch(rows)
        places = None
        if rows is not None:
            places = torch.zeros(len(self.offsets) - 1, dtype=torch.int64, device=rows.device)
            places[rows] = torch.arange(len(rows), device=rows.device)
        self._open = self.compose(rows), places
        try:
            yield
        finally:
            self._open = None

    def read(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`ComposedTable.read`; outside of :meth:`reading`, of the whole table."""
        rows, places = self._open or (self.compose(), None)
        return rows, ids if places is None else places[ids]

    def compose(self, rows: Tensor | None = None) -> Tensor:
        """``[u, d]``: the rows ``[u]`` i64, each once; None: all. O(edges of these · d)."""
        centres = self.centres(rows)
        if self.residual is None:
            return centres
        return centres + (self.residual.weight if rows is None else self.residual(rows))

    def centres(self, rows: Tensor | None = None) -> Tensor:
        """``[u, d]``: ``Σ_j w_ij C_j`` alone."""
        vectors = self.centre.weight
        if rows is None:
            weights = self._edge_weights(self._edges)
            if self.centre.sparse:
                return neighbour_sums(self._edges, weights, vectors, sparse=True)
            by_column = Transposed(Edges(self.in_offsets, self.in_neighbours), self.in_order)
            return neighbour_sums(self._edges, weights, vectors, transposed=by_column)
        some, edges = self._edges.rows(rows)
        weights = self.weights[edges] if self.attention is None else self._edge_weights(some, rows)
        return neighbour_sums(some, weights, vectors, sparse=self.centre.sparse)

    def fold(self) -> nn.Embedding:
        """The plain table with these rows, for serving: look-ups in it have the same bits."""
        with torch.no_grad():
            if self.residual is not None:
                self.residual.settle()
            rows = self.compose()
        table = nn.Embedding(len(rows), self.embedding_dim, padding_idx=0)
        table.weight = nn.Parameter(rows)
        return table.train(self.training)

    @torch.no_grad()
    def refresh(self, graph: ItemGraph) -> None:
        """Take another graph of the same items without a jump: ``R ← R + (W − W') C``.

        Each row stays as it is up to one rounding of what it is summed of, |e' − e| ≤ 2⁻²³
        (|e| + |R'| + |Σ w'_ij C_j|) in float32; then the difference decays as every residual does.
        Moments of optimizers stay.

        Raises:
            ValueError: a graph of other items, edges of padding, or no residuals to take the
                difference.
        """
        if self.residual is None:
            raise ValueError("ResidualTable.refresh: without residuals, rows would jump")
        if len(graph) != len(self.offsets) - 1 or graph.offsets[1]:
            raise ValueError(
                f"ResidualTable.refresh: graph must have {len(self.offsets) - 1} items and no "
                f"edges of item 0, got {len(graph)} items"
            )
        self.residual.settle()
        before = self.compose()
        self._take(graph)
        self.residual.weight.copy_(before - self.centres())

    @torch.no_grad()
    def cold_rows(self, graph: ItemGraph) -> Tensor:
        """``[n, d]``: where n new items begin: at the centre of what they were first met with.

        Args:
            graph: of each new item, counted from 0, its neighbours among the known ones: rows of
                this table, with weights that sum to 1. An item without any begins as the unknown.

        Raises:
            IndexError: a neighbour that is no row.
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
        """Write centres, residuals and graph, which :meth:`load` and a later refresh need."""
        if self.residual is not None:
            self.residual.settle()
        save_tensors(path, self.state_dict(), kind=_KIND, meta=vars(self.config))

    @classmethod
    def load(cls, path: Path) -> ResidualTable:
        """What :meth:`save` wrote.

        Raises:
            CorruptFileError: the file is damaged, or no such table.
            FileNotFoundError: no such file.
        """
        state, meta = load_tensors(path, kind=_KIND)
        try:
            config = ResidualConfig(**meta)
            graph = ItemGraph(
                *(state[name].numpy() for name in ("offsets", "neighbours", "weights"))
            )
            table = cls(nn.Embedding(*state["centre.weight"].shape), graph, config)
            table.load_state_dict(state)
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CorruptFileError(f"{path}: holds no residual table ({error})") from error
        return table.eval()

    def _rows(self, ids: Sequence[Tensor]) -> Tensor | None:
        """The rows to gather, ascending, row 0 the first; None: read the whole table."""
        if self.attention is not None and not self.training:
            return None
        rows = len(self.offsets) - 1
        met = torch.zeros(rows, dtype=torch.bool, device=self.offsets.device)
        met[0] = True
        for some in ids:
            met[some] = True
        found = met.nonzero()[:, 0]
        learns_sparsely = self.centre.sparse and self.training
        cost = _GATHER if self.attention is None else _GATHER_ATTENDED
        return found if learns_sparsely or len(found) * cost < rows else None

    def _edge_weights(self, edges: Edges, rows: Tensor | None = None) -> Tensor:
        """``[E]``: by attention, else the graph's."""
        if self.attention is None:
            return self.weights
        weights: Tensor = self.attention(self.centre.weight, edges, rows)
        return weights
