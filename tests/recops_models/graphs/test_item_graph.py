"""Item graphs: weights, the random control, files, and new items."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from recops.files import CorruptFileError
from recops_models.graphs.cooccurrence import NeighbourCounts, cooccurrence_counts
from recops_models.graphs.item_graph import EdgeWeights, ItemGraph
from synthetic_histories import histories


def counts(items: int = 30, users: int = 60, seed: int = 0) -> NeighbourCounts:
    rng = np.random.default_rng(seed)
    rows = [
        rng.integers(2, items - 1, size=12) for _ in range(users)
    ]  # The last item has no events.
    return cooccurrence_counts(histories(rows), items, window=2)


def dense(graph: ItemGraph) -> np.ndarray:
    matrix = np.zeros((len(graph), int(graph.neighbours.max(initial=0)) + 1))
    matrix[graph.items, graph.neighbours] = graph.weights
    return matrix


@pytest.mark.parametrize("weights", ["average", "counts"])
def test_rows_sum_to_one(weights: EdgeWeights) -> None:
    graph = ItemGraph.of(counts(), neighbours=5, weights=weights, without=1)
    matrix = dense(graph)
    assert matrix[1:].sum(1) == pytest.approx(1, abs=1e-6)
    assert (np.diag(matrix)[1:] > 0).all()
    assert graph.offsets[1] == 0  # Padding has no edge.
    assert (matrix[:, 0] == 0).all()
    assert matrix[-1, -1] == 1  # An item without neighbours has only its self-loop.
    assert (np.diff(graph.offsets)[2:-1] == 6).all()


def test_average_weights_are_equal_and_count_weights_follow_counts() -> None:
    rows = [np.array([0, 1])] * 3 + [np.array([0, 2])]
    pairs = cooccurrence_counts(histories(rows), 3)
    assert dense(ItemGraph.of(pairs))[0] == pytest.approx([1 / 3] * 3)
    by_count = ItemGraph.of(pairs, weights="counts", self_weight=2)
    assert dense(by_count)[0] == pytest.approx([6 / 10, 3 / 10, 1 / 10])  # Self-loop: 2 · 3.
    assert dense(ItemGraph.of(pairs, neighbours=1))[0] == pytest.approx([1 / 2, 1 / 2, 0])


def test_gcn_is_symmetric_with_degrees_of_this_graph() -> None:
    graph = ItemGraph.of(counts(), neighbours=3, weights="gcn", without=1)
    matrix = dense(graph)
    assert np.array_equal(matrix, matrix.T)
    degree = np.diff(graph.offsets)
    item, other = graph.items, graph.neighbours
    assert graph.weights == pytest.approx(1 / np.sqrt(degree[item] * degree[other]))
    top = counts().top(3)
    assert {*zip(top.items.tolist(), top.neighbours.tolist(), strict=True)} <= {
        *zip(item.tolist(), other.tolist(), strict=True)
    }


def test_random_neighbours_are_drawn_per_item() -> None:
    graph = ItemGraph.of(counts(), neighbours=5, without=1)
    control = graph.at_random(0)
    assert np.array_equal(control.offsets, graph.offsets)
    assert np.array_equal(dense(control).sum(1), dense(graph).sum(1))
    assert (np.diag(dense(control))[1:] > 0).all()
    assert (dense(control)[:, 0] == 0).all()
    keys = control.items * 30 + control.neighbours
    assert (np.diff(keys) > 0).all()  # Each once, ascending.
    assert not np.array_equal(control.neighbours, graph.neighbours)
    assert np.array_equal(graph.at_random(0).neighbours, control.neighbours)
    assert not np.array_equal(graph.at_random(1).neighbours, control.neighbours)


def test_a_random_graph_needs_enough_items() -> None:
    offsets, nothing = np.array([0, 0, 2]), np.array([0, 1], dtype=np.int32)
    graph = ItemGraph(offsets, nothing, np.ones(2, dtype=np.float32))
    with pytest.raises(ValueError, match="more edges than there are items"):
        graph.at_random(0)


def test_effective_neighbours() -> None:
    graph = ItemGraph.of(counts(), neighbours=5, without=1)
    lone = 2  # The unknown item, and the item without events.
    mean = ((30 - 1 - lone) / 6 + lone) / (30 - 1)
    assert graph.effective_neighbours() == pytest.approx(1 / mean)
    empty = ItemGraph(np.zeros(4, dtype=np.int64), graph.neighbours[:0], graph.weights[:0])
    assert empty.effective_neighbours() == 1


def test_new_items_have_only_known_neighbours() -> None:
    rows = [np.array([5, 2, 6]), np.array([3, 5]), np.array([2, 5]), np.array([6, 7])]
    graph = ItemGraph.of_new(cooccurrence_counts(histories(rows), 8), 5)
    assert dense(graph).tolist() == [[0, 0, 0.5, 0.5], [0, 0, 1, 0], [0, 0, 0, 0]]
    first = ItemGraph.of_new(cooccurrence_counts(histories(rows), 8), 5, neighbours=1)
    assert dense(first)[0].tolist() == [0, 0, 1]


def test_a_graph_file_has_a_key(tmp_path: Path) -> None:
    graph, path = ItemGraph.of(counts(), neighbours=5, without=1), tmp_path / "graph.safetensors"
    graph.save(path, "ids")
    loaded = ItemGraph.load(path, "ids")
    assert loaded is not None
    for name in ("offsets", "neighbours", "weights"):
        assert np.array_equal(getattr(loaded, name), getattr(graph, name))
        assert getattr(loaded, name).dtype == getattr(graph, name).dtype
    assert ItemGraph.load(path, "others") is None
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(CorruptFileError):
        ItemGraph.load(path, "ids")


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan")])
def test_the_self_weight_must_be_positive(weight: float) -> None:
    with pytest.raises(ValueError, match="self_weight must be > 0"):
        ItemGraph.of(counts(), self_weight=weight)
