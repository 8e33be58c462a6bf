"""DIEN with the weights of DeepCTR-Torch, FuxiCTR and RecBole.

Every peer is tested twice: by its equations, written out for weights under its names, and, if the
package is installed (the ``peers`` extra), by its own code.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from click_inputs import schema
from recops_models.click.dien import Dien, DienConfig
from recops_models.click.dien_peers import load_interests
from recops_models.layers.next_event import draw_events, rows_of

# Tolerance for float32 sums in another order over at most 12 steps.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}
WIDTH, ATTENTION, AUXILIARY = 8, (12, 6), (100, 50)
D = 2 * WIDTH  # An item and its category.
LENGTHS = torch.tensor([9, 4, 1, 12, 7])
CELLS = ["augru", "agru", "aigru"]
FORMS = {"deepctr-torch": "mlp", "recbole": "mlp", "fuxictr": "bilinear"}


def dien(peer: str, cell: Any, auxiliary: Any = "none") -> Dien:
    config = DienConfig(
        width=WIDTH,
        evolution=cell,
        attention_form=FORMS[peer],
        attention_hidden=ATTENTION,
        auxiliary=auxiliary,
        auxiliary_hidden=AUXILIARY,
    )
    return Dien(schema(), config).eval()


def inputs() -> tuple[Tensor, Tensor]:
    """Return candidates ``[B, d]`` and their events ``[B, T, d]``."""
    torch.manual_seed(2)
    return torch.randn(len(LENGTHS), D), torch.randn(len(LENGTHS), int(LENGTHS.max()), D)


def interests(model: Dien, query: Tensor, events: Tensor) -> Tensor:
    with torch.no_grad():
        return model.evolved(query, model.states(events, LENGTHS), LENGTHS)


def gru_names(prefix: str) -> dict[str, tuple[int, ...]]:
    matrices = {f"{prefix}weight_ih_l0": (3 * D, D), f"{prefix}weight_hh_l0": (3 * D, D)}
    return {**matrices, f"{prefix}bias_ih_l0": (3 * D,), f"{prefix}bias_hh_l0": (3 * D,)}


def state_of(peer: str, cell: str) -> dict[str, Tensor]:
    """Return random weights under the peer's names."""
    if peer == "fuxictr":
        extractor, evolution = "extraction_modules.0.", "evolving_modules.0."
        names = ("x2h.weight", "h2h.weight", "x2h.bias", "h2h.bias")
        inner, attention = "gru_cell.", {"attention_modules.0.W_kernel": (D, D)}
    else:
        is_deepctr = peer == "deepctr-torch"
        extractor = "interest_extractor.gru." if is_deepctr else "interset_extractor.gru."
        evolution = "interest_evolution." + (
            "interest_evolution." if is_deepctr else "dynamic_rnn."
        )
        names, inner = ("weight_ih", "weight_hh", "bias_ih", "bias_hh"), "rnn."
        prefix = "interest_evolution."
        prefix += (
            "attention.local_att.dnn.linears." if is_deepctr else "attention_layer.att_mlp_layers."
        )
        dense = prefix.rsplit(".", 3 if is_deepctr else 2)[0] + ".dense"
        widths, attention = (4 * D, *ATTENTION), {}
        for i, (read, written) in enumerate(pairwise(widths)):
            attention |= {f"{prefix}{i}.weight": (written, read), f"{prefix}{i}.bias": (written,)}
        attention |= {f"{dense}.weight": (1, widths[-1]), f"{dense}.bias": (1,)}
    sizes = gru_names(extractor) | attention
    if cell == "aigru":
        sizes |= gru_names(evolution)
    else:
        shapes = ((3 * D, D), (3 * D, D), (3 * D,), (3 * D,))
        sizes |= {f"{evolution}{inner}{n}": s for n, s in zip(names, shapes, strict=True)}
    torch.manual_seed(1)
    return {name: torch.randn(size) * D**-0.5 for name, size in sizes.items()}


def equations(peer: str, cell: str, state: dict[str, Tensor]) -> Tensor:
    """Return the peer's interests in float64, by its equations, row by row and step by step."""
    # The order of state_of: GRU, attention, cell.
    weights = [w.double() for w in state.values()]
    (w_ih, w_hh, b_ih, b_hh), scorer, second = weights[:4], weights[4:-4], weights[-4:]
    query, events = (tensor.double() for tensor in inputs())
    interests_of_rows = []
    for q, row, length in zip(query, events, LENGTHS.tolist(), strict=True):
        h, states = torch.zeros(D).double(), []
        for x in row[:length]:
            h = torch_gru(x @ w_ih.T + b_ih, h @ w_hh.T + b_hh, h)
            states.append(h)
        k = torch.stack(states)
        if peer == "fuxictr":
            scores = k @ scorer[0] @ q
        else:
            x = torch.cat([q.expand_as(k), k, q - k, q * k], 1)
            for i in range(0, len(scorer) - 2, 2):
                x = torch.sigmoid(x @ scorer[i].T + scorer[i + 1])
            scores = (x @ scorer[-2].T + scorer[-1]).squeeze(1)
            scores = scores / D**0.5 if peer == "recbole" else scores
        h = torch.zeros(D).double()
        for a, state_ in zip(scores.softmax(0), k, strict=True):
            if cell == "aigru":
                read = a * state_
                h = torch_gru(read @ second[0].T + second[2], h @ second[1].T + second[3], h)
                continue
            order = "urn" if peer == "fuxictr" else "run"
            i = dict(zip(order, (state_ @ second[0].T + second[2]).chunk(3), strict=True))
            g = dict(zip(order, (h @ second[1].T + second[3]).chunk(3), strict=True))
            new = torch.tanh(i["n"] + torch.sigmoid(i["r"] + g["r"]) * g["n"])
            u = a * (torch.sigmoid(i["u"] + g["u"]) if cell == "augru" else 1)
            h = (1 - u) * h + u * new
        interests_of_rows.append(h)
    return torch.stack(interests_of_rows)


def torch_gru(i: Tensor, g: Tensor, h: Tensor) -> Tensor:
    (i_r, i_z, i_n), (g_r, g_z, g_n) = i.chunk(3), g.chunk(3)
    z = torch.sigmoid(i_z + g_z)
    return z * h + (1 - z) * torch.tanh(i_n + torch.sigmoid(i_r + g_r) * g_n)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("peer", FORMS)
def test_weights_of_a_peer_give_its_interests(peer: Any, cell: str) -> None:
    model, state = dien(peer, cell), state_of(peer, cell)
    load_interests(model, peer, state)
    expected = equations(peer, cell, state).float()
    torch.testing.assert_close(interests(model, *inputs()), expected, **CLOSE)


def test_invalid_weights_are_refused() -> None:
    model, state = dien("deepctr-torch", "augru"), state_of("deepctr-torch", "augru")
    with pytest.raises(ValueError, match="no peer 'keras'"):
        load_interests(model, "keras", state)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"interset_extractor.* is not in this state of recbole"):
        load_interests(model, "recbole", state)
    with pytest.raises(ValueError, match=r"auxiliary.first.bias is \(100,\) here and None"):
        load_interests(dien("deepctr-torch", "augru", "mlp"), "deepctr-torch", state)
    wider = Dien(schema(), DienConfig(width=WIDTH, auxiliary="none", attention_hidden=(13, 6)))
    with pytest.raises(ValueError, match=r"attention.pair.bias is \(13,\) here and \(12,\)"):
        load_interests(wider, "deepctr-torch", state)


def with_large_weights(module: nn.Module) -> nn.Module:
    """Draw weights that are large enough to distinguish the gates."""
    torch.manual_seed(4)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=D**-0.5)
    return module


@pytest.mark.parametrize("cell", CELLS)
def test_deepctr_torch(cell: str) -> None:
    from_package = pytest.importorskip("deepctr_torch.models.dien")
    extractor = with_large_weights(from_package.InterestExtractor(D, use_neg=True))
    evolving = with_large_weights(
        from_package.InterestEvolving(D, cell.upper(), True, 0.1, ATTENTION, "sigmoid", True)
    )
    peer = nn.ModuleDict({"interest_extractor": extractor, "interest_evolution": evolving})
    model = dien("deepctr-torch", cell, "mlp")
    load_interests(model, "deepctr-torch", peer.state_dict())
    query, events = inputs()
    drawn = draw_events(LENGTHS, *events[:, 1:].shape[:2], events.shape[1])
    negatives = F.pad(rows_of(events, drawn), (0, 0, 1, 0))
    with torch.no_grad():
        states, auxiliary = extractor(events, LENGTHS, negatives)
        expected = evolving(query, states, LENGTHS)
        scores = model.auxiliary.scores(model.states(events, LENGTHS)[:, :-1], events, drawn)
    torch.testing.assert_close(interests(model, query, events), expected, **CLOSE)
    is_event = torch.arange(1, events.shape[1]) < LENGTHS[:, None]
    # The peer averages both terms; recops adds them.
    loss = torch.cat([F.softplus(-scores[0][is_event]), F.softplus(scores[1][is_event])]).mean()
    torch.testing.assert_close(loss, auxiliary, **CLOSE)


@pytest.mark.parametrize("cell", CELLS)
def test_recbole(cell: str) -> None:
    from_package = pytest.importorskip("recbole.model.sequential_recommender.dien")
    sizes = [4 * D, *ATTENTION]
    mask = torch.arange(int(LENGTHS.max()))[None]
    extractor = with_large_weights(from_package.InterestExtractorNetwork(D, D, [2 * D, 3, 1]))
    evolving = with_large_weights(
        from_package.InterestEvolvingLayer(mask, D, D, sizes, gru=cell.upper())
    )
    peer = nn.ModuleDict({"interset_extractor": extractor, "interest_evolution": evolving})
    model = dien("recbole", cell)
    load_interests(model, "recbole", peer.state_dict())
    query, events = inputs()
    with torch.no_grad():
        states, _ = extractor(events, LENGTHS, torch.zeros_like(events))
        expected = evolving(query, states, LENGTHS)
    torch.testing.assert_close(interests(model, query, events), expected, **CLOSE)


@pytest.mark.parametrize("cell", CELLS)
def test_fuxictr(cell: str) -> None:
    from_package = pytest.importorskip("model_zoo.LongCTR.DIEN.DIEN")
    attended = cell != "aigru"
    peer = nn.Module()
    peer.gru_type = cell.upper()
    peer.extraction_modules = nn.ModuleList([nn.GRU(D, D, batch_first=True)])
    second = from_package.DynamicGRU(D, D, gru_type=cell.upper()) if attended else None
    peer.evolving_modules = nn.ModuleList([second or nn.GRU(D, D, batch_first=True)])
    peer.attention_modules = nn.ModuleList([from_package.AttentionLayer(D)])
    with_large_weights(peer)
    model = dien("fuxictr", cell)
    load_interests(model, "fuxictr", peer.state_dict())
    query, events = inputs()
    is_event = torch.arange(events.shape[1]) < LENGTHS[:, None]
    with torch.no_grad():
        packed, states = from_package.DIEN.interest_extraction(peer, 0, events, is_event)
        if cell == "aigru":  # Its own code multiplies [B, T, d] by [B, T] and fails.
            attention = peer.attention_modules[0](states, query, is_event)
            packed = nn.utils.rnn.pack_padded_sequence(
                states * attention[..., None], LENGTHS, batch_first=True, enforce_sorted=False
            )
            expected = peer.evolving_modules[0](packed)[1][0]
        else:
            expected = from_package.DIEN.interest_evolution(
                peer, 0, packed, states, query, is_event
            )
    torch.testing.assert_close(interests(model, query, events), expected, **CLOSE)
