"""Import of trained interest layers from other libraries' DIENs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from recops_models.click.dien import Dien

Peer = Literal["deepctr-torch", "fuxictr", "recbole"]
_Weights = Mapping[str, Tensor]


@dataclass(frozen=True)
class _Layout:
    """Names of a library's weights, and the order of its attended cell's gates."""

    extractor: str
    attention: str
    evolution: str
    cell: str
    gates: str
    auxiliary: str | None = None
    scaled: bool = False


_LAYOUTS: dict[str, _Layout] = {
    "deepctr-torch": _Layout(
        extractor="interest_extractor.gru.",
        attention="interest_evolution.attention.local_att.",
        evolution="interest_evolution.interest_evolution.",
        cell="rnn.",
        gates="run",
        auxiliary="interest_extractor.auxiliary_net.",
    ),
    "fuxictr": _Layout(
        extractor="extraction_modules.0.",
        attention="attention_modules.0.",
        evolution="evolving_modules.0.",
        cell="gru_cell.",
        gates="urn",
    ),
    # Its auxiliary net has no activations: one linear map, which no layer here is.
    "recbole": _Layout(
        extractor="interset_extractor.gru.",
        attention="interest_evolution.attention_layer.",
        evolution="interest_evolution.dynamic_rnn.",
        cell="rnn.",
        gates="run",
        scaled=True,
    ),
}
_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def load_interests(model: Dien, peer: Peer, state: _Weights) -> None:
    """Replace extractor, attention, evolution cell and auxiliary net by those of a peer library.

    From the same embeddings, the model then computes the same interests, within 1e-5. Tables and
    the last MLP are unchanged, since each library arranges them by its own features.

    Args:
        model: with the peer's sizes: ``update="paper"``, ``reset="after"``, no ``compat``, the
            peer's attention (``attention_form``, ``attention_hidden``, softmax) and cell.
        peer: the name of the library.
        state: the state dict of its DIEN.

    Raises:
        ValueError: an unknown peer, or other parts or sizes than the model has.

    Example:
        >>> import torch
        >>> from recops_models.click.dien import Dien, DienConfig
        >>> from recops_models.click.dien_peers import load_interests
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> forms = {"evolution": "aigru", "attention_form": "bilinear", "auxiliary": "none"}
        >>> model = Dien(tiny_click_data()[0], DienConfig(width=4, **forms))
        >>> gru = torch.nn.GRU(8, 8).state_dict()  # d = 8: an item and its category
        >>> state = {f"extraction_modules.0.{name}": weight for name, weight in gru.items()}
        >>> state |= {f"evolving_modules.0.{name}": weight for name, weight in gru.items()}
        >>> state["attention_modules.0.W_kernel"] = torch.eye(8)
        >>> load_interests(model, "fuxictr", state)
        >>> torch.equal(model.extractor.weight_ih, gru["weight_ih_l0"])
        True
    """
    weights = interest_weights(peer, state)
    parts = ("extractor.", "attention.", "evolution.", "auxiliary.")
    expected = {name: w for name, w in model.state_dict().items() if name.startswith(parts)}
    if "auxiliary.first.weight" not in expected:  # The peer's net served its training alone.
        weights = {name: w for name, w in weights.items() if not name.startswith("auxiliary.")}
    for name in sorted(expected.keys() | weights.keys()):
        mine, peers = (each.get(name) for each in (expected, weights))
        if mine is None or peers is None or mine.shape != peers.shape:
            shapes = [None if w is None else tuple(w.shape) for w in (mine, peers)]
            raise ValueError(f"dien: {name} is {shapes[0]} here and {shapes[1]} in {peer}")
    model.load_state_dict(weights, strict=False)


def interest_weights(peer: Peer, state: _Weights) -> dict[str, Tensor]:
    """Convert a peer's weights to names of :class:`Dien`: gates in the order r, z, n.

    z is the share of the old state. The libraries' cells have u = 1 − z, and σ(−s) = 1 − σ(s).
    RecBole divides attention scores by √d, which the last layer takes over here.

    Raises:
        ValueError: an unknown peer, or a state without these parts.

    Example:
        >>> import torch
        >>> from recops_models.click.dien_peers import interest_weights
        >>> gru = torch.nn.GRU(8, 8).state_dict()
        >>> state = {f"extraction_modules.0.{name}": weight for name, weight in gru.items()}
        >>> state |= {f"evolving_modules.0.{name}": weight for name, weight in gru.items()}
        >>> state["attention_modules.0.W_kernel"] = torch.eye(8)
        >>> interest_weights("fuxictr", state)["extractor.weight_ih"].shape
        torch.Size([24, 8])
    """
    if peer not in _LAYOUTS:
        raise ValueError(f"dien: no peer {peer!r}; available: {', '.join(_LAYOUTS)}")
    layout = _LAYOUTS[peer]
    try:
        return {
            **_named("extractor.", [state[f"{layout.extractor}{name}_l0"] for name in _NAMES]),
            **_attention(layout, state),
            **_named("evolution.", _evolution(layout, state)),
            **_auxiliary(layout, state),
        }
    except KeyError as missing:
        raise ValueError(f"dien: {missing} is not in this state of {peer}") from None


def _named(prefix: str, weights: list[Tensor]) -> dict[str, Tensor]:
    return {prefix + name: weight for name, weight in zip(_NAMES, weights, strict=True)}


def _evolution(layout: _Layout, state: _Weights) -> list[Tensor]:
    """Return the evolution cell's weights: of ``nn.GRU`` (AIGRU) unchanged, else −u as z."""
    if f"{layout.evolution}weight_ih_l0" in state:
        return [state[f"{layout.evolution}{name}_l0"] for name in _NAMES]
    prefix, weights = layout.evolution + layout.cell, []
    names = _NAMES
    if f"{prefix}x2h.weight" in state:
        names = ("x2h.weight", "h2h.weight", "x2h.bias", "h2h.bias")
    for name in names:
        rows = dict(zip(layout.gates, state[prefix + name].chunk(3), strict=True))
        weights.append(torch.cat([rows["r"], -rows["u"], rows["n"]]))
    return weights


def _attention(layout: _Layout, state: _Weights) -> dict[str, Tensor]:
    if f"{layout.attention}W_kernel" in state:
        return {"attention.weight": state[f"{layout.attention}W_kernel"].t()}
    linear = _linear(state, layout.attention)
    if layout.scaled:
        width = linear[0][0].shape[1] // 4
        linear[-1] = (linear[-1][0] / width**0.5, linear[-1][1] / width**0.5)
    return _layers(linear, "attention.pair", "attention.score.1")


def _auxiliary(layout: _Layout, state: _Weights) -> dict[str, Tensor]:
    if layout.auxiliary is None or not any(name.startswith(layout.auxiliary) for name in state):
        return {}
    return _layers(_linear(state, layout.auxiliary), "auxiliary.first", "auxiliary.rest")


def _linear(state: _Weights, prefix: str) -> list[tuple[Tensor, Tensor]]:
    """Return weights and biases of the linear layers below ``prefix``, in order."""
    names = [
        name.removesuffix("weight")
        for name, weight in state.items()
        if name.startswith(prefix) and name.endswith(".weight") and weight.ndim == 2
    ]
    if not names:
        raise KeyError(f"{prefix}*.weight")
    return [(state[f"{name}weight"], state[f"{name}bias"]) for name in names]


def _layers(linear: list[tuple[Tensor, Tensor]], first: str, others: str) -> dict[str, Tensor]:
    """Name the weights of an MLP whose first layer is a separate module."""
    names = [first, *(f"{others}.{2 * index}" for index in range(len(linear) - 1))]
    named: dict[str, Tensor] = {}
    for name, (weight, bias) in zip(names, linear, strict=True):
        named |= {f"{name}.weight": weight, f"{name}.bias": bias}
    return named
