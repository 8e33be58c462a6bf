"""Residual tables: rows, initial values, gradients, refresh, and new items."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from item_graphs import item_graph
from recops.files import CorruptFileError
from recops_models.graphs.item_graph import EdgeWeights, ItemGraph
from recops_models.layers import residual_table
from recops_models.layers.embedding_bags import embedding_bags
from recops_models.layers.neighbour_sums import Edges
from recops_models.layers.residual_table import ResidualConfig, ResidualTable

V, D = 60, 5
FORMS: list[dict[str, Any]] = [
    {"weights": "average"},
    {"weights": "counts"},
    {"weights": "gcn"},
    {"weights": "average", "attention": 3},
    {"weights": "average", "residual": False},
]
IDS = [torch.tensor([3, 0, 7, 3, 1]), torch.tensor([[7, 2, 0], [9, 3, 3]])]


def plain(std: float = 0.01) -> nn.Embedding:
    table = nn.Embedding(V, D, padding_idx=0)
    with torch.no_grad():
        table.weight.normal_(std=std, generator=torch.Generator().manual_seed(0))[:2] = 0
    return table


def table(weights: EdgeWeights = "average", **config: Any) -> ResidualTable:
    torch.manual_seed(0)
    item_table = ResidualTable(plain(0.5), item_graph(V, weights=weights), ResidualConfig(**config))
    if item_table.attention is not None:
        nn.init.normal_(item_table.attention.vector)
    return item_table


def defined_rows(item_table: ResidualTable, graph: ItemGraph) -> Tensor:
    rows = torch.zeros(V, D, dtype=torch.float64)
    centre = item_table.centre.weight.detach().double()
    for item, other, weight in zip(graph.items, graph.neighbours, graph.weights, strict=True):
        rows[item] += float(weight) * centre[int(other)]
    return (
        rows if item_table.residual is None else rows + item_table.residual.weight.detach().double()
    )


@pytest.mark.parametrize("weights", ["average", "counts", "gcn"])
@pytest.mark.parametrize("residual", [True, False])
def test_a_row_is_the_sum_of_centre_and_residual(weights: EdgeWeights, residual: bool) -> None:
    item_table, graph = table(weights, residual=residual), item_graph(V, weights=weights)
    torch.testing.assert_close(item_table.compose().double(), defined_rows(item_table, graph))


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_gathered_rows_and_the_folded_table_have_the_same_bits(form: dict[str, Any]) -> None:
    item_table = table(**form)
    full = item_table.compose()
    rows = torch.tensor([0, 1, 5, 6, 40])
    if item_table.attention is None:
        assert torch.equal(item_table.compose(rows), full[rows])
    torch.testing.assert_close(item_table.compose(rows), full[rows])
    folded = item_table.eval().fold()
    assert torch.equal(folded.weight, full)
    for ids in IDS:
        assert torch.equal(item_table(ids), folded(ids))
        with item_table.reading(IDS):
            assert torch.equal(item_table(ids), folded(ids))
            assert torch.equal(embedding_bags([(item_table, ids)]), embedding_bags([(folded, ids)]))


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_gathered_and_full_reading_have_the_same_gradients(
    form: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    grads = []
    for cost in (0, 1000):  # Gather, then fold.
        for name in ("_GATHER", "_GATHER_ATTENDED"):
            monkeypatch.setattr(f"recops_models.layers.residual_table.{name}", cost)
        item_table = table(**form)
        with item_table.reading(IDS):
            assert item_table._open is not None
            assert len(item_table._open[0]) == (5 if cost == 0 else V) + (cost == 0)
            first, second = (embedding_bags([(item_table, ids)]) for ids in IDS)
        (first.square().sum() + second.sin().sum()).backward()
        grads.append({name: parameter.grad for name, parameter in item_table.named_parameters()})
    for name, gradient in grads[0].items():
        assert gradient is not None, name
        torch.testing.assert_close(gradient, grads[1][name])


@pytest.mark.parametrize(("attention", "largest_gathered"), [(None, 5), (3, 59)])
def test_reading_gathers_rows_only_when_that_is_cheaper(
    attention: int | None, largest_gathered: int
) -> None:
    item_table = table(attention=attention)
    for rows, is_gathered in ((largest_gathered, True), (largest_gathered + 1, False)):
        with item_table.reading([torch.arange(1, rows)]):  # And padding.
            assert item_table._open is not None
            assert (item_table._open[1] is not None) is is_gathered


def test_padding_is_zero_and_has_no_gradient() -> None:
    item_table = table()
    with item_table.reading([torch.tensor([0, 4])]):
        out = embedding_bags([(item_table, torch.tensor([[4, 0, 0], [0, 0, 0]]))])
    assert (out[1] == 0).all()
    out.sum().backward()
    assert item_table.residual is not None
    for weight in (item_table.centre.weight, item_table.residual.weight):
        assert weight.grad is not None
        assert (weight[0] == 0).all()
        assert (weight.grad[0] == 0).all()
    assert (item_table.residual.weight.grad[4] == 1).all()  # type: ignore[index]


def test_the_unknown_item_has_no_neighbours_and_starts_at_zero() -> None:
    item_table = table()
    assert item_table.neighbours[item_table.offsets[1] : item_table.offsets[2]].tolist() == [1]
    assert int((item_table.neighbours == 1).sum()) == 1
    assert (item_table.compose()[1] == 0).all()


def test_initial_rows_have_the_scale_of_plain_rows_and_residuals_are_small() -> None:
    torch.manual_seed(0)
    graph = item_graph(4000, neighbours=8)
    before = nn.Embedding(4000, D, padding_idx=0)
    nn.init.normal_(before.weight, std=0.01)
    with torch.no_grad():
        before.weight[:2] = 0
    item_table = ResidualTable(before, graph, ResidualConfig(residual_scale=0.05))
    assert float(item_table.centres().detach()[2:].std()) == pytest.approx(0.01, rel=0.05)
    assert item_table.residual is not None
    assert float(item_table.residual.weight.detach()[2:].std()) == pytest.approx(0.0005, rel=0.05)
    ratio = graph.effective_neighbours() ** 0.5
    torch.testing.assert_close(item_table.centre.weight.detach(), before.weight.detach() * ratio)


def test_only_rows_that_are_read_decay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recops_models.layers.residual_table._GATHER", 0)
    item_table = table(decay=2.0)
    assert item_table.residual is not None
    before = item_table.residual.weight.detach().clone()
    for _ in range(3):
        with item_table.reading([torch.tensor([5])]):
            pass
        item_table.residual.advance(0.1)
    torch.testing.assert_close(item_table.residual.weight[5], before[5] * 0.8**3)
    assert torch.equal(item_table.residual.weight[6], before[6])
    item_table.eval()
    torch.testing.assert_close(item_table.residual.weight.detach(), before * 0.8**3)


def test_sparse_gradients_come_from_gathered_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recops_models.layers.residual_table._GATHER", 1000)
    item_table = table()
    assert item_table.residual is not None
    item_table.centre.sparse = item_table.residual.sparse = True
    with item_table.reading(IDS):
        embedding_bags([(item_table, IDS[1])]).sum().backward()
    assert item_table.centre.weight.grad is not None
    assert item_table.centre.weight.grad.is_sparse
    assert item_table.residual.weight.grad is not None
    assert item_table.residual.weight.grad.is_sparse
    rows = item_table.residual.weight.grad.coalesce().indices()[0]
    assert set(rows.tolist()) <= {0, 1, 2, 3, 7, 9}


@pytest.mark.parametrize("form", FORMS[:4], ids=str)
def test_refresh_changes_no_row(form: dict[str, Any]) -> None:
    item_table = table(**form)
    before = item_table.compose().detach()
    other = item_graph(V, weights=form["weights"], seed=9)
    item_table.refresh(other)
    after = item_table.compose().detach()
    assert not torch.equal(item_table.neighbours, table(**form).neighbours)
    assert item_table.residual is not None
    bound = before.abs() + item_table.residual.weight.abs() + item_table.centres().abs()
    assert ((after - before).abs() <= 2.0**-23 * bound).all()
    # The difference to the old graph decays like every residual.
    distance = (before - item_table.centres()).norm()
    item_table.residual.decay = 5.0
    item_table.residual.touch(None)
    item_table.residual.advance(0.1)
    torch.testing.assert_close((item_table.compose() - item_table.centres()).norm(), distance / 2)


def test_refresh_needs_residuals() -> None:
    with pytest.raises(ValueError, match="the table must have residuals, got none"):
        table(residual=False).refresh(item_graph(V))
    with pytest.raises(ValueError, match="graph must have 60 items and no edges of item 0, got 50"):
        table().refresh(item_graph(50))


def test_new_items_start_at_the_centre_of_their_first_neighbours() -> None:
    item_table = table()
    neighbours, weights = np.array([7, 9, 30], dtype=np.int32), np.full(3, 0.5, dtype=np.float32)
    weights[2] = 1
    rows = item_table.cold_rows(ItemGraph(np.array([0, 2, 3, 3]), neighbours, weights))
    centres = item_table.centres()
    torch.testing.assert_close(rows[0], (centres[7] + centres[9]) / 2)
    torch.testing.assert_close(rows[1], centres[30])
    assert torch.equal(rows[2], item_table.compose()[1])  # As the unknown.
    far = ItemGraph(np.array([0, 1]), np.array([V], dtype=np.int32), weights[2:])
    with pytest.raises(IndexError, match=r"neighbours must lie in \[0, 60\)"):
        item_table.cold_rows(far)


def test_rows_of_new_items_are_computed_on_the_tables_device(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    item_table, tensors = table().to("meta"), list[Tensor]()
    sums = residual_table.neighbour_sums

    def record(edges: Edges, *arguments: Any, **options: Any) -> Tensor:
        tensors.extend((edges.offsets, edges.neighbours))
        return sums(edges, *arguments, **options)

    def compose(rows: Tensor) -> Tensor:
        tensors.append(rows)
        return torch.zeros(1, D, device=rows.device)

    monkeypatch.setattr(residual_table, "neighbour_sums", record)
    monkeypatch.setattr(item_table, "compose", compose)
    neighbours, weights = np.array([7], dtype=np.int32), np.ones(1, dtype=np.float32)
    rows = item_table.cold_rows(ItemGraph(np.array([0, 1, 1]), neighbours, weights))
    assert rows.shape == (2, D)
    assert {tensor.device.type for tensor in (rows, *tensors)} == {"meta"}
    assert len(tensors) == 5, "offsets and neighbours twice, and the unknown"


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_saved_table_is_restored(form: dict[str, Any], tmp_path: Path) -> None:
    item_table, path = table(decay=1.0, **form), tmp_path / "table.safetensors"
    item_table.save(path)
    restored = ResidualTable.load(path)
    assert torch.equal(restored.compose(), item_table.compose())
    assert restored.config == item_table.config
    for (name, value), restored_value in zip(
        item_table.state_dict().items(), restored.state_dict().values(), strict=True
    ):
        assert torch.equal(value, restored_value), name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptFileError):
        ResidualTable.load(path)


def test_unfit_graphs_and_settings_are_refused() -> None:
    with pytest.raises(ValueError, match="graph must have the table's 60 items, got 50"):
        ResidualTable(plain(), item_graph(50), ResidualConfig())
    neighbour = np.array([0], dtype=np.int32)
    loop = ItemGraph(np.minimum(np.arange(V + 1), 1), neighbour, np.ones(1, dtype=np.float32))
    with pytest.raises(ValueError, match=r"no edges of item 0 \(padding\)"):
        ResidualTable(plain(), loop, ResidualConfig())
    with pytest.raises(ValueError, match=r"residual_scale must lie within \[0, 1\], got 2"):
        ResidualConfig(residual_scale=2)
