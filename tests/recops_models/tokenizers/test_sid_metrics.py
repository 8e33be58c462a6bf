"""Collisions in the metrics of semantic IDs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from recops_models.tokenizers.metrics import code_metrics


@pytest.mark.parametrize("levels", [4, 28])  # An integer of 63 bits can hold a SID, or cannot.
def test_collisions_are_those_of_equal_rows(levels: int) -> None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 5, (300, levels))[rng.integers(0, 300, 400)]
    metrics = code_metrics(torch.from_numpy(codes).int(), [5] * levels, [0.0] * levels)
    _, counts = np.unique(codes, axis=0, return_counts=True)
    assert metrics["unique_sids"] == len(counts)
    assert metrics["collision_rate"] == counts[counts > 1].sum() / 400
