"""Scores and states of a center, bitwise compared with the model's forward."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from centers import events_of
from recops_models.data import Dataset
from recops_models.examples.candidates import Candidates
from recops_models.recipes.files import MODEL, load_model
from recops_models.serving.center import Center
from recops_models.serving.ingestion import Refusal
from recops_models.serving.keys import user_key

NAMES = ("mimn", "hpmn")


@pytest.mark.parametrize("name", NAMES)
def test_a_request_reads_once_and_a_state_does_not_grow(
    name: str,
    trained: Callable[..., Path],
    small: Dataset,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    event = events_of(small)[0]
    sizes, reads = set(), []
    with Center.open(trained(name), f"lmdb:{tmp_path / 'store'}") as center:
        view = center.store.view
        monkeypatch.setattr(center.store, "view", lambda keys: reads.append(keys) or view(keys))
        for length in (1, 10, 500):
            center.ingest([{**event, "user_id": "u", "seq": seq} for seq in range(1, length + 1)])
            reads.clear()
            assert center.score("u", [1, 2, 3]).events == length
            assert len(reads) == 1
            sizes |= {len(value or b"") for value in view([user_key(1, "u")]).values}
    assert len(sizes) == 1


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "settings",
    [{}, {"signed": "false"}, {"feedback": "implicit"}, {"running_rates": "false"}],
    ids=["signs and rates", "liked alone", "implicit", "signs alone"],
)
def test_scores_equal_the_models_forward(
    name: str,
    settings: dict[str, str],
    trained: Callable[..., Path],
    small: Dataset,
    tmp_path: Path,
) -> None:
    folder = trained(name, **settings)
    model, feedback = load_model(folder / MODEL), settings.get("feedback")
    with Center.open(folder, f"lmdb:{tmp_path / 'store'}") as center:
        counts = center.ingest(events_of(small)).counts()
        assert counts["accepted"] == small.interactions.num_rows
        for user in (0, 7, 59):
            candidates = Candidates(small, model.schema, feedback=feedback)  # type: ignore[arg-type]
            batch = candidates.shown_to(user)
            with torch.no_grad():
                expected = model(batch)
            user_id = int(small.user_vocabulary.ids[user])
            result = center.score(user_id, small.item_vocabulary.ids.tolist())
            assert torch.equal(torch.from_numpy(result.logits), expected)
            assert result.events == (small.interactions["user_id"].to_numpy() == user_id).sum()
            assert result.known


def test_batches_of_several_senders_are_one_commit_with_separate_reports(
    trained: Callable[..., Path], small: Dataset, tmp_path: Path
) -> None:
    first, second, third, *_ = events_of(small)
    invalid = {**third, "seq": 0}
    ahead = {**first, "seq": 9}
    with Center.open(trained("mimn"), f"lmdb:{tmp_path / 'store'}") as center:
        before = center.stats().commits
        reports = center.ingest_together([[first, invalid], [], [first, second], [ahead]])
        assert center.stats().commits == before + 1
    assert [report.counts() for report in reports] == [
        {"accepted": 1, "duplicates": 0, "late": 0, "refused": 1, "gaps": 0},
        {"accepted": 0, "duplicates": 0, "late": 0, "refused": 0, "gaps": 0},
        {"accepted": 1, "duplicates": 1, "late": 0, "refused": 0, "gaps": 0},
        {"accepted": 1, "duplicates": 0, "late": 0, "refused": 0, "gaps": 7},
    ]
    assert reports[0].refused == [Refusal(1, "seq", reports[0].refused[0].error)]


def test_the_status_of_a_user_has_the_tensors_of_the_state(
    trained: Callable[..., Path], small: Dataset, tmp_path: Path
) -> None:
    event = events_of(small)[0]
    with Center.open(trained("mimn"), f"lmdb:{tmp_path / 'store'}") as center:
        empty = center.look_up(event["user_id"])
        assert (empty.known, empty.events, empty.last_seq) == (False, 0, 0)
        center.ingest([{**event, "seq": 3}])
        result = center.look_up(event["user_id"])
    assert (result.known, result.events, result.last_seq, result.skipped) == (True, 1, 3, 2)
    assert result.timestamp == event["timestamp"]
    assert result.tensors.keys() == empty.tensors.keys() > {"memory"}
    changed = {
        name for name in result.tensors if (result.tensors[name] != empty.tensors[name]).any()
    }
    assert "memory" in changed
