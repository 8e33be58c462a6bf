"""Single changes that may bring UniRec level with SASRec; the questions are ours.

Amounts (beams, sampled items, weights of item scores and of their loss) are no claims, because
three seeds on ml-100k cannot distinguish their steps. UniRec's page lists them as probes.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from recops_evidence.claims._unirec_parts import one_change
from recops_evidence.experiments.ensemble_runs import EnsembleRuns
from recops_evidence.harness.experiment import Setting

_AS_IT_IS: Mapping[str, Setting] = {}
_LEVERS: Mapping[str, tuple[str, Mapping[str, Setting], Mapping[str, Setting]]] = {
    "scores-of-items": (
        "Item scores that are added to the scores of the beams find the next item more often.",
        _AS_IT_IS,
        {"item_scores": 0},
    ),
    "a-block-before-the-decoder": (
        "Self-attention over the events before the decoder reads them helps.",
        _AS_IT_IS,
        {"history_layers": 0},
    ),
    "sums-of-embeddings": (
        "Events as sums of embeddings, as in SASRec, are better than concatenated ones.",
        _AS_IT_IS,
        {"events": "concat"},
    ),
    "codes-of-behaviour": (
        "Codes from a SASRec's item table find more than codes from content and co-occurrence.",
        {"collaborative": "true", "collaborating.batch": 64},
        _AS_IT_IS,
    ),
    "longer-training": (
        "Twice the number of epochs at half the learning rate helps.",
        {"epochs": 30, "patience": 8, "learning_rate": 0.002},
        _AS_IT_IS,
    ),
}
_ON_BEAUTY = ("scores-of-items", "codes-of-behaviour")
"""Claims that are measured on Beauty too; the others only on ml-100k, for time."""

# Two models take twice the time per request.
_TWO_TOKENIZATIONS: Mapping[str, Setting] = {"codes_of_two": "own"}
_ENSEMBLES: Mapping[str, tuple[str, Mapping[str, Setting], Mapping[str, Setting]]] = {
    "two-models": (
        "Two models with separate semantic IDs find more together than one, at twice the cost.",
        _TWO_TOKENIZATIONS,
        _AS_IT_IS,
    ),
    "two-tokenizations": (
        "The gain comes from two tokenizations: two models with the same semantic IDs find less.",
        _TWO_TOKENIZATIONS,
        {"codes_of_two": "shared"},
    ),
}
_lever = partial(one_change, reported="nothing", metric="hr@10", source="ours", group="levers")
LEVERS = (
    *(
        claim
        for lever, (text, first, second) in _LEVERS.items()
        for claim in _lever(
            lever,
            text,
            first,
            second,
            data=("ml-100k", "beauty") if lever in _ON_BEAUTY else ("ml-100k",),
        )
    ),
    *(
        claim
        for lever, (text, first, second) in _ENSEMBLES.items()
        for claim in _lever(
            lever, text, first, second, data=("ml-100k",), experiment=EnsembleRuns()
        )
    ),
)
