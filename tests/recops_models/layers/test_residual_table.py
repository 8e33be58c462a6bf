"""A table of centres and residuals: its rows, where they begin, what learns, refresh, new items."""

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
    made = ResidualTable(plain(0.5), item_graph(V, weights=weights), ResidualConfig(**config))
    if made.attention is not None:
        nn.init.normal_(made.attention.vector)
    return made


def by_definition(made: ResidualTable, graph: ItemGraph) -> Tensor:
    rows = torch.zeros(V, D, dtype=torch.float64)
    centre = made.centre.weight.detach().double()
    for item, other, weight in zip(graph.items, graph.neighbours, graph.weights, strict=True):
        rows[item] += float(weight) * centre[int(other)]
    return rows if made.residual is None else rows + made.residual.weight.detach().double()


@pytest.mark.parametrize("weights", ["average", "counts", "gcn"])
@pytest.mark.parametrize("residual", [True, False])
def test_a_row_is_a_centre_and_a_residual(weights: EdgeWeights, residual: bool) -> None:
    made, graph = table(weights, residual=residual), item_graph(V, weights=weights)
    torch.testing.assert_close(made.compose().double(), by_definition(made, graph))


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_gathered_rows_and_the_folded_table_have_the_same_bits(form: dict[str, Any]) -> None:
    made = table(**form)
    whole = made.compose()
    rows = torch.tensor([0, 1, 5, 6, 40])
    if made.attention is None:
        assert torch.equal(made.compose(rows), whole[rows])
    torch.testing.assert_close(made.compose(rows), whole[rows])
    folded = made.eval().fold()
    assert torch.equal(folded.weight, whole)
    for ids in IDS:
        assert torch.equal(made(ids), folded(ids))
        with made.reading(IDS):
            assert torch.equal(made(ids), folded(ids))
            assert torch.equal(embedding_bags([(made, ids)]), embedding_bags([(folded, ids)]))


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_either_way_of_reading_learns_the_same(
    form: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    grads = []
    for cost in (0, 1000):  # Gather, then fold.
        for name in ("_GATHER", "_GATHER_ATTENDED"):
            monkeypatch.setattr(f"recops_models.layers.residual_table.{name}", cost)
        made = table(**form)
        with made.reading(IDS):
            assert made._open is not None
            assert len(made._open[0]) == (5 if cost == 0 else V) + (cost == 0)
            first, second = (embedding_bags([(made, ids)]) for ids in IDS)
        (first.square().sum() + second.sin().sum()).backward()
        grads.append({name: each.grad for name, each in made.named_parameters()})
    for name, one in grads[0].items():
        assert one is not None, name
        torch.testing.assert_close(one, grads[1][name])


@pytest.mark.parametrize(("attention", "most"), [(None, 5), (3, 59)])
def test_the_cheaper_way_is_taken(attention: int | None, most: int) -> None:
    made = table(attention=attention)
    for number, gathered in ((most, True), (most + 1, False)):
        with made.reading([torch.arange(1, number)]):  # And padding.
            assert made._open is not None
            assert (made._open[1] is not None) is gathered


def test_padding_is_zero_and_learns_nothing() -> None:
    made = table()
    with made.reading([torch.tensor([0, 4])]):
        out = embedding_bags([(made, torch.tensor([[4, 0, 0], [0, 0, 0]]))])
    assert (out[1] == 0).all()
    out.sum().backward()
    assert made.residual is not None
    for weight in (made.centre.weight, made.residual.weight):
        assert weight.grad is not None
        assert (weight[0] == 0).all()
        assert (weight.grad[0] == 0).all()
    assert (made.residual.weight.grad[4] == 1).all()  # type: ignore[index]


def test_the_unknown_is_alone_and_begins_at_zero() -> None:
    made = table()
    assert made.neighbours[made.offsets[1] : made.offsets[2]].tolist() == [1]
    assert int((made.neighbours == 1).sum()) == 1
    assert (made.compose()[1] == 0).all()


def test_rows_begin_as_large_as_plain_ones_and_residuals_small() -> None:
    torch.manual_seed(0)
    graph = item_graph(4000, neighbours=8)
    before = nn.Embedding(4000, D, padding_idx=0)
    nn.init.normal_(before.weight, std=0.01)
    with torch.no_grad():
        before.weight[:2] = 0
    made = ResidualTable(before, graph, ResidualConfig(residual_scale=0.05))
    assert float(made.centres().detach()[2:].std()) == pytest.approx(0.01, rel=0.05)
    assert made.residual is not None
    assert float(made.residual.weight.detach()[2:].std()) == pytest.approx(0.0005, rel=0.05)
    ratio = graph.effective_neighbours() ** 0.5
    torch.testing.assert_close(made.centre.weight.detach(), before.weight.detach() * ratio)


def test_decay_is_of_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recops_models.layers.residual_table._GATHER", 0)
    made = table(decay=2.0)
    assert made.residual is not None
    before = made.residual.weight.detach().clone()
    for _ in range(3):
        with made.reading([torch.tensor([5])]):
            pass
        made.residual.advance(0.1)
    torch.testing.assert_close(made.residual.weight[5], before[5] * 0.8**3)
    assert torch.equal(made.residual.weight[6], before[6])
    made.eval()
    torch.testing.assert_close(made.residual.weight.detach(), before * 0.8**3)


def test_sparse_gradients_come_from_gathered_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recops_models.layers.residual_table._GATHER", 1000)
    made = table()
    assert made.residual is not None
    made.centre.sparse = made.residual.sparse = True
    with made.reading(IDS):
        embedding_bags([(made, IDS[1])]).sum().backward()
    assert made.centre.weight.grad is not None
    assert made.centre.weight.grad.is_sparse
    assert made.residual.weight.grad is not None
    assert made.residual.weight.grad.is_sparse
    rows = made.residual.weight.grad.coalesce().indices()[0]
    assert set(rows.tolist()) <= {0, 1, 2, 3, 7, 9}


@pytest.mark.parametrize("form", FORMS[:4], ids=str)
def test_a_new_graph_moves_no_row(form: dict[str, Any]) -> None:
    made = table(**form)
    before = made.compose().detach()
    other = item_graph(V, weights=form["weights"], seed=9)
    made.refresh(other)
    after = made.compose().detach()
    assert not torch.equal(made.neighbours, table(**form).neighbours)
    assert made.residual is not None
    bound = before.abs() + made.residual.weight.abs() + made.centres().abs()
    assert ((after - before).abs() <= 2.0**-23 * bound).all()
    # What is left of the old graph decays like every residual.
    gone = (before - made.centres()).norm()
    made.residual.decay = 5.0
    made.residual.touch(None)
    made.residual.advance(0.1)
    torch.testing.assert_close((made.compose() - made.centres()).norm(), gone / 2)


def test_without_residuals_there_is_no_refresh() -> None:
    with pytest.raises(ValueError, match="without residuals, rows would jump"):
        table(residual=False).refresh(item_graph(V))
    with pytest.raises(ValueError, match="graph must have 60 items and no edges of item 0, got 50"):
        table().refresh(item_graph(50))


def test_new_items_begin_at_the_centre_of_their_first_neighbours() -> None:
    made = table()
    neighbours, weights = np.array([7, 9, 30], dtype=np.int32), np.full(3, 0.5, dtype=np.float32)
    weights[2] = 1
    rows = made.cold_rows(ItemGraph(np.array([0, 2, 3, 3]), neighbours, weights))
    centres = made.centres()
    torch.testing.assert_close(rows[0], (centres[7] + centres[9]) / 2)
    torch.testing.assert_close(rows[1], centres[30])
    assert torch.equal(rows[2], made.compose()[1])  # As the unknown.
    far = ItemGraph(np.array([0, 1]), np.array([V], dtype=np.int32), weights[2:])
    with pytest.raises(IndexError, match=r"neighbours must lie in \[0, 60\)"):
        made.cold_rows(far)


def test_new_items_begin_where_the_table_is(monkeypatch: pytest.MonkeyPatch) -> None:
    made, asked = table().to("meta"), list[Tensor]()
    sums = residual_table.neighbour_sums

    def watched(edges: Edges, *arguments: Any, **options: Any) -> Tensor:
        asked.extend(edges)
        return sums(edges, *arguments, **options)

    def compose(rows: Tensor) -> Tensor:
        asked.append(rows)
        return torch.zeros(1, D, device=rows.device)

    monkeypatch.setattr(residual_table, "neighbour_sums", watched)
    monkeypatch.setattr(made, "compose", compose)
    neighbours, weights = np.array([7], dtype=np.int32), np.ones(1, dtype=np.float32)
    rows = made.cold_rows(ItemGraph(np.array([0, 1, 1]), neighbours, weights))
    assert rows.shape == (2, D)
    assert {each.device.type for each in (rows, *asked)} == {"meta"}
    assert len(asked) == 5, "offsets and neighbours twice, and the unknown"


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_a_saved_table_goes_on_where_it_was(form: dict[str, Any], tmp_path: Path) -> None:
    made, path = table(decay=1.0, **form), tmp_path / "table.safetensors"
    made.save(path)
    found = ResidualTable.load(path)
    assert torch.equal(found.compose(), made.compose())
    assert found.config == made.config
    for (name, one), other in zip(
        made.state_dict().items(), found.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other), name
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(CorruptFileError):
        ResidualTable.load(path)


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="graph must have 60 items, those of the table, got 50"):
        ResidualTable(plain(), item_graph(50), ResidualConfig())
    one = np.array([0], dtype=np.int32)
    loop = ItemGraph(np.minimum(np.arange(V + 1), 1), one, np.ones(1, dtype=np.float32))
    with pytest.raises(ValueError, match="no edges of item 0, padding"):
        ResidualTable(plain(), loop, ResidualConfig())
    with pytest.raises(ValueError, match=r"residual_scale must lie within \[0, 1\], got 2"):
        ResidualConfig(residual_scale=2)
