"""Run folders: one configuration per folder, and reuse of finished stages."""

from __future__ import annotations

from pathlib import Path

import pytest

from recops.files import CorruptFileError, read_json
from recops_models.quickstart.run_folder import RunFolder

CONFIG = {"data": "ml-100k", "seed": 0}


class Stage:
    """A stage that counts how often it was computed and loaded."""

    def __init__(self, folder: RunFolder, name: str) -> None:
        self.folder, self.name = folder, name
        self.computed = self.loaded = 0

    def run(self, value: str) -> str:
        def make() -> str:
            self.computed += 1
            return value

        def load() -> str:
            self.loaded += 1
            return (self.folder / self.name).read_text()

        return self.folder.stage(
            self.name, make=make, save=(self.folder / self.name).write_text, load=load
        )


def open_run(path: Path, *, resume: bool = False, **changes: object) -> RunFolder:
    return RunFolder(path, {**CONFIG, **changes}, outputs=["a", "b"], resume=resume)


def test_resume_loads_finished_stages_and_computes_the_others(tmp_path: Path) -> None:
    assert Stage(open_run(tmp_path), "a").run("one") == "one"
    folder = open_run(tmp_path, resume=True)
    first, second = Stage(folder, "a"), Stage(folder, "b")
    assert (first.run("other"), second.run("two")) == ("one", "two")
    assert (first.computed, first.loaded, second.computed, second.loaded) == (0, 1, 1, 0)
    assert set(folder.seconds) == {"a", "b"}


def test_a_stage_that_fails_is_not_finished(tmp_path: Path) -> None:
    def fail() -> str:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_run(tmp_path).stage("a", make=fail, save=lambda _: None, load=str)
    assert Stage(open_run(tmp_path, resume=True), "a").run("one") == "one"


def test_without_resume_a_run_starts_again(tmp_path: Path) -> None:
    Stage(open_run(tmp_path), "a").run("one")
    (tmp_path / "notes.txt").write_text("mine")
    folder = open_run(tmp_path)
    assert not (tmp_path / "a").exists()
    assert (tmp_path / "notes.txt").exists()
    assert Stage(folder, "a").run("two") == "two"


@pytest.mark.parametrize("resume", [False, True])
def test_another_configuration_is_refused(tmp_path: Path, resume: bool) -> None:
    Stage(open_run(tmp_path), "a").run("one")
    with pytest.raises(ValueError, match="a run with seed 0, not 1: name another folder"):
        open_run(tmp_path, resume=resume, seed=1)
    assert (tmp_path / "a").read_text() == "one"
    assert read_json(tmp_path / "config.json", kind="config") == CONFIG


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match="holds files, but no run"):
        open_run(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


@pytest.mark.parametrize("name", ["config.json", "journal.json"])
def test_a_damaged_file_is_named(tmp_path: Path, name: str) -> None:
    Stage(open_run(tmp_path), "a").run("one")
    data = bytearray((tmp_path / name).read_bytes())
    data[5] ^= 1
    (tmp_path / name).write_bytes(data)
    with pytest.raises(CorruptFileError, match=name):
        open_run(tmp_path, resume=True)


def test_resuming_keeps_files_of_an_interrupted_stage(tmp_path: Path) -> None:
    (open_run(tmp_path) / "a").write_text("half")
    assert (open_run(tmp_path, resume=True) / "a").read_text() == "half"
    assert not (open_run(tmp_path) / "a").exists()
