"""A center serves AGE and KEEP on top of a memory model, like the model's own forward."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from behaviour_log import write_behaviour_log
from centers import events_of
from jobs import job_of
from recops_models.data import Dataset, load, save_dataset
from recops_models.examples.candidates import Candidates
from recops_models.recipes.run import train_job
from recops_models.serving.center import Center
from recops_models.serving.errors import FieldError, ModelVersionError
from recops_models.serving.kept_states import keep_states
from recops_models.serving.served_model import ServedModel

BASE = {"base.width": "4", "base.hidden": "8", "epochs": "1", "batch": "256", "max_len": "50"}
EXTRACTOR = {"extracting.epochs": "1", "extractor.width": "4", "until": "0.5"}
EXPLORATION = {"gate": "off", "lam": "1"}


def trained(name: str, base: str, small: Dataset, folder: Path, *, seed: int = 0) -> Path:
    """Train a wrapper of a memory model on the small data set."""
    if not (data := folder / "data").exists():
        save_dataset(small, data)
    settings = {**BASE, "base": base, **(EXTRACTOR if name == "keep" else EXPLORATION)}
    out = folder / f"{name}-{seed}"
    out.mkdir()
    train_job(job_of(name, str(data), settings, seed=seed, quick=False), small, out)
    return out


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("age", "mimn"),
        pytest.param("keep", "mimn", marks=pytest.mark.slow),
        pytest.param("age", "hpmn", marks=pytest.mark.slow),
        pytest.param("keep", "hpmn", marks=pytest.mark.slow),
    ],
)
def test_scores_equal_the_forward_of_the_model(
    name: str, base: str, small: Dataset, tmp_path: Path
) -> None:
    folder = trained(name, base, small, tmp_path)
    served = ServedModel.load(folder)
    events = events_of(small)
    users = list(dict.fromkeys(event["user_id"] for event in events))[:3]
    items = small.items["item_id"].to_pylist()
    candidates = Candidates(small, served.net.schema)
    with Center.open(folder, f"lmdb:{tmp_path / 'store'}") as center:
        center.ingest(events)
        for user in users:
            result = center.score(user, items)
            batch = candidates.shown_to(int(small.user_vocabulary.index([user])[0]))
            with torch.no_grad():
                expected = served.net(batch)
            np.testing.assert_allclose(result.logits, expected.numpy(), rtol=1e-4, atol=1e-5)
        if name == "keep":
            with pytest.raises(FieldError, match="only age explores"):
                center.score(users[0], items, explore=1)
            return
        first, again, other = (center.score(users[0], items, explore=s) for s in (1, 1, 2))
        assert (first.scores == again.scores).all()
        assert (first.scores != other.scores).any()
        plain = center.score(users[0], items)
        assert (first.logits == plain.logits).all()
        assert (first.scores != plain.scores).any()


@pytest.mark.parametrize("base", ["mimn", pytest.param("hpmn", marks=pytest.mark.slow)])
def test_a_net_with_several_heads_serves_clicks(base: str, tmp_path: Path) -> None:
    log = load(write_behaviour_log(tmp_path / "log", users=20, events=10))
    settings = {"heads": "mmoe", "width": "4", "hidden": "8", "epochs": "1", "batch": "64"}
    out = tmp_path / base
    out.mkdir()
    train_job(job_of(base, str(tmp_path / "log"), settings, seed=0, quick=False), log, out)
    served = ServedModel.load(out)
    assert served.net.labels == ("click", "cart", "purchase")
    items = log.items["item_id"].to_pylist()
    with Center.open(out, f"lmdb:{tmp_path / 'store'}") as center:
        assert center.ingest(events_of(log)).counts()["accepted"] == log.interactions.num_rows
        with torch.no_grad():
            expected = served.net(Candidates(log, served.net.schema).shown_to(4))
        result = center.score(4, items)
        np.testing.assert_allclose(result.logits, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_kept_states_serve_age_and_other_models_are_refused(small: Dataset, tmp_path: Path) -> None:
    old, new = (trained("age", "mimn", small, tmp_path, seed=seed) for seed in (0, 1))
    with Center.open(old, f"lmdb:{tmp_path / 'store'}") as center:
        center.ingest(events_of(small)[:50])
        keep_states(center.store, ServedModel.load(new))
        assert center.score(events_of(small)[0]["user_id"], [5]).known
    unfit = tmp_path / "din"
    unfit.mkdir()
    settings = {"width": "4", "hidden": "8", "epochs": "1"}
    job = job_of("din", str(tmp_path / "data"), settings, seed=0, quick=False)
    train_job(job, small, unfit)
    with pytest.raises(ModelVersionError, match="or an age or keep with such a base, got a din"):
        ServedModel.load(unfit)
