"""``recops recommend``: the list of one user, or a file with the lists of many."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import recops_models as rm
from jobs import job_of
from recops_models.cli import run
from recops_models.data import load
from recops_models.data.storage import read_table
from recops_models.generative.popularity import Popularity
from recops_models.generative.ranker import REQUESTS, Ranking
from recops_models.recipes.run import train_job
from small_shop import SETTINGS, write_shop

USERS = REQUESTS + 20


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # The models are too small for a second thread.


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """Return a function from a model's name to the folder where it was trained once."""
    root = tmp_path_factory.mktemp("recommend")
    shop = write_shop(root / "shop", users=USERS)

    def make(model: str) -> str:
        out = root / model
        if not out.exists():
            out.mkdir()
            settings = {**SETTINGS[model], **({"task": "scene"} if model == "unirec" else {})}
            train_job(job_of(model, str(shop), settings, seed=0, quick=False), load(shop), out)
        return str(out)

    return make


@pytest.mark.parametrize("model", ["popularity", "unirec", "din"])
def test_a_file_has_the_lists_of_single_requests(
    model: str,
    trained: Callable[[str], str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    lists = tmp_path / "lists.parquet"
    (tmp_path / "users.txt").write_text("7\n3\n")
    command = ["recommend", trained(model), "-k", "4"]
    many = ["--users", str(tmp_path / "users.txt"), "--out", str(lists)]
    assert run([*command, *many]) == 0
    assert capsys.readouterr().out == f"8 items for 2 users in {lists}\n"
    table = read_table(lists)
    assert table.column_names == ["user", "place", "item", "score"]
    assert table["user"].to_pylist() == [7, 7, 7, 7, 3, 3, 3, 3]
    assert table["place"].to_pylist() == [1, 2, 3, 4] * 2
    python = rm.load(trained(model)).recommend([7, 3], k=4)
    assert python.rename_columns(table.column_names).equals(table)
    assert run([*command, "--user", "3"]) == 0
    printed_rows = [line.split()[:3] for line in capsys.readouterr().out.splitlines()[1:]]
    rows = zip(*(table[name].to_pylist()[4:] for name in table.column_names[1:]), strict=True)
    assert printed_rows == [[str(rank), f"{score:.3f}", str(item)] for rank, item, score in rows]


def test_all_users_with_new_items_in_a_task(
    trained: Callable[[str], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new.csv").write_text("item_id,title,genre\na7,Film 7 returns,Drama\n")
    new, lists = str(tmp_path / "new.csv"), tmp_path / "lists.parquet"
    command = ["recommend", trained("unirec"), "--users", "all", "-k", "40", "--out", str(lists)]
    assert run([*command, "--new-items", new, "--task", "feed"]) == 0
    table = read_table(lists)
    assert table["user"].unique().to_pylist() == list(range(USERS - 1))
    assert table["item"].to_pylist().count("a7") == USERS - 1
    before = lists.read_bytes()
    assert run([*command, "--task", "nowhere"]) == 1
    assert "no task 'nowhere'; available: feed, search" in capsys.readouterr().err
    assert lists.read_bytes() == before


def test_no_file_is_written_for_an_unknown_user(
    trained: Callable[[str], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, lists = tmp_path / "users.txt", tmp_path / "lists.parquet"
    file.write_text("3\nnobody\n")
    command = ["recommend", trained("popularity"), "--users", str(file), "--out", str(lists)]
    assert run(command) == 1
    message = (
        f"recops: {file}, line 2: user 'nobody' is not among the {USERS} users of shop, such as 0\n"
    )
    assert capsys.readouterr().err == message
    assert not lists.exists()


def test_k_may_exceed_the_number_of_items(
    trained: Callable[[str], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lists = tmp_path / "lists.parquet"
    command = ["recommend", trained("popularity"), "-k", str(2**63 - 1)]
    assert run([*command, "--users", "all", "--out", str(lists)]) == 0
    assert run([*command, "--user", "3"]) == 0


def test_an_interrupt_keeps_the_old_file(
    trained: Callable[[str], str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lists, batch_sizes = tmp_path / "lists.parquet", list[int]()
    lists.write_text("of yesterday")
    decode = Popularity.decode

    def stop_in_the_second(model: Popularity, *arguments: Any) -> Ranking:
        ranking = decode(model, *arguments)
        batch_sizes.append(len(ranking.items))
        if len(batch_sizes) == 2:
            raise KeyboardInterrupt
        return ranking

    monkeypatch.setattr(Popularity, "decode", stop_in_the_second)
    command = ["recommend", trained("popularity"), "--users", "all", "--out", str(lists)]
    assert run(command) == 1
    assert capsys.readouterr().err == "recops: interrupted\n"
    assert batch_sizes == [REQUESTS, USERS - 1 - REQUESTS]
    assert lists.read_text() == "of yesterday"
    assert [path.name for path in tmp_path.iterdir()] == ["lists.parquet"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name either one user (--user) or many (--users)"),
        (["--user", "3", "--users", "all"], "name either one user (--user) or many (--users)"),
        (["--users", "all"], "--users and --out go together"),
        (["--user", "3", "--out", "lists.parquet"], "--users and --out go together"),
        (["--users", "all", "--out", "l.csv"], "--out must end in .parquet, got l.csv"),
        (["--users", "all", "--out", "no/l.parquet"], "--out must be a file in an existing folder"),
        (["--users", "all", "--out", "l.parquet", "--timing"], "--timing requires --user"),
        (["--user", "3", "--explore", "eps=0.1"], "explore: no setting 'eps'; available: epsilon"),
        (["--user", "3", "--explore", "epsilon=1", "--plain"], "--plain exclude each other"),
        (["--user", "3", "--log-time", "2026-01-31"], "--log-time requires --log"),
        (["--user", "3", "--log", "l", "--log-time", "noon"], "--log-time"),
    ],
)
def test_bad_usage_is_refused_before_reading_the_model(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["recommend", "nowhere", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def lists_of(
    trained: Callable[[str], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> Callable[..., dict[int, list[int]]]:
    """Return a function from a model and options to the items of users 3 and 7."""

    def make(model: str, *options: str) -> dict[int, list[int]]:
        (tmp_path / "asked.txt").write_text("3\n7\n")
        command = ["recommend", trained(model), "--users", str(tmp_path / "asked.txt"), "-k", "30"]
        assert run([*command, "--out", str(tmp_path / "lists.parquet"), *options]) == 0
        table = read_table(tmp_path / "lists.parquet")
        lists: dict[int, list[int]] = {3: [], 7: []}
        for user, item in zip(table["user"].to_pylist(), table["item"].to_pylist(), strict=True):
            lists[user].append(item)
        return lists

    return make


SEEN = {3: set(range(4, 15)), 7: set(range(8, 18))}
"""Items of the histories of users 3 and 7; see :func:`write_shop`."""


@pytest.mark.parametrize("model", ["popularity", "unirec", "din"])
def test_lists_have_only_items_that_pass_all_filters(
    model: str, lists_of: Callable[..., dict[int, list[int]]], tmp_path: Path
) -> None:
    everything = lists_of(model)
    (tmp_path / "allowed.tsv").write_text("item_id\n" + "\n".join(map(str, range(1, 25))) + "\n")
    (tmp_path / "banned.csv").write_text("user_id,item_id\n3,1\n3,2\n7,20\n")
    filters = ["--allowed", str(tmp_path / "allowed.tsv"), "--banned", str(tmp_path / "banned.csv")]
    lists = lists_of(model, *filters, "--where", "genre = 'Comedy' and item_id != 22")
    for user, banned in ((3, {1, 2}), (7, {20})):
        passing = {i for i in range(1, 25) if i % 2 == 0} - banned - {22} - SEEN[user]
        assert set(everything[user]) == set(range(1, 31)) - SEEN[user]
        assert lists[user] == [item for item in everything[user] if item in passing]
        assert lists[user]


def test_candidates_are_ranked_for_each_user(
    lists_of: Callable[..., dict[int, list[int]]], tmp_path: Path
) -> None:
    everything = lists_of("din")
    (tmp_path / "c.csv").write_text("user_id,item_id\n3,30\n3,1\n3,4\n7,1\n7,2\n7,999\n")
    lists = lists_of("din", "--candidates", str(tmp_path / "c.csv"))
    assert lists == {
        3: [item for item in everything[3] if item in (1, 30)],
        7: [item for item in everything[7] if item in (1, 2)],
    }


def test_filters_read_new_items(
    lists_of: Callable[..., dict[int, list[int]]], tmp_path: Path
) -> None:
    (tmp_path / "new.csv").write_text(
        "item_id,title,genre\n98,Film 98,Drama\n97,Film 97,Comedy\n99,Film 99,Comedy\n"
    )
    new = ("--new-items", str(tmp_path / "new.csv"))
    lists = lists_of("unirec", *new, "--allowed", "97,98")
    assert {user: set(items) for user, items in lists.items()} == {3: {97, 98}, 7: {97, 98}}
    (tmp_path / "allowed.csv").write_text("user_id,item_id\n3,97\n3,1\n7,98\n7,99\n7,2\n")
    per_user = (*new, "--allowed", str(tmp_path / "allowed.csv"))
    lists = lists_of("unirec", *per_user)
    assert {user: set(items) for user, items in lists.items()} == {3: {1, 97}, 7: {2, 98, 99}}
    comedies = lists_of("unirec", *per_user, "--where", "genre = 'Comedy'", "--banned", "99")
    assert comedies == {3: [97], 7: [2]}
    (tmp_path / "new.csv").write_text("item_id,title,genre\na7,Film 7 returns,Drama\n")
    lists = lists_of("unirec", *new, "--where", "item_id in ('a7', '1')")
    assert {user: set(items) for user, items in lists.items()} == {3: {"a7", "1"}, 7: {"a7", "1"}}


def test_timing_measures_a_filtered_request(
    trained: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["recommend", trained("unirec"), "--user", "3", "-k", "30", "--allowed", "1,2,4"]
    assert run([*command, "--timing"]) == 0
    *rows, timing = capsys.readouterr().out.splitlines()
    assert {line.split()[2] for line in rows[1:]} == {"1", "2"}
    assert " ms per request with 100 beams: encode " in timing


def test_a_single_list_is_filtered(
    trained: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["recommend", trained("popularity"), "--user", "3", "-k", "30"]
    assert run([*command, "--allowed", "1, 2,4,x"]) == 0
    output = capsys.readouterr()
    assert {line.split()[2] for line in output.out.splitlines()[1:]} == {"1", "2"}
    assert output.err == "note: --allowed: 1 of 4 ids are not in the catalogue\n"


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["--where", "color = 'red'"], 1, "where: no column 'color' of items (columns: item_id,"),
        (["--where", "genre ="], 1, "must have a value ('text' in single quotes, or a number)"),
        (["--candidates", "nowhere.csv"], 1, "--candidates: no such file: nowhere.csv"),
        (["--candidates", "ids.txt"], 2, "ids.txt must have the columns user_id and item_id"),
        (["--banned", "bad.csv"], 1, "bad.csv: no column 'item_id' (columns: user_id, item)"),
        (["--banned", "gap.csv"], 1, "gap.csv, row 2: item_id is missing"),
    ],
)
def test_unfit_filters_are_one_line(
    options: list[str],
    code: int,
    message: str,
    trained: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ids.txt").write_text("1\n2\n")
    (tmp_path / "bad.csv").write_text("user_id,item\n1,2\n")
    (tmp_path / "gap.csv").write_text("user_id,item_id\n1,2\n1,\n")
    assert run(["recommend", trained("popularity"), "--user", "3", *options]) == code
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


@pytest.mark.parametrize("model", ["popularity", "unirec", "din"])
def test_every_model_explores_and_logs_its_propensities(
    model: str, trained: Callable[[str], str], tmp_path: Path
) -> None:
    folder, lists = trained(model), tmp_path / "lists.parquet"
    command = ["recommend", folder, "--users", "all", "--out", str(lists), "-k", "3"]
    explore = ["--explore", "epsilon=0.4", "--seed", "5", "--log", str(tmp_path / "log")]
    assert run([*command, *explore, "--log-time", "2026-01-31 08:00"]) == 0
    table = read_table(lists)
    with pytest.warns(UserWarning, match="fewer than 30 items"):
        full = rm.load(folder).recommend(k=30)
    ranked = dict[int, list[int]]()
    for user, item in zip(full["user_id"].to_pylist(), full["item_id"].to_pylist(), strict=True):
        ranked.setdefault(user, []).append(item)
    lists = {user: list(items) for user, items in ranked.items()}
    assert table["explored"].to_pylist() == [
        item not in ranked[user][:3]
        for user, item in zip(table["user"].to_pylist(), table["item"].to_pylist(), strict=True)
    ]
    best = 0
    for row in table.to_pylist():
        remaining = lists[row["user"]]
        is_best = remaining[0] == row["item"]
        best += is_best
        assert row["propensity"] == pytest.approx(0.6 * is_best + 0.4 / len(remaining))
        assert row["score"] == row["plain_score"]
        remaining.remove(row["item"])
    assert 0.55 < best / table.num_rows < 0.75
    logged = rm.read_impressions(tmp_path / "log")
    assert set(logged["timestamp"].to_pylist()) == {1769846400}
    assert logged["policy"].unique().to_pylist() == ["epsilon=0.4"]
    assert logged["model"][0].as_py().startswith(f"{model}@")
    key = ["user_id", "position", "item_id", "score", "propensity"]
    names = {"user": "user_id", "place": "position", "item": "item_id"}
    shown = table.rename_columns([names.get(name, name) for name in table.column_names])
    order = [("user_id", "ascending"), ("position", "ascending")]
    assert logged.select(key).sort_by(order).equals(shown.select(key).sort_by(order))
    python = rm.load(folder).recommend(k=3, explore={"epsilon": 0.4}, seed=5)
    assert python["propensity"].to_pylist() == table["propensity"].to_pylist()
    assert python["item_id"].to_pylist() == table["item"].to_pylist()


def test_a_list_without_exploration_is_logged_with_propensity_1(
    trained: Callable[[str], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = str(tmp_path / "log")
    command = ["recommend", trained("popularity"), "--user", "3", "-k", "2", "--log", log]
    assert run(command) == 0
    assert run(command) == 0
    shown = [int(line.split()[2]) for line in capsys.readouterr().out.splitlines()[1:3]]
    table = rm.read_impressions(log)
    assert table["propensity"].to_pylist() == [1.0] * 4
    assert table["item_id"].to_pylist() == shown * 2
    assert len(table["request"].unique()) == 2


def test_no_list_is_given_out_if_the_log_cannot_be_written(
    trained: Callable[[str], str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def full_disk(path: object, data: bytes) -> None:
        raise OSError(28, "No space left on device")

    impressions = importlib.import_module("recops_models.data.impressions")
    monkeypatch.setattr(impressions, "write_sealed", full_disk)
    log = ["--log", str(tmp_path / "log")]
    out = ["--users", "all", "--out", str(tmp_path / "lists.parquet")]
    for request in (["--user", "3"], out):
        assert run(["recommend", trained("popularity"), *request, *log]) == 1
        output = capsys.readouterr()
        assert output.out == ""
        assert "No space left on device" in output.err
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    assert not list((tmp_path / "log").iterdir())
