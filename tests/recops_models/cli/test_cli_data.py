"""Commands on data: exit codes, one-line errors, and the files in ``--out``."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from recops.files import read_json
from recops_models import cli
from recops_models.data import IMPORTERS, NAMED_SETS, load
from recops_models.tokenizers import RQKMeans, load_sids


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("RECOPS_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RECOPS_DATA", raising=False)
    monkeypatch.delenv("RECOPS_DEBUG", raising=False)


def failure(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Run a command that fails; return its exit code and its only line on stderr."""
    code = cli.run(arguments)
    error = capsys.readouterr().err
    assert error.count("\n") == 1, error
    return code, error


def test_list_names_every_set_and_its_state(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["data", "list"]) == 0
    output = capsys.readouterr().out
    for name, known in NAMED_SETS.items():
        state = "set RECOPS_DATA" if known.wheel is None else "to be fetched"
        assert re.search(rf"^{name} +{state} ", output, re.MULTILINE)


def test_import_describe_and_load(
    atomic_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert cli.run(["data", "import", "recbole", str(atomic_files), "--out", str(out)]) == 0
    assert "small: 60 users, 90 items" in capsys.readouterr().out
    assert sorted(file.name for file in out.iterdir()) == [
        "dataset.json",
        "interactions.parquet",
        "items.parquet",
        "users.parquet",
    ]
    assert cli.run(["data", "describe", str(out)]) == 0
    output = capsys.readouterr().out
    for part in (
        "60, 60 of them",
        "90, ",
        "% of user-item pairs",
        "p50",
        "1997-11",
        "class (list of string)",
    ):
        assert part in output
    assert load(out).name == "small"


def test_help_explains_every_importer(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["data", "import", "--help"]) == 0
    output = " ".join(capsys.readouterr().out.split())
    for kind in IMPORTERS:
        assert f" {kind}, " in output


def test_import_reads_an_archive(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with zipfile.ZipFile(tmp_path / "games.zip", "w") as archive:
        archive.writestr("games/play.dat", "User\tGame\tHours\n1\t2\t0.5\n1\t2\t0.5\n3\t4\t9\n")
    out = str(tmp_path / "out")
    arguments = ["data", "import", "caserec", str(tmp_path / "games.zip"), "--out", out]
    assert cli.run(arguments) == 0
    output = capsys.readouterr().out
    assert "left out: play.dat: 1 × exact repetition of an earlier row (e.g. row 2" in output
    assert "games: 2 users, 2 items, 2 interactions" in output
    assert cli.run(["data", "describe", out]) == 0
    assert "none (random order)" in capsys.readouterr().out


def test_import_names_the_bad_rows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "user_id,item_id,timestamp\n1,2,3\n1,,3\n,4,5\n1,5,\n"
    (tmp_path / "interactions.csv").write_text(rows)
    assert cli.run(["data", "import", "csv", str(tmp_path), "--out", str(tmp_path / "o")]) == 0
    output = capsys.readouterr().out
    assert "left out: interactions.csv: 1 × item_id is missing (e.g. row 2: item_id=None)" in output
    assert "1 × user_id is missing (e.g. row 3" in output
    assert "1 × timestamp is missing (e.g. row 4" in output


def test_the_report_on_leading_zeros_names_the_option_that_keeps_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "user_id,item_id,timestamp\n1,7,1\n1,007,2\n2,8,3\n2,7,4\n"
    (tmp_path / "interactions.csv").write_text(rows)
    arguments = ["data", "import", "csv", str(tmp_path), "--out", str(tmp_path / "o")]
    assert cli.run(arguments) == 0
    output = capsys.readouterr().out
    assert "1 × item_id is not an integer" in output
    assert "--ids string" in output
    assert "3 interactions" in output
    assert cli.run([*arguments, "--ids", "string", "--force"]) == 0
    output = capsys.readouterr().out
    assert "left out" not in output
    assert "2 users, 3 items, 4 interactions" in output


def test_import_reads_a_shop_of_other_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "log.csv").write_text("ann;7,5;1700000000000\nbob;8;1700000001000\n")
    arguments = ["data", "import", "csv", str(tmp_path / "log.csv"), "--out", str(tmp_path / "o")]
    options = ["--columns", "uid, sku,when", "--map", "user_id=uid,item_id=sku"]
    options += ["--map", "timestamp=when", "--sep", ";", "--time-unit", "ms", "--ids", "string"]
    assert cli.run([*arguments, *options]) == 0
    assert "log: 2 users, 2 items, 2 interactions" in capsys.readouterr().out
    data = load(tmp_path / "o")
    assert data.item_keys == ["7,5", "8"]
    assert data.interactions["timestamp"].to_pylist() == [1_700_000_000, 1_700_000_001]


def test_describe_writes_a_schema_that_import_reads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop, file = tmp_path / "shop", tmp_path / "shop/schema.yaml"
    shop.mkdir()
    (shop / "interactions.csv").write_text("user_id,item_id,timestamp\n1,7,0\n1,8,1\n")
    (shop / "items.csv").write_text("item_id,shelf,price\n7,1,10\n8,2,20\n")
    assert cli.run(["data", "describe", str(shop), "--schema", str(file)]) == 0
    assert f"roles of columns in {file}" in capsys.readouterr().out
    assert file.read_text() == "item:\n  shelf: number\n  price: number\n"
    code, error = failure(capsys, "data", "describe", str(shop), "--schema", str(file))
    assert (code, "schema.yaml exists; remove it" in error) == (1, True)
    file.write_text("item:\n  shelf: category\n  price: skip\n")
    assert cli.run(["data", "import", "csv", str(shop), "--out", str(tmp_path / "o")]) == 0
    assert "note: skipped by the schema: price (items)" in capsys.readouterr().out
    data = load(tmp_path / "o")
    assert data.item_columns("attribute") == ["shelf"]
    assert "price" not in data.items.column_names
    file.rename(tmp_path / "mine.yaml")
    arguments = ["data", "import", "csv", str(shop), "--schema", str(tmp_path / "mine.yaml")]
    assert cli.run([*arguments, "--out", str(tmp_path / "o2")]) == 0
    assert load(tmp_path / "o2").items.equals(data.items)


def test_describe_notes_values_that_look_like_lists(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "interactions.csv").write_text("user_id,item_id,timestamp\n1,7,0\n1,8,1\n1,9,2\n")
    rows = ["7,a|b,x|y", "8,a|b,z", "9,a|b,"]
    (tmp_path / "items.csv").write_text("\n".join(["item_id,tags,model", *rows]) + "\n")
    assert cli.run(["data", "describe", str(tmp_path), "--schema", str(tmp_path / "s.yaml")]) == 0
    notes = [line for line in capsys.readouterr().out.splitlines() if "look like lists" in line]
    assert notes == [
        "note: item: tags: values such as a|b look like lists; the role `list` splits them"
    ]


def test_import_without_times_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "log.tsv").write_text("user_id\titem_id\na\tx\na\ty\n")
    arguments = ["data", "import", "csv", str(tmp_path / "log.tsv"), "--out", str(tmp_path / "o")]
    assert cli.run(arguments) == 0
    note = "note: log.tsv: no times: events are in the order of the rows"
    assert note in capsys.readouterr().out
    assert load(tmp_path / "o").time == "order"


def test_names_in_the_mapping_may_have_commas() -> None:
    from recops_models.cli.data import column_mapping

    mapping = column_mapping(["user_id = uid,item_id=sku, new,price=a", "timestamp=t,s"])
    assert mapping == {
        "user_id": "uid",
        "item_id": "sku, new",
        "price": "a",
        "timestamp": "t,s",
    }


@pytest.mark.parametrize("header_tab", ["", "\t"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_import_reads_rows_that_end_in_a_tab(
    header_tab: str, newline: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {
        "book_history.dat": ["user\titem\taccessed", "1\t5\t1\t", "1\t6\t1\t", "2\t5\t1\t"],
        "book_ratings.dat": ["user\titem\trating", "1\t5\t9\t"],
        "items_info.dat": ["Book_ID\tBook-Title\tYear", "5\tA\t1999\t", "6\t\t\t", "7\tC\t"],
    }
    with zipfile.ZipFile(tmp_path / "books.zip", "w") as archive:
        for name, (header, *rows) in files.items():
            lines = [header + header_tab, *rows, ""]
            archive.writestr(f"book/{name}", newline.join(lines))
    out = str(tmp_path / "out")
    assert cli.run(["data", "import", "caserec", str(tmp_path / "books.zip"), "--out", out]) == 0
    output = capsys.readouterr().out
    assert "left out" not in output
    assert "books: 2 users, 3 items, 3 interactions" in output
    dataset = load(out)
    assert sorted(dataset.interactions["weight"].to_pylist()) == [0, 0, 9]
    assert dataset.items.to_pydict() == {
        "item_id": [5, 6, 7],
        "title": ["A", None, "C"],
        "year": [1999.0, None, None],
    }


def test_a_row_with_an_extra_tab_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "user\titem\thours\t\n1\t2\t5\t\n1\t3\t5\t\t\n1\t4\t5\tx\n1\t4\t\n2\t2\t1\n"
    with zipfile.ZipFile(tmp_path / "g.zip", "w") as archive:
        archive.writestr("g/play.dat", rows)
    out = str(tmp_path / "out")
    assert cli.run(["data", "import", "caserec", str(tmp_path / "g.zip"), "--out", out]) == 0
    output = capsys.readouterr().out
    assert "1 × a row has 5 fields, not 3 (e.g. row 2)" in output
    assert "1 × a row has 4 fields, not 3 (e.g. row 3)" in output
    assert "g: 2 users, 2 items, 3 interactions" in output


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nope"], 2, "No such command 'nope'"),
        (["data", "nope"], 2, "No such command 'nope'. (see `recops data --help`)"),
        (["data", "get"], 2, "Missing argument"),
        (["data", "get", "nope"], 2, "no data set 'nope'; available: ml-100k"),
        (["data", "describe", "nope"], 2, "no data set and no folder 'nope'"),
        (["data", "get", "beauty"], 1, "beauty: set RECOPS_DATA"),
        (["data", "get", "office"], 1, "office: set RECOPS_DATA"),
        (["data", "describe", "anime"], 1, "anime: set RECOPS_DATA"),
        (["data", "import", "letter", "/nowhere", "--out", "x"], 1, "/nowhere: must hold one"),
        (["data", "import", "onerec", "/nowhere", "--out", "x"], 1, "/nowhere: must hold one"),
        (["data", "import", "caserec", "/nowhere", "--out", "x"], 1, "/nowhere: no such file"),
        (["data", "describe", "toys"], 1, "toys: set RECOPS_DATA"),
        (["data", "import", "xml", ".", "--out", "x"], 2, "xml"),
        (["data", "import", "csv", "/nowhere", "--out", "x"], 1, "no such folder"),
        (
            ["data", "import", "recbole", ".", "--sep", ";", "--out", "x"],
            2,
            "--map, --sep, --columns, --time-unit and --time-format apply to csv and impressions, "
            "not to recbole",
        ),
        (
            ["data", "import", "csv", ".", "--index", "x.json", "--out", "x"],
            2,
            "--index applies to letter, not to csv",
        ),
        (["data", "import", "csv", ".", "--map", "uid", "--out", "x"], 2, "--map must be name=col"),
        (["data", "import", "csv", ".", "--sep", "::", "--out", "x"], 2, "got '::'"),
        (["data", "import", "csv", ".", "--columns", "a:b", "--out", "x"], 2, "got 'a'"),
        (["data", "import", "csv", ".", "--time-unit", "ns", "--out", "x"], 2, "ns"),
        (["data", "import", "csv", ".", "--time-format", "%Q", "--out", "x"], 2, "bad directive"),
        (["tokenize", "--out", "x"], 2, "--data"),
        (["tokenize", "--data", "nope", "--out", "x"], 2, "no data set and no folder"),
        (["tokenize", "--vectors", "none.npy", "--out", "x"], 1, "none.npy: no such file"),
        (["tokenize", "--data", "beauty", "--codes", "0", "--out", "x"], 2, "--codes"),
    ],
)
def test_failures_are_one_line_with_their_exit_code(
    arguments: list[str],
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    exit_code, error = failure(capsys, *arguments)
    assert exit_code == code
    assert error.startswith("recops: ")
    assert message in error
    assert list(tmp_path.iterdir()) == []


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOPS_DEBUG", "1")
    with pytest.raises(ValueError, match="RECOPS_DATA"):
        cli.run(["data", "describe", "toys"])


@pytest.mark.parametrize(("package", "extra"), [("typer", "models"), ("pyarrow", "models")])
def test_a_missing_package_names_its_extra(
    package: str,
    extra: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for module in [name for name in sys.modules if name.startswith("recops_models.")]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, package, None)
    code, error = failure(capsys, "data", "list")
    assert code == 1
    assert f"needs the package {package}: pip install 'recops[{extra}]'" in error


def test_tokenize_writes_four_files(
    atomic_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = tmp_path / "data", tmp_path / "sids"
    cli.run(["data", "import", "recbole", str(atomic_files), "--out", str(data)])
    arguments = ["tokenize", "--data", str(data), "--levels", "3", "--codes", "8"]
    assert cli.run([*arguments, "--out", str(out)]) == 0
    assert "90 items, " in capsys.readouterr().out
    sids = load_sids(out / "sids.parquet")
    assert sids.item_ids.tolist() == list(range(1, 91))
    assert sids.codes.shape == (90, 3)
    assert RQKMeans.load(out / "tokenizer.safetensors").vocab_sizes == (8, 8, 8)
    assert read_json(out / "config.json", kind="tokenizer-config")["codes"] == [8, 8, 8]
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["items"] == 90
    assert metrics["versions"]["torch"]
    assert cli.run([*arguments, "--out", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again/sids.parquet").read_bytes() == (out / "sids.parquet").read_bytes()


def test_tokenize_takes_own_vectors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save(tmp_path / "v.npy", np.random.default_rng(0).normal(size=(40, 6)))
    arguments = ["tokenize", "--vectors", str(tmp_path / "v.npy"), "--codes", "4"]
    assert cli.run([*arguments, "--out", str(tmp_path / "out")]) == 0
    assert load_sids(tmp_path / "out" / "sids.parquet").item_ids.tolist() == list(range(40))
    code, error = failure(capsys, *arguments, "--codes", "50", "--out", str(tmp_path / "no"))
    assert (code, "40 items cannot fill 50 codes" in error) == (1, True)
    assert not (tmp_path / "no").exists()


def test_a_file_as_out_is_bad_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    np.save(tmp_path / "v.npy", np.zeros((4, 2)))
    vectors = str(tmp_path / "v.npy")
    code, _ = failure(
        capsys, "tokenize", "--vectors", vectors, "--codes", "2", "--out", str(tmp_path / "file")
    )
    assert code == 2


def test_info_shows_versions_and_folders(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["info"]) == 0
    output = capsys.readouterr().out
    for part in ("recops", "torch", "CPU kernels", "CUDA", str(tmp_path / "cache"), "not set"):
        assert part in output


@pytest.mark.parametrize(
    "command",
    [
        [],
        ["data"],
        ["data", "import"],
        ["data", "get"],
        ["data", "describe"],
        ["tokenize"],
        ["info"],
    ],
)
def test_help_shows_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([*command, "--help"]) == 0
    output = capsys.readouterr().out
    assert "Usage: recops" in output
    if command and command != ["data"]:
        assert "Example" in output


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_switches_have_no_negative_form(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run([command, "--help"]) == 0
    assert "--no-" not in capsys.readouterr().out


def test_help_starts_without_torch() -> None:
    code = (
        "import sys; from recops_models import cli; cli.run(['--help']);"
        "sys.exit('torch' in sys.modules or 'pyarrow' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0


def test_another_import_is_not_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = ["user_id,item_id,timestamp", "1,7,1", "1,8,2"]
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "interactions.csv").write_text("\n".join(rows))
    out = tmp_path / "out"
    command = ["data", "import", "csv", str(tmp_path / "a"), "--out", str(out)]
    other = ["data", "import", "csv", str(tmp_path / "b"), "--out", str(out)]
    assert cli.run(command) == 0
    (tmp_path / "a" / "interactions.csv").write_text("\n".join([*rows, "1,9,3"]))
    assert cli.run(command) == 0  # Newer data from the same place.
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    capsys.readouterr()
    for changed, option in ((other, "path"), ([*command, "--ids", "string"], "ids")):
        assert cli.run(changed) == 1
        message = capsys.readouterr().err
        assert f"holds a data set that was imported with {option}" in message
        assert message.endswith("name another folder, or replace it with --force\n")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert cli.run([*other, "--force"]) == 0
    assert cli.run(other) == 0
    assert load(str(out)).interactions.num_rows == 2
