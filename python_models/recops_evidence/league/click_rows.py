"""Rows of the click league, in order of cost."""

from __future__ import annotations

from collections.abc import Mapping

from recops_evidence.harness.experiment import Setting
from recops_evidence.league.row import Grid, LeagueRow

_TRAINING: Mapping[str, Setting] = {
    "select": "gauc",
    "epochs": 10,
    "patience": 2,
    "batch": 512,
    "warmup_epochs": 0.3,
    "max_len": 50,
}
"""Training stops when gAUC on validation falls: on ml-100k it peaks in the fifth or sixth epoch."""
_NET: Mapping[str, Setting] = {"width": 32, "hidden": "200,80"}
_ATTENTION: Mapping[str, Setting] = {**_NET, "attention_hidden": "80,40"}
_RATES: Grid = {"learning_rate": (1e-3, 3e-3, 1e-2), "weight_decay": (0.0, 0.03, 0.3)}
_GRID: Grid = {**_RATES, "dropout": (0.0, 0.3), "table_std": (0.01, 0.1)}
"""Every trained row tunes these; initial tables of .01 would favour models without recurrences."""
_GROUPED: Mapping[str, Setting] = {"targets_per_history": 10}
"""Recurrences read a history once for ten neighbouring examples."""


def _of(net: str, settings: Mapping[str, Setting]) -> dict[str, Setting]:
    return {f"{net}.{name}": value for name, value in settings.items()}


def _grid_of(net: str) -> Grid:
    return {**_RATES, f"{net}.dropout": _GRID["dropout"], f"{net}.table_std": _GRID["table_std"]}


_RATES_ROW = LeagueRow(
    "rates",
    "rates",
    {
        "select": "gauc",
        "max_len": 50,
        "scores": "boosting",
        "trees": 500,
        "decay": 0.8,
        "l2": 1.0,
    },
    {
        "half_life": (3.0, 10.0, 30.0),
        "strength": (3.0, 10.0, 30.0),
        "window": (1, 3, 10),
        "learning_rate": (0.03, 0.1),
        "leaves": (7, 15, 31),
        "leaf_examples": (20, 100),
    },
    is_baseline=True,
    use="First of all: it trains in seconds, and shows what counts and recent labels explain.",
    avoid="A trained model is better by more than its cost.",
)
_SUM_POOL = LeagueRow(
    "sum-pool",
    "sum-pool",
    {**_TRAINING, **_NET},
    _GRID,
    use="A request must cost little.",
    avoid="Which past events matter depends on the candidate, as in shops.",
)
_DIN = LeagueRow(
    "DIN",
    "din",
    {**_TRAINING, **_ATTENTION},
    _GRID,
    use="A first model with attention: robust, and order of events matters little.",
    avoid="Histories exceed a few hundred events per request.",
)
_ROCKET = LeagueRow(
    "Rocket's light net",
    "rocket",
    {
        **_TRAINING,
        "light": "sum-pool",
        **_of("light", {"width": 32, "hidden": "16,8"}),
        "booster": "din",
        **_of("booster", _ATTENTION),
        "share": "none",
    },
    {**_grid_of("light"), "booster.dropout": (0.0, 0.3), "hint_weight": (0.03, 0.3, 1.0)},
    use="A request must cost little, and training may cost more.",
    avoid="The light net alone is already as good.",
)
_LIGHT = LeagueRow(
    "light net alone",
    "sum-pool",
    {**_TRAINING, "width": 32, "hidden": "16,8"},
    _GRID,
    use="A request must cost as little as possible.",
    avoid="Larger nets are affordable.",
)
_CAN = LeagueRow(
    "CAN",
    "can",
    {**_TRAINING, **_ATTENTION, "network": "16,8,4", "orders": 3},
    {**_GRID, "co_std": (0.03, 0.1, 0.3)},
    use="Pairs of candidate and past item carry signal, and each pair is frequent.",
    avoid="Items are rare: each item brings its own network.",
)


def _like(row: str, *, toys: str | None = None) -> Mapping[str, tuple[str, str]]:
    """Return the sets on which a recurrent row takes settings: its own of Toys on Grocery.

    On Toys, it takes those of the row ``toys``. DIN, tuned on both sets, has the same best settings
    on both; so have five other rows on Toys.
    """
    of_toys = "clicks:toys-ctr"
    on_grocery = {"clicks:grocery": (of_toys, row)}
    return on_grocery if toys is None else {of_toys: (of_toys, toys), **on_grocery}


_GRU = LeagueRow(
    "GRU + attention",
    "gru-attention",
    {**_TRAINING, **_ATTENTION, **_GROUPED},
    _GRID,
    tuned_on=_like("GRU + attention"),
    use="Order matters, and histories are read once for many candidates.",
    avoid="Order carries no signal.",
)
_LONG: Mapping[str, Mapping[str, Setting]] = {
    name: {"max_len": 200} for name in ("clicks:ml-100k", "clicks:ml-1m", "clicks:assist2017")
}
"""Sets with long histories, which memories read."""
_HPMN = LeagueRow(
    "HPMN",
    "hpmn",
    {**_TRAINING, **_NET, **_GROUPED, "splits": "2,2,2,2", "state": 32, "hops": 3},
    {**_GRID, "covariance_weight": (1.28e-4, 1.28e-3, 1.28e-2)},
    on=_LONG,
    tuned_on=_like("HPMN"),
    use="Histories are long and must stay in a state of fixed size.",
    avoid="Few events per user.",
)
_MIMN = LeagueRow(
    "MIMN",
    "mimn",
    {**_TRAINING, **_ATTENTION, **_GROUPED, "usage_scale": 50.0},
    {**_GRID, "slots": (4, 8)},
    on={name: {**each, "usage_scale": 200.0} for name, each in _LONG.items()},
    tuned_on=_like("MIMN", toys="DIN"),
    use="Histories are long and a state is kept up to date between requests.",
    avoid="Few events per user.",
)
_DIEN_NET: Mapping[str, Setting] = {
    **_TRAINING,
    **_ATTENTION,
    **_GROUPED,
    "evolution": "augru",
    "auxiliary": "inner",
}
_DIEN_GRID: Grid = {**_GRID, "auxiliary_weight": (0.1, 0.3, 1.0)}
_DIEN = LeagueRow(
    "DIEN",
    "dien",
    {**_DIEN_NET, "update": "paper"},
    tuned_as="DIEN (released gate)",
    use="The order of events carries signal, and a request may cost several times that of DIN.",
    avoid="Requests with hundreds of candidates and long histories.",
)
_DIEN_RELEASED = LeagueRow(
    "DIEN (released gate)",
    "dien",
    {**_DIEN_NET, "update": "or"},
    _DIEN_GRID,
    tuned_on=_like("DIEN (released gate)", toys="DIN"),
    use="As DIEN; the gate of the released code.",
    avoid="As DIEN.",
)
_RES_EMBEDDING = LeagueRow(
    "Res-embedding on DIN",
    "res-embedding",
    {**_TRAINING, "base": "din", **_of("base", _ATTENTION), "tables": "adam"},
    {**_grid_of("base"), "residual_decay": (3.0, 10.0, 30.0)},
    use="Items that follow each other in histories are alike; rare items gain most.",
    avoid="Neighbours in histories are accidental.",
)

CLICK_ROWS: tuple[LeagueRow, ...] = (
    _RATES_ROW,
    _SUM_POOL,
    _DIN,
    _CAN,
    _LIGHT,
    _ROCKET,
    _GRU,
    _HPMN,
    _MIMN,
    _RES_EMBEDDING,
    _DIEN_RELEASED,
    _DIEN,
)
"""Rows of click sets; baselines and DIN come first, because all others are compared with them."""
