"""Headline claims of the papers' pages, measured by the league."""

from __future__ import annotations

from collections.abc import Mapping

from recops_evidence.league.claims import LeagueClaim

_FIVE = ("ml-100k", "toys-ctr", "grocery", "assist2017", "ml-1m")
_LONG = ("ml-100k", "assist2017", "ml-1m")
"""Click sets whose histories are long."""
_SHORTEST = ("ml-100k", "toys-ctr", "grocery")
_RANKING = ("ml-100k", "beauty", "toys", "yelp", "office", "ml-1m")


def _clicks(better: str, worse: str, text: str, sets: tuple[str, ...]) -> tuple[LeagueClaim, ...]:
    return tuple(LeagueClaim(f"clicks:{data}", better, worse, text) for data in sets)


PAPERS: Mapping[str, tuple[LeagueClaim, ...]] = {
    "can": _clicks("CAN", "DIN", "DIN with co-action ranks better than DIN.", _FIVE),
    "dien": (
        *_clicks("DIEN", "DIN", "DIEN as printed ranks better than DIN.", _SHORTEST),
        *_clicks(
            "DIEN (released gate)",
            "DIN",
            "DIEN with the released code's gate ranks better than DIN.",
            _SHORTEST,
        ),
    ),
    "hpmn": (
        *_clicks("HPMN", "DIN", "HPMN ranks better than DIN.", _LONG),
        *_clicks(
            "HPMN", "GRU + attention", "HPMN ranks better than attention to a GRU's states.", _LONG
        ),
    ),
    "mimn": (
        *_clicks("MIMN", "DIN", "MIMN ranks better than DIN.", _LONG),
        *_clicks(
            "MIMN",
            "DIEN (released gate)",
            "MIMN ranks better than DIEN with the released code's gate.",
            _LONG,
        ),
    ),
    "res-embedding": _clicks(
        "Res-embedding on DIN",
        "DIN",
        "DIN on rows of centre and residual ranks better than on plain rows.",
        _FIVE,
    ),
    "rocket": _clicks(
        "Rocket's light net",
        "light net alone",
        "A light net ranks better if it is trained with a booster.",
        _FIVE,
    ),
    "unirec": tuple(
        LeagueClaim(f"ranking:{data}", "UniRec", "SASRec", "UniRec ranks better than SASRec.")
        for data in _RANKING
    ),
}
"""At most six claims by page, on the sets where the paper's claim can be tested."""

FURTHER_ROWS: Mapping[str, tuple[str, ...]] = {"unirec": ("UniRec (all item scores)",)}
"""Rows that a page shows next to those of its claims."""
