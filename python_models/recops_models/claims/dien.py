"""DIEN: Zhou et al., Deep Interest Evolution Network for Click-Through Rate Prediction, 2019."""

from __future__ import annotations

from recops_models.evidence.claim import Arm, Claim

_SETTINGS = {"batch": 512}
_GRID = {"learning_rate": (1e-3, 3e-3), "dropout": (0.0, 0.3)}

CLAIMS = (
    Claim(
        id="attention-beats-sum-pooling",
        text="Target attention to a history (DIN) ranks clicks better than its sum (BaseModel).",
        source="arXiv 1809.03672, table 2, rows BaseModel and DIN",
        reported=(
            "AUC .7603 ± .0003 against .7435 ± .0013 on Amazon Electronics (+.0168), "
            ".7880 ± .0022 against .7686 ± .0025 on Amazon Books (+.0194), 5 runs each, epochs "
            "chosen on test; neither data set is used here"
        ),
        arms=(
            Arm("DIN", "din", _SETTINGS, _GRID),
            Arm("sum pooling", "sum-pool", _SETTINGS, _GRID),
        ),
        data=("ml-100k", "lastfm", "toys-ctr"),
        metric="auc",
    ),
)
