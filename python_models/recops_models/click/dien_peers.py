"""What other libraries' DIENs have learnt of interests, for ours to go on with."""

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
    """Where a library keeps its weights: prefixes; and the order of its attended cells' gates."""

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
    """Put a peer's extractor, attention, evolving cell and auxiliary net in place of ``model``'s.

    The model then makes of the same embeddings the same interests, to 1e-5. Tables and the last MLP
    are not touched: each library lays them out by its own features.

    Args:
        model: with the sizes of the peer's: ``update="paper"``, ``reset="after"``, no ``compat``,
            the peer's attention (``attention_form``, ``attention_hidden``, softmax) and cell.
        peer: which library.
        state: the state dict of its DIEN.

    Raises:
        ValueError: an unknown peer, or other parts or sizes than the model has.
    """
    found = interest_weights(peer, state)
    parts = ("extractor.", "attention.", "evolution.", "auxiliary.")
    wanted = {name: w for name, w in model.state_dict().items() if name.startswith(parts)}
    if "auxiliary.first.weight" not in wanted:  # The peer's net served its training alone.
        found = {name: w for name, w in found.items() if not name.startswith("auxiliary.")}
    for name in sorted(wanted.keys() | found.keys()):
        ours, theirs = (each.get(name) for each in (wanted, found))
        if ours is None or theirs is None or ours.shape != theirs.shape:
            shapes = [None if w is None else tuple(w.shape) for w in (ours, theirs)]
            raise ValueError(f"dien: {name} is {shapes[0]} here and {shapes[1]} in {peer}")
    model.load_state_dict(found, strict=False)


def interest_weights(peer: Peer, state: _Weights) -> dict[str, Tensor]:
    """The same as :class:`Dien` names it: gates in the order r, z, n, with z the old state's share.

    The libraries' own cells have u = 1 − z: σ(−s) = 1 − σ(s). RecBole divides attention's scores by
    √d, which its last layer takes in here.

    Raises:
        ValueError: an unknown peer, or a state without these parts.
    """
    if peer not in _LAYOUTS:
        raise ValueError(f"dien: no peer {peer!r}; there are {', '.join(_LAYOUTS)}")
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
    """Of ``nn.GRU`` (AIGRU) as it is; of an attended cell with u turned into z."""
    if f"{layout.evolution}weight_ih_l0" in state:
        return [state[f"{layout.evolution}{name}_l0"] for name in _NAMES]
    prefix, ours = layout.evolution + layout.cell, []
    names = _NAMES
    if f"{prefix}x2h.weight" in state:
        names = ("x2h.weight", "h2h.weight", "x2h.bias", "h2h.bias")
    for name in names:
        rows = dict(zip(layout.gates, state[prefix + name].chunk(3), strict=True))
        ours.append(torch.cat([rows["r"], -rows["u"], rows["n"]]))
    return ours


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
    """Weights and biases of the linear layers below ``prefix``, in their order."""
    names = [
        name.removesuffix("weight")
        for name, weight in state.items()
        if name.startswith(prefix) and name.endswith(".weight") and weight.ndim == 2
    ]
    if not names:
        raise KeyError(f"{prefix}*.weight")
    return [(state[f"{name}weight"], state[f"{name}bias"]) for name in names]


def _layers(linear: list[tuple[Tensor, Tensor]], first: str, rest: str) -> dict[str, Tensor]:
    """Of an MLP whose first layer has a name of its own; between the others lie activations."""
    names = [first, *(f"{rest}.{2 * place}" for place in range(len(linear) - 1))]
    named: dict[str, Tensor] = {}
    for name, (weight, bias) in zip(names, linear, strict=True):
        named |= {f"{name}.weight": weight, f"{name}.bias": bias}
    return named
