"""Replacement of the model of a running server."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from centers import events_of
from recops_models.data import Dataset
from recops_models.serving.center import Center
from recops_models.serving.open_store import open_store
from recops_models.serving.refresh import refresh_model
from recops_models.serving.served_model import ServedModel
from uic_server import UicServer


@pytest.mark.slow
def test_a_server_follows_a_refresh_and_refuses_a_folder_of_another_model(
    trained: Callable[..., Path], small: Dataset, tmp_path: Path
) -> None:
    url, folder, backup = f"lmdb:{tmp_path / 'store'}", tmp_path / "new", tmp_path / "kept"
    shutil.copytree(trained("hpmn", seed=3), folder)
    shutil.copytree(folder, backup)
    events = events_of(small)
    user = events[0]["user_id"]
    request = {"user_id": user, "candidates": [1, 2, 3]}
    with UicServer(trained("mimn"), url) as server:
        client = server.client()
        assert client.post("/v1/events", {"events": events[:500]}).content["accepted"] == 500
        old = client.post("/v1/score", request).content

        served = ServedModel.load(folder)
        store = open_store(url)
        refresh_model(store, served, [lambda: iter([events[:500]])])
        store.close()
        # The folder is retrained between the refresh and the server's next read.
        shutil.rmtree(folder)
        shutil.copytree(trained("mimn", seed=5), folder)
        for answer in (
            client.post("/v1/score", request),
            client.post("/v1/events", {"events": events[500:510]}),
        ):
            assert answer.status == 409
            assert answer.content["error"].endswith("no longer holds")
            assert served.version_text in answer.content["error"]

        # With the refreshed model in the folder, serving continues without loss.
        shutil.rmtree(folder)
        shutil.copytree(backup, folder)
        answer = client.post("/v1/score", request)
        assert answer.status == 200
        assert answer.content["model_version"] == served.version_text != old["model_version"]
        assert answer.content["events"] == old["events"]
        report = client.post("/v1/events", {"events": events[480:600]}).content
        assert (report["accepted"], report["duplicates"]) == (100, 20)
        scores = client.post("/v1/score", request).content["scores"]
        client.close()
    with Center.open(backup, f"lmdb:{tmp_path / 'clean'}") as clean:
        clean.ingest(events[:600])
        expected = clean.score(user, [1, 2, 3])
        assert np.float32(scores).tolist() == expected.scores.tolist()
