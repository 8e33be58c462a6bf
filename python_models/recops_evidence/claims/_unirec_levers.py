"""What may bring UniRec level with SASRec, one lever at a time: questions of ours.

Amounts (beams, sampled items, weights of items' scores and of their loss) are no claims: three
seeds on ml-100k could not tell their steps apart. They stand on UniRec's page as probes.
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
        "Scores of whole items, learnt beside paths and added to what the beams found, find more.",
        _AS_IT_IS,
        {"item_scores": 0},
    ),
    "a-block-before-the-decoder": (
        "Self-attention over the events before the decoder reads them helps.",
        _AS_IT_IS,
        {"history_layers": 0},
    ),
    "sums-of-embeddings": (
        "Events that are sums of embeddings, as SASRec's are, do more than joined ones.",
        _AS_IT_IS,
        {"events": "concat"},
    ),
    "codes-of-behaviour": (
        "Codes of what a SASRec learnt find more than those of content and company.",
        {"collaborative": "true", "collaborating.batch": 64},
        _AS_IT_IS,
    ),
    "longer-training": (
        "Twice as many epochs at half the rate help.",
        {"epochs": 30, "patience": 8, "learning_rate": 0.002},
        _AS_IT_IS,
    ),
}
_ON_BEAUTY = ("scores-of-items", "codes-of-behaviour")
"""Asked there as well; the others on ml-100k alone, for time."""

# Two models answer a request in twice the time.
_TWO_TOKENIZATIONS: Mapping[str, Setting] = {"codes_of_two": "own"}
_ENSEMBLES: Mapping[str, tuple[str, Mapping[str, Setting], Mapping[str, Setting]]] = {
    "two-models": (
        "Two models, each with semantic IDs of its own, find more together than one, at twice the "
        "cost.",
        _TWO_TOKENIZATIONS,
        _AS_IT_IS,
    ),
    "two-tokenizations": (
        "It is two tokenizations that do it: two models with the same semantic IDs find less.",
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
