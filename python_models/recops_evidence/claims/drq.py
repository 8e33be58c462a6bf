"""DRQ: Decoupled Residual Quantization for Robust Semantic IDs, 2026."""

from __future__ import annotations

import math
from collections.abc import Mapping

from recops_evidence.experiments.tokenization import SYNTHETIC, Tokenization
from recops_evidence.harness.claim import Arm, Claim
from recops_evidence.harness.experiment import Setting

_PAPER = "arXiv 2606.01844"
_PRIVATE = "on 15 million private items with 4 096 codes a level"
_COLLAPSE = (
    f"RQ-VAE: K_eff 455 and Gini .899 at level 0, {_PRIVATE}; RQP-VAE: all codes active, "
    "perplexity 3 872"
)
# Fixed here, so that the claims do not depend on the defaults of `recops tokenize`. Narrower than
# DRQ's networks, for time; RQ-VAE learns slowly and needs this number of steps.
_NETWORK: Mapping[str, Setting] = {"hidden": "256,128", "width": 32, "steps": 9600}
_RATE = {"learning_rate": (3e-4, 1e-3, 3e-3)}
_RQ_KMEANS = Arm("RQ-KMeans", "rq-kmeans", grid={"iterations": (25, 50, 100)})
_RQ_VAE = Arm("RQ-VAE", "rq-vae", _NETWORK, _RATE)
_RQP_VAE = Arm("RQP-VAE", "rqp-vae", _NETWORK, _RATE)
_DRQ_VAE = Arm("DRQ-VAE", "drq-vae", _NETWORK, _RATE)
_DRQ_CL = Arm("DRQ-VAE+CL", "drq-vae-cl", _NETWORK, _RATE)
_OTHERS = (
    ("drq", _DRQ_VAE),
    ("kmeans", _RQ_KMEANS),
    ("rqp", _RQP_VAE),
    ("rq-vae", _RQ_VAE),
)


def _claim(
    name: str,
    text: str,
    first: Arm,
    second: Arm,
    metric: str,
    reported: str,
    *,
    lower: bool = False,
    minimum: float = 0.0,
    source: str = _PAPER,
    chosen_by: str | None = None,
) -> Claim:
    return Claim(
        id=name,
        text=text,
        source=source,
        reported=reported,
        arms=(first, second),
        data=(SYNTHETIC, "ml-100k", "beauty", "office"),
        metric=metric,
        chosen_by=chosen_by,
        direction="lower" if lower else "higher",
        minimum=minimum,
        experiment=Tokenization(),
        halving=2,
    )


CLAIMS = (
    _claim(
        "rq-vae-collapses",
        "Joint training without repair leaves level 0 less than a quarter of the effective "
        "capacity of RQP-VAE (EMA codebooks, revival).",
        _RQP_VAE,
        _RQ_VAE,
        "ln_k_eff",
        _COLLAPSE,
        minimum=math.log(4),
    ),
    # Added after figures of ml-100k and office were known: tuned for capacity, RQ-VAE keeps it.
    _claim(
        "rq-vae-collapses-as-it-reconstructs",
        "If every method is tuned to reconstruct, joint training without repair leaves level 0 "
        "less than a quarter of the effective capacity of RQP-VAE.",
        _RQP_VAE,
        _RQ_VAE,
        "ln_k_eff",
        _COLLAPSE,
        minimum=math.log(4),
        chosen_by="nmse",
    ),
    _claim(
        "rqp-holds-more-than-drq",
        "RQP-VAE has the highest effective capacity: above DRQ-VAE.",
        _RQP_VAE,
        _DRQ_VAE,
        "ln_k_eff",
        f"RQP-VAE best in overlap and K_eff, {_PRIVATE}",
    ),
    _claim(
        "rqp-holds-more-than-kmeans",
        "RQP-VAE has the highest effective capacity: above RQ-KMeans.",
        _RQP_VAE,
        _RQ_KMEANS,
        "ln_k_eff",
        f"RQP-VAE best in overlap and K_eff, {_PRIVATE}",
    ),
    _claim(
        "drq-reconstructs-better-than-rqp",
        "DRQ-VAE has the lowest reconstruction error: below RQP-VAE.",
        _DRQ_VAE,
        _RQP_VAE,
        "nmse",
        f"DRQ-VAE lowest, {_PRIVATE}; we did not read the figures",
        lower=True,
    ),
    _claim(
        "drq-reconstructs-better-than-rq-vae",
        "DRQ-VAE has the lowest reconstruction error: below RQ-VAE.",
        _DRQ_VAE,
        _RQ_VAE,
        "nmse",
        f"DRQ-VAE lowest, {_PRIVATE}; we did not read the figures",
        lower=True,
    ),
    _claim(
        "drq-reconstructs-better-than-kmeans",
        "DRQ-VAE has the lowest reconstruction error: below RQ-KMeans.",
        _DRQ_VAE,
        _RQ_KMEANS,
        "nmse",
        f"DRQ-VAE lowest, {_PRIVATE}; we did not read the figures",
        lower=True,
    ),
    _claim(
        "rqp-reconstructs-better-than-rq-vae",
        "Repair of the codebooks lowers the reconstruction error: RQP-VAE below RQ-VAE.",
        _RQP_VAE,
        _RQ_VAE,
        "nmse",
        "nothing",
        lower=True,
        source="ours, from a toy of one seed; the paper's case for repair implies it",
    ),
    *(
        _claim(
            f"contrast-aligns-better-than-{name}",
            "DRQ-VAE with a contrastive loss on behaviour has the highest SID embedding AUC: above "
            f"{rival.name}.",
            _DRQ_CL,
            rival,
            "sid_auc",
            f"DRQ-VAE+CL best, AUC .9121, {_PRIVATE}",
        )
        for name, rival in _OTHERS
    ),
    *(
        _claim(
            f"drq-retains-more-than-{name}",
            f"DRQ-VAE has the highest hit-rate retention at 20: above {rival.name}.",
            _DRQ_VAE,
            rival,
            "retention@20",
            f"DRQ-VAE best, retention@20 .9999, {_PRIVATE}",
        )
        for name, rival in (("rqp", _RQP_VAE), ("kmeans", _RQ_KMEANS), ("rq-vae", _RQ_VAE))
    ),
    *(
        _claim(
            f"contrast-retains-more-than-{name}",
            "DRQ-VAE with the contrastive loss has the highest hit-rate retention at 200: above "
            f"{rival.name}.",
            _DRQ_CL,
            rival,
            "retention@200",
            f"DRQ-VAE+CL best, retention@200 1.0045, {_PRIVATE}",
        )
        for name, rival in _OTHERS
    ),
    _claim(
        "contrast-costs-capacity",
        "The contrastive loss lowers the effective capacity of level 0.",
        _DRQ_CL,
        _DRQ_VAE,
        "ln_k_eff",
        "that the two objectives conflict",
        lower=True,
        source=f"{_PAPER}, its conclusion; the ordering itself is ours, from a toy of one seed",
    ),
    _claim(
        "contrast-empties-the-last-level",
        "The contrastive loss lowers the perplexity of the last level.",
        _DRQ_CL,
        _DRQ_VAE,
        "last_perplexity",
        f"deep-level usage of DRQ-VAE+CL drops sharply, {_PRIVATE}",
        lower=True,
    ),
)
