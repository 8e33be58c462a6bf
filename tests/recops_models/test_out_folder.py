"""Output folders: reserved for one command, and locked by one process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recops.files import write_json
from recops_models import cli
from recops_models.out_folder import out_folder


def test_new_and_own_folders_are_accepted(tmp_path: Path) -> None:
    for _ in range(2):
        with out_folder(tmp_path, kind="dataset") as folder:
            write_json(folder / "dataset.json", {}, kind="dataset")
    assert [file.name for file in tmp_path.iterdir()] == ["dataset.json"]


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("config.json", "tokenizer-config", "its config.json belongs to `recops tokenize`"),
        ("config.json", "training-config", "its config.json belongs to `recops train`"),
        ("config.json", "config", "its config.json belongs to `recops quickstart`"),
        ("config.json", "something", "its config.json belongs to another program"),
        ("results.json", "results", "its results.json belongs to `recops reproduce`"),
    ],
)
def test_a_folder_of_another_command_is_refused(
    name: str, kind: str, message: str, tmp_path: Path
) -> None:
    write_json(tmp_path / name, {"a": 1}, kind=kind)
    with pytest.raises(ValueError, match=message), out_folder(tmp_path, kind="dataset"):
        pass


@pytest.mark.parametrize("content", [b"", b"[]", b'{"model_type": "gpt2"}', b"\xff", b"[" * 9999])
def test_a_foreign_config_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(content)
    with (
        pytest.raises(ValueError, match="belongs to another program"),
        out_folder(tmp_path, kind="dataset"),
    ):
        pass


def test_the_source_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f.zip").write_bytes(b"")
    for source in (tmp_path, tmp_path / "f.zip", tmp_path / "." / "f.zip"):
        with (
            pytest.raises(ValueError, match="holds the source"),
            out_folder(tmp_path, kind="dataset", source=source),
        ):
            pass


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from recops_models.out_folder import out_folder\n"
        "with out_folder(Path(sys.argv[1]), kind='dataset'): print('in', flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in\n"
        with (
            pytest.raises(ValueError, match="another command is writing into it"),
            out_folder(tmp_path, kind="dataset"),
        ):
            pass
        other.kill()
    with out_folder(tmp_path, kind="dataset"):
        assert os.listdir(tmp_path) == []  # noqa: PTH208


def test_commands_refuse_folders_of_other_commands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop, sids = tmp_path / "shop", tmp_path / "sids"
    shop.mkdir()
    (shop / "interactions.csv").write_text("user_id,item_id,timestamp\n1,2,3\n2,2,4\n")
    np.save(tmp_path / "v.npy", np.random.default_rng(0).normal(size=(20, 4)))
    tokenize = ["tokenize", "--vectors", str(tmp_path / "v.npy"), "--codes", "4", "--out"]
    assert cli.run([*tokenize, str(sids)]) == 0
    before = {file.name: file.read_bytes() for folder in (shop, sids) for file in folder.iterdir()}
    capsys.readouterr()
    for arguments, message in (
        (["data", "import", "csv", str(shop), "--out", str(shop)], "holds the source"),
        (["data", "import", "csv", str(shop), "--out", str(sids)], "belongs to `recops tokenize`"),
        (["reproduce", "drq", "--quick", "--out", str(sids)], "belongs to `recops tokenize`"),
    ):
        assert cli.run(arguments) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        assert message in error
    data = tmp_path / "data"
    assert cli.run(["data", "import", "csv", str(shop), "--out", str(data)]) == 0
    assert cli.run([*tokenize, str(data)]) == 1
    assert cli.run(["diagnose", str(sids), "--out", str(data)]) == 1
    after = {file.name: file.read_bytes() for folder in (shop, sids) for file in folder.iterdir()}
    assert after == before


def test_unfinished_files_of_a_killed_command_are_removed_with_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "unirec" / "deep").mkdir(parents=True)
    unfinished = [".items.parquet.0123abcd.tmp", "unirec/.model.safetensors.89efcdab.tmp"]
    foreign = ["own.tmp", ".mine.tmp", "unirec/deep/.model.safetensors.89efcdab.tmp"]
    for name in (*unfinished, *foreign):
        (tmp_path / name).write_bytes(b"half")
    with out_folder(tmp_path, kind="dataset"):
        assert all((tmp_path / name).exists() for name in unfinished), "their command is unknown"
    write_json(tmp_path / "dataset.json", {}, kind="dataset")
    with out_folder(tmp_path, kind="dataset"):
        remaining = {
            str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*") if file.is_file()
        }
        assert remaining == {"dataset.json", *foreign}
    note = capsys.readouterr().err
    assert note == f"note: removed 2 unfinished files, left in {tmp_path} by a killed command\n"
