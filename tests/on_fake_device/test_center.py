"""A User Interest Center keeps its models on the fake device."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from centers import events_of, untrained
from fake_device import DEVICE
from recops_models.data import load
from recops_models.serving.center import Center, ScoreResult, UserStatus


@pytest.mark.parametrize("name", ["mimn", "hpmn"])
def test_a_center_scores_on_the_device_as_on_the_cpu(name: str, shop: Path, tmp_path: Path) -> None:
    dataset = load(shop)
    folder = untrained(name, dataset, shop, tmp_path / name)
    events = events_of(dataset)[:40]  # A fake device is slow, and a lock lasts for seconds.
    user, candidates = events[0]["user_id"], [1, 2, 3, 4]

    def run(device: str | torch.device) -> tuple[ScoreResult, UserStatus]:
        store = f"lmdb:{tmp_path / f'store-{torch.device(device).type}'}"
        with Center.open(folder, store, device=device) as center:
            center.ingest(events)
            return center.score(user, candidates), center.look_up(user)

    (actual, state), (expected, correct) = run(DEVICE), run("cpu")
    np.testing.assert_allclose(actual.logits, expected.logits, rtol=1e-4, atol=1e-5)
    assert actual.events == expected.events >= 1
    assert state.tensors.keys() == correct.tensors.keys()
    for key, tensor in state.tensors.items():
        np.testing.assert_allclose(tensor, correct.tensors[key], rtol=1e-4, atol=1e-5)
