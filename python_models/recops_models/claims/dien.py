"""DIEN: Zhou et al., Deep Interest Evolution Network for Click-Through Rate Prediction, 2019."""

from __future__ import annotations

from recops_models.evidence.claim import Arm, Claim

# Whatever defaults `recops train` has or comes to have.
_SETTINGS = {"batch": 512, "epochs": 10, "patience": 2, "weight_decay": 0.0}
_GRID = {"learning_rate": (1e-3, 3e-3, 1e-2), "dropout": (0.0, 0.3)}
_DIN = Arm("DIN", "din", _SETTINGS, _GRID)
_SUM = Arm("sum pooling", "sum-pool", _SETTINGS, _GRID)
_MEAN = Arm("mean pooling", "din", {**_SETTINGS, "attention_weights": "uniform"}, _GRID)
_DATA = ("ml-100k", "lastfm", "toys-ctr")

CLAIMS = (
    Claim(
        id="din-beats-sum-pooling",
        text="Target attention to a history (DIN) ranks clicks better than its sum (BaseModel).",
        source="arXiv 1809.03672, AUC on the public data sets, rows BaseModel and DIN",
        reported=(
            "AUC .7603 ± .0003 against .7435 ± .0013 on Amazon Electronics (+.0168), "
            ".7880 ± .0022 against .7686 ± .0025 on Amazon Books (+.0194), 5 runs each (its "
            "released code chooses the checkpoint on test); neither data set is used here"
        ),
        arms=(_DIN, _SUM),
        data=_DATA,
        metric="auc",
    ),
    Claim(
        id="din-beats-mean-pooling",
        text="It is the candidate that counts: DIN ranks better than uniform attention too.",
        source="a control of ours, which the paper's claim implies: softmax weights are a mean's",
        reported="nothing",
        arms=(_DIN, _MEAN),
        data=_DATA,
        metric="auc",
    ),
)
