"""Variants of rows, which lack or change one part: the ablations of the papers' pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from recops_evidence.harness.experiment import ArmSettings, Setting
from recops_evidence.league.row import Grid, LeagueRow

RATE = "learning_rate"
_GAINS = "clicks:toys-ctr"
"""Set on which DIEN and Rocket gain, so that their ablations can show which part does."""
_FACTORS = (1 / 3, 1.0, 3.0)
"""Tried learning rates, relative to the best one of another row."""


def rates_around(tuned: ArmSettings) -> Grid:
    """Return the grid of learning rates of a row that takes its other settings from ``tuned``."""
    rate = float(dict(tuned)[RATE])
    return {RATE: tuple(float(f"{rate * factor:.2g}") for factor in _FACTORS)}


@dataclass(frozen=True, eq=False)
class Variant:
    """A row with one changed part.

    It has the best settings of its row, except the learning rate, which it tunes around that of the
    row. The row's rate lies inside its grid too, so neither side has an untuned rate.

    Attributes:
        paper: the page that shows it.
        of: name of its row.
        name: its own name.
        changes: changed settings; None removes a setting that the variant cannot have.
        text: the claim that the row is better than the variant.
        of_set: name of the set.
    """

    paper: str
    of: str
    name: str
    changes: Mapping[str, Setting | None]
    text: str
    of_set: str = "clicks:ml-100k"

    def row(self, parent: LeagueRow, tuned: ArmSettings) -> LeagueRow:
        """Return the variant as a row, when its row ``parent`` is tuned."""
        settings = {**parent.fixed(self.of_set), **dict(tuned), **self.changes}
        fixed = {
            name: value for name, value in settings.items() if name != RATE and value is not None
        }
        return LeagueRow(self.name, parent.model, fixed, rates_around(tuned))


def _dien(name: str, text: str, **changes: Setting | None) -> Variant:
    return Variant("dien", "DIEN", f"DIEN ({name})", changes, text, _GAINS)


def _can(name: str, text: str, **changes: Setting | None) -> Variant:
    return Variant("can", "CAN", f"CAN ({name})", changes, text)


def _mimn(name: str, text: str, **changes: Setting | None) -> Variant:
    return Variant("mimn", "MIMN", f"MIMN ({name})", changes, text)


def _hpmn(name: str, text: str, **changes: Setting | None) -> Variant:
    return Variant("hpmn", "HPMN", f"HPMN ({name})", changes, text)


def _res(name: str, text: str, **changes: Setting | None) -> Variant:
    return Variant(
        "res-embedding", "Res-embedding on DIN", f"Res-embedding ({name})", changes, text
    )


def _rocket(name: str, text: str, **changes: Setting | None) -> Variant:
    return Variant("rocket", "Rocket's light net", f"Rocket ({name})", changes, text, _GAINS)


VARIANTS: tuple[Variant, ...] = (
    _dien(
        "no auxiliary loss",
        "The auxiliary loss helps.",
        auxiliary="none",
        auxiliary_weight=None,
    ),
    _dien(
        "uniform attention",
        "The candidate's attention moves the states.",
        attention_weights="uniform",
    ),
    _dien(
        "AGRU",
        "Scaling the update gate (AUGRU) is better than replacing it.",
        evolution="agru",
        update=None,
    ),
    _dien(
        "no recurrence",
        "It is better than DIN with the same auxiliary loss.",
        evolution="none",
        extractor="none",
        update=None,
    ),
    _can("own products", "Co-action beats products of separate tables.", interaction="own-product"),
    _can("shared tables", "Separate tables beat the features' own.", interaction="shared"),
    _can("Cartesian", "Co-action beats a table of frequent pairs.", interaction="cartesian"),
    _can("one order", "Three orders beat one.", orders=1),
    _mimn("one slot", "Several slots beat one.", slots=1, induction_topk=1),
    _mimn(
        "no utilization",
        "Writes moved by usage are better than plain ones.",
        utilization="none",
        utilization_weight=0.0,
    ),
    _mimn("no channels", "A channel per slot helps.", induction_topk=0),
    _hpmn("one slot", "Five slots beat one, a GRU's last state.", splits=""),
    _hpmn(
        "all periods 1",
        "Slots of several periods beat slots that every event updates.",
        splits="1,1,1,1",
    ),
    _hpmn("one hop", "Three hops beat one.", hops=1),
    _hpmn("no covariance loss", "The covariance loss helps.", covariance_weight=0.0),
    _res("random neighbours", "Neighbours matter: random ones are worse.", graph="random"),
    _res("no residuals", "Residuals help: centres alone are worse.", residual="false"),
    _rocket("no hint", "The booster's hint helps the light net.", hint_weight=0.0),
    _rocket("shared tables", "Separate tables are better than shared ones.", share="embedding"),
    _rocket(
        "light booster",
        "The booster must be heavy: another light net helps less.",
        **{
            "booster": "sum-pool",
            "booster.hidden": "16,8",
            "booster.attention_hidden": None,
        },
    ),
)
"""Ablations by page; a page has at most four."""
