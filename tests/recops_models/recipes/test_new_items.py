"""New items of a trained UniRec: their codes, checks of their files, and recommendations."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

from jobs import job_of
from recops_models.cli import run
from recops_models.data import load
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.new_items import read_new_items
from recops_models.data.report import ImportReport
from recops_models.generative.unirec import UniRec
from recops_models.item_vectors import read_item_vectors
from recops_models.recipes.new_items import InsertedItems, insert_new_items
from recops_models.recipes.run import load_trained
from recops_models.recipes.semantic_ids import TOKENIZER, VECTORS
from recops_models.tokenizers.registry import load_tokenizer

GUIDE = Path(__file__).resolve().parents[3] / "docs" / "guide" / "unirec-stages.md"
SETTINGS = {"width": "8", "heads": "2", "history": "6", "codes": "4", "levels": "2", "epochs": "1"}
NEW = """item_id,title,genre
a7,Film 7 returns,Drama
b,Something else,Comedy
"""


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # The models are too small for a second thread.


ALIGNED = {"align": "both", "engagement": "timestamp", "level_edges": "4"}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data in ``shop`` and models trained on it in ``run`` and ``own``."""
    root = tmp_path_factory.mktemp("new")
    rows = ["user_id,item_id,timestamp,scene"]
    rows += [
        f"{u},{(u + step) % 30 + 1},{step},{'feed' if u % 2 else 'search'}"
        for u in range(40)
        for step in range(8 + u % 5)
    ]
    titles = [f"{item},Film {item},{'Drama' if item % 2 else 'Comedy'}" for item in range(1, 31)]
    (root / "shop").mkdir()
    (root / "shop/interactions.csv").write_text("\n".join(rows) + "\n")
    (root / "shop/items.csv").write_text("\n".join(["item_id,title,genre", *titles]) + "\n")
    ages = [f"{user},{'young' if user % 3 else 'old'}" for user in range(40)]
    (root / "shop/users.csv").write_text("\n".join(["user_id,age", *ages]) + "\n")
    vectors = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    np.save(root / "vectors.npy", vectors)
    for name, extra in (
        ("run", {**ALIGNED, "task": "scene", "user_fields": "age"}),
        ("own", {"vectors": str(root / "vectors.npy"), "vectors_order": "id"}),
    ):
        pairs = [f"--set={key}={value}" for key, value in {**SETTINGS, **extra}.items()]
        command = ["train", "unirec", "--data", str(root / "shop"), *pairs]
        assert run([*command, "--out", str(root / name)]) == 0
    return root


def trained(folder: Path) -> tuple[Dataset, UniRec, Callable[[Path], InsertedItems]]:
    job, model = load_trained(folder)
    data = load(job.data)
    assert isinstance(model, UniRec)
    return data, model, lambda path: insert_new_items(job, data, model, folder, path)


def test_new_items_are_recommended_with_the_others(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new.csv").write_text(NEW)
    command = ["recommend", str(shop / "run"), "--user", "3", "-k", "40"]
    assert run([*command, "--new-items", str(tmp_path / "new.csv")]) == 0
    output = capsys.readouterr().out
    assert re.search(r"a7\s+Film 7 returns", output)
    assert re.search(r"b\s+Something else", output)
    assert run(command) == 0
    before = capsys.readouterr().out
    assert "Film 7 returns" not in before
    assert before.count("Film") == output.count("Film") - 1


def test_copies_of_items_get_the_same_attributes(shop: Path, tmp_path: Path) -> None:
    data, model, insert = trained(shop / "run")
    items = data.items.slice(4, 3)
    copies = items.set_column(0, "item_id", pa.array(["x", "y", "z"]))
    pa.parquet.write_table(copies, tmp_path / "new.parquet")
    new = insert(tmp_path / "new.parquet")
    assert new.keys == ["x", "y", "z"]
    live = new.live
    assert len(live.model.paths) == 34
    assert torch.equal(live.model.paths[31:, 0], model.paths[5:8, 0])  # The token of the genre.
    assert torch.equal(live.model.paths[:31], model.paths)


def test_custom_vectors_get_the_codes_of_equal_vectors(shop: Path, tmp_path: Path) -> None:
    _, model, insert = trained(shop / "own")
    vectors = np.load(shop / "vectors.npy")
    table = {"item_id": [900, 100], "v": vectors[[3, 8]].tolist(), "genre": ["Drama", "Comedy"]}
    pa.parquet.write_table(pa.table(table), tmp_path / "new.parquet")
    live = insert(tmp_path / "new.parquet").live
    assert torch.equal(live.model.paths[31:, 1:], model.paths[[4, 9], 1:])
    narrow = pa.table({**table, "v": vectors[[3, 8], :4].tolist()})
    pa.parquet.write_table(narrow, tmp_path / "narrow.parquet")
    with pytest.raises(DataError, match="vectors must have 6 numbers, as in training, got 4"):
        insert(tmp_path / "narrow.parquet")
    (tmp_path / "new.csv").write_text(NEW)
    with pytest.raises(DataError, match=r"new.csv: must be Parquet with one vector per item"):
        insert(tmp_path / "new.csv")


def test_new_items_have_their_own_content(shop: Path, tmp_path: Path) -> None:
    pairs = [f"--set={key}={value}" for key, value in SETTINGS.items()]
    command = ["train", "unirec", "--data", str(shop / "shop"), *pairs, "--set=item_content=true"]
    assert run([*command, "--out", str(tmp_path / "out")]) == 0
    data, model, insert = trained(tmp_path / "out")
    copies = data.items.slice(4, 2).set_column(0, "item_id", pa.array(["x", "y"]))
    pa.parquet.write_table(copies, tmp_path / "new.parquet")
    content, known = insert(tmp_path / "new.parquet").live.model.item.content, model.item.content
    assert content is not None
    assert known is not None
    assert torch.equal(content[:31], known)
    cosines = content[31:] @ known[1:].T
    # The part of the events is zero; that of the content is of an item with the same columns.
    assert cosines.argmax(1).tolist() == [4, 5]


def test_codes_come_from_the_tokenizer_of_the_training(shop: Path, tmp_path: Path) -> None:
    """An earlier training of two stages left another tokenizer in a subfolder."""
    out, alone = tmp_path / "out", tmp_path / "alone"
    settings = {**SETTINGS, "engagement": "timestamp", "level_edges": "4"}
    pairs = [f"--set={key}={value}" for key, value in settings.items()]
    command = ["train", "unirec", "--data", str(shop / "shop"), *pairs]
    first = [*command, "--set=align=both", "--seed", "0", "--out", str(out)]
    second = [*command, "--set=align=none", "--seed", "1", "--force", "--out"]
    for each in (first, [*second, str(out)], [*second, str(alone)]):
        assert run(each) == 0
    tokenizers = [load_tokenizer(folder / TOKENIZER) for folder in (out, out / "unirec")]
    (tmp_path / "new.csv").write_text(NEW)
    codes, expected = (trained(folder)[2](tmp_path / "new.csv").codes for folder in (out, alone))
    assert torch.equal(codes, expected)
    points = torch.from_numpy(read_item_vectors(out / VECTORS).vectors)
    codes_of_training, other_codes = (tokenizer.encode(points) for tokenizer in tokenizers)
    assert not torch.equal(codes_of_training, other_codes), (
        "the test needs two different tokenizers"
    )
    assert torch.equal(codes_of_training.long(), trained(out)[1].paths[1:, 1:] - 1)


def test_collaborative_codes_do_not_exist_for_new_items(shop: Path, tmp_path: Path) -> None:
    job, model = load_trained(shop / "run")
    assert isinstance(model, UniRec)
    learnt = {"collaborative": "true", "task": "scene"}
    events = job_of("unirec", job.data, {**SETTINGS, **learnt}, seed=0, quick=False)
    (tmp_path / "new.csv").write_text(NEW)
    with pytest.raises(ValueError, match="new items: collaborative must be false"):
        insert_new_items(events, load(job.data), model, shop / "run", tmp_path / "new.csv")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("item_id,title\n", "holds no items"),
        ("title\nx\n", "must have a column item_id, got title"),
        ("item_id,title\n7,x\n", "shop already has item 7"),
        ("item_id,title\nx,1\nx,2\n", "item x is listed twice"),
        ("item_id,title\nx,1\n,2\n", "a row has no item_id"),
        ("item_id,title\nx,1,2\n", "row 1 cannot be read"),
        (
            "item_id,genre\nx,Western\n",
            "genre of item x must be one of Comedy, Drama, got Western",
        ),
        ("item_id,title\nx,y\n", "genre of item x must be one of Comedy, Drama, got nothing"),
    ],
)
def test_invalid_files_are_refused(content: str, message: str, shop: Path, tmp_path: Path) -> None:
    (tmp_path / "new.csv").write_text(content)
    _, _, insert = trained(shop / "run")
    with pytest.raises(DataError, match=re.escape(message)):
        insert(tmp_path / "new.csv")


def test_a_single_value_becomes_a_list(tmp_path: Path) -> None:
    lists = pa.array([["a"], ["b", "c"]])
    items = pa.table({"item_id": [1, 2], "kinds": lists, "price": [1.0, 2.0]})
    events = {"user_id": [0], "item_id": [1], "timestamp": [0]}
    people = pa.table({"user_id": [0]})
    data = Dataset("s", pa.table(events), items, people, ImportReport("here"))
    (tmp_path / "new.csv").write_text("item_id,kinds,price\nx,a,\ny,,3\n")
    table = read_new_items(tmp_path / "new.csv", data)
    assert table["kinds"].to_pylist() == [["a"], None]
    assert table["price"].to_pylist() == [None, 3]
    (tmp_path / "new.csv").write_text("item_id,price\nx,dear\n")
    with pytest.raises(DataError, match=r"new.csv: price must be double, as in the data set"):
        read_new_items(tmp_path / "new.csv", data)


def test_the_task_is_an_option(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["recommend", str(shop / "run"), "--user", "3"]
    output = []
    for options in ([], ["--task", "feed"], ["--task", "search"]):
        assert run([*command, *options]) == 0
        output.append(capsys.readouterr().out)
    assert output[0] == output[1] != output[2]  # The events of user 3 are in the feed.
    assert run([*command, "--task", "home"]) == 1
    assert "no task 'home'; available: feed, search" in capsys.readouterr().err


def test_timed_requests_have_the_task_and_the_user(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests: list[list[int]] = []
    encode_requests = UniRec.encode_requests

    def recording(model: UniRec, *request: Any, user: torch.Tensor) -> list[torch.Tensor]:
        requests.append([int(request[2]), int(user)])
        return encode_requests(model, *request, user=user)

    monkeypatch.setattr(UniRec, "encode_requests", recording)
    command = ["recommend", str(shop / "run"), "--user", "3", "--timing"]
    for task in ("feed", "search"):
        assert run([*command, "--task", task]) == 0
    tasks = [task for task, _ in requests]
    assert tasks == sorted(tasks)
    assert tasks.count(0) == tasks.count(1) > 2
    assert {user for _, user in requests} == {requests[0][1]} != {0}


def test_the_program_of_the_guide_runs_on_a_trained_model(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/unirec").symlink_to(shop / "run")
    (tmp_path / "new.csv").write_text(NEW)
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text("utf-8"), re.M | re.S)
    namespace: dict[str, Any] = {}
    exec(block, namespace)  # The program on the page.
    assert namespace["new"].keys == ["a7", "b"]
    assert namespace["serving"].item.weight is namespace["model"].item.weight
    assert namespace["serving"].trie.num_items == 32


def test_the_title_of_a_single_new_item_is_recognized(shop: Path, tmp_path: Path) -> None:
    """Every column of a single row has distinct values; the data set decides on the title."""
    _, _, insert = trained(shop / "run")
    (tmp_path / "new.csv").write_text("item_id,genre,title\nb,Comedy,Something else\n")
    assert insert(tmp_path / "new.csv").titles == ["Something else"]


def test_items_with_other_texts_than_in_training_are_refused(shop: Path, tmp_path: Path) -> None:
    data, model, _ = trained(shop / "run")
    rng = np.random.default_rng(0)
    words = pa.array([f"{a} {b}" for a, b in rng.integers(100, size=(data.items.num_rows, 2))])
    column = data.items.column_names.index("title")
    other = dataclasses.replace(data, items=data.items.set_column(column, "title", words))
    (tmp_path / "new.csv").write_text(NEW)
    job, _ = load_trained(shop / "run")
    with pytest.raises(DataError, match="describes its items differently than in training"):
        insert_new_items(job, other, model, shop / "run", tmp_path / "new.csv")
