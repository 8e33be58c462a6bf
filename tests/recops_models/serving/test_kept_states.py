"""A new model continues from the states of an earlier one, without a replay."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from centers import events_of, untrained
from recops_models.cli import run
from recops_models.data import Dataset
from recops_models.serving.center import Center
from recops_models.serving.errors import ModelVersionError
from recops_models.serving.forgetting import forget_users
from recops_models.serving.generations import next_generation, read_active
from recops_models.serving.kept_states import keep_states
from recops_models.serving.keys import generation_prefix, user_key
from recops_models.serving.served_model import ServedModel


@pytest.fixture(scope="module")
def events(small: Dataset) -> list[dict[str, Any]]:
    return events_of(small)


def test_states_keep_their_bits_under_a_new_version(
    trained: Callable[..., Path], store_url: str, events: list[dict[str, Any]]
) -> None:
    with Center.open(trained("mimn"), store_url) as center:
        center.ingest(events[:300])
        user = events[0]["user_id"]
        before, scores = center.look_up(user), center.score(user, [5, 6, 7])
        served = ServedModel.load(trained("mimn", seed=1))
        assert keep_states(center.store, served) == len({e["user_id"] for e in events[:300]})
        after = center.look_up(user)  # The open center loads the new model.
        assert after.model_version == served.version_text != before.model_version
        assert (after.events, after.last_seq) == (before.events, before.last_seq)
        for name, tensor in before.tensors.items():
            assert (after.tensors[name] == tensor).all()
        assert (center.score(user, [5, 6, 7]).logits != scores.logits).any()
        assert center.ingest(events[:300]).duplicates == 300
        report = center.ingest(events[300:])
        assert report.accepted == len(events) - 300
        assert center.stats().events == len(events)
        active = read_active(center.store)
        assert active is not None
        prefixes = {key[:9] for key, _ in center.store.scan([b"0"])}
        assert prefixes == {generation_prefix(active.generation)}


def test_a_user_forgotten_during_the_copy_has_no_state(
    trained: Callable[..., Path],
    tmp_path: Path,
    events: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with Center.open(trained("mimn"), f"lmdb:{tmp_path / 'store'}") as center:
        center.ingest(events[:300])
        user = str(events[0]["user_id"])
        active = read_active(center.store)
        assert active is not None
        new = user_key(next_generation(active), user)
        from recops_models.serving import kept_states

        copy, forgotten = kept_states._copy, []

        def copy_and_forget(*arguments: Any) -> Any:
            result = copy(*arguments)
            if not forgotten:
                assert center.store.view([new]).values[0] is not None
                forgotten.append(forget_users(center.store, [user]))
            return result

        monkeypatch.setattr(kept_states, "_copy", copy_and_forget)
        keep_states(center.store, ServedModel.load(trained("mimn", seed=1)))
        assert not center.look_up(user).known


def test_states_of_another_size_are_refused_and_stay(
    trained: Callable[..., Path], tmp_path: Path, events: list[dict[str, Any]]
) -> None:
    with Center.open(trained("mimn"), f"lmdb:{tmp_path / 'store'}") as center:
        center.ingest(events[:100])
        user, version = events[0]["user_id"], center.model_version
        for other in (trained("hpmn"), trained("mimn", slots="3")):
            with pytest.raises(ModelVersionError, match="layout of the new model to be kept"):
                keep_states(center.store, ServedModel.load(other))
        with pytest.raises(ModelVersionError, match="is already served"):
            keep_states(center.store, ServedModel.load(trained("mimn")))
        assert center.look_up(user).known
        assert center.model_version == version
    with (
        Center.open(trained("mimn"), f"lmdb:{tmp_path / 'other'}") as empty,
        pytest.raises(ModelVersionError, match="already served"),
    ):
        keep_states(empty.store, ServedModel.load(trained("mimn")))


def test_history_that_comes_late_is_reported_and_can_be_replayed(
    small: Dataset,
    events: list[dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = untrained("mimn", small, tmp_path / "data", tmp_path / "mimn")
    store, half = f"lmdb:{tmp_path / 'store'}", len(events) // 2
    for name, part in (("history", events[:half]), ("live", events[half:])):
        lines = "".join(json.dumps(event) + "\n" for event in part)
        (tmp_path / f"{name}.jsonl").write_text(lines)
    target = ["--model", str(model), "--store", store]
    sources = [str(tmp_path / f"{name}.jsonl") for name in ("history", "live")]
    assert run(["uic", "ingest", *target, "--events", sources[1]]) == 0
    assert run(["uic", "ingest", *target, "--events", sources[0]]) == 0
    captured = capsys.readouterr()
    late = json.loads(captured.out.splitlines()[-1])["late"]
    assert late > 0
    assert f"warning: {late:,} events are not in the states" in captured.err
    assert "refresh --rebuild" in captured.err
    replay = ["--events", sources[0], "--events", sources[1]]
    assert run(["uic", "refresh", *target, *replay]) == 1
    assert "is already served" in capsys.readouterr().err
    assert run(["uic", "refresh", *target, *replay, "--rebuild"]) == 0
    with Center.open(model, store) as center, Center.open(model, f"lmdb:{tmp_path / 'b'}") as other:
        other.ingest(events)
        user = events[0]["user_id"]
        rebuilt, expected = center.look_up(user), other.look_up(user)
        assert rebuilt.events == expected.events
        for name, tensor in expected.tensors.items():
            assert (rebuilt.tensors[name] == tensor).all()


def test_the_command_keeps_states_or_replays(
    small: Dataset,
    events: list[dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    old, new = (
        untrained("mimn", small, tmp_path / "data", tmp_path / str(seed), seed=seed)
        for seed in (0, 1)
    )
    store = f"lmdb:{tmp_path / 'store'}"
    with Center.open(old, store) as center:
        assert not center.has_states
        center.ingest(events[:100])
        assert center.has_states
    command = ["uic", "refresh", "--model", str(new), "--store", store]
    assert run(command) == 2
    assert run([*command, "--keep-states", "--events", "x.jsonl"]) == 2
    assert run([*command, "--keep-states"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["users"] == len({event["user_id"] for event in events[:100]})
    with Center.open(new, store) as center:
        assert center.model_version == printed["model_version"]
