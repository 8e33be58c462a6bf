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
    set_threads(1)  # These models are so small that a second thread only waits for the first.


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data, beside it ``run`` and ``own``: what trainings on it left."""
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
    vectors = np.random.default_rng(0).normal(size=(30, 6)).astype(np.float32)
    np.save(root / "vectors.npy", vectors)
    for name, more in (
        ("run", {"align": "both", "task": "scene", "engagement": "timestamp", "level_edges": "4"}),
        ("own", {"vectors": str(root / "vectors.npy"), "vectors_order": "id"}),
    ):
        pairs = [f"--set={key}={value}" for key, value in {**SETTINGS, **more}.items()]
        command = ["train", "unirec", "--data", str(root / "shop"), *pairs]
        assert run([*command, "--out", str(root / name)]) == 0
    return root


def trained(folder: Path) -> tuple[Dataset, UniRec, Callable[[Path], InsertedItems]]:
    job, model = load_trained(folder)
    data = load(job.data)
    assert isinstance(model, UniRec)
    return data, model, lambda path: insert_new_items(job, data, model, folder, path)


def test_new_items_are_recommended_beside_the_others(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "new.csv").write_text(NEW)
    command = ["recommend", str(shop / "run"), "--user", "3", "-k", "40"]
    assert run([*command, "--new-items", str(tmp_path / "new.csv")]) == 0
    shown = capsys.readouterr().out
    assert re.search(r"a7\s+Film 7 returns", shown)
    assert re.search(r"b\s+Something else", shown)
    assert run(command) == 0
    before = capsys.readouterr().out
    assert "Film 7 returns" not in before
    assert before.count("Film") == shown.count("Film") - 1


def test_what_says_the_same_gets_the_same_content(shop: Path, tmp_path: Path) -> None:
    data, model, insert = trained(shop / "run")
    items = data.items.slice(4, 3)
    copies = items.set_column(0, "item_id", pa.array(["x", "y", "z"]))
    pa.parquet.write_table(copies, tmp_path / "new.parquet")
    new = insert(tmp_path / "new.parquet")
    assert new.keys == ["x", "y", "z"]
    live = new.live
    assert len(live.model.paths) == 34
    assert torch.equal(live.model.paths[31:, 0], model.paths[5:8, 0])  # Their genre.
    assert torch.equal(live.model.paths[:31], model.paths)


def test_vectors_of_ones_own_get_the_codes_of_their_neighbours(shop: Path, tmp_path: Path) -> None:
    _, model, insert = trained(shop / "own")
    vectors = np.load(shop / "vectors.npy")
    table = {"item_id": [900, 100], "v": vectors[[3, 8]].tolist(), "genre": ["Drama", "Comedy"]}
    pa.parquet.write_table(pa.table(table), tmp_path / "new.parquet")
    live = insert(tmp_path / "new.parquet").live
    assert torch.equal(live.model.paths[31:, 1:], model.paths[[4, 9], 1:])
    narrow = pa.table({**table, "v": vectors[[3, 8], :4].tolist()})
    pa.parquet.write_table(narrow, tmp_path / "narrow.parquet")
    with pytest.raises(
        DataError, match="vectors must be of 6 numbers, as those of training, got 4"
    ):
        insert(tmp_path / "narrow.parquet")
    (tmp_path / "new.csv").write_text(NEW)
    with pytest.raises(DataError, match=r"new.csv: must be Parquet with a vector an item"):
        insert(tmp_path / "new.csv")


def test_codes_are_of_the_tokenizer_that_the_model_was_trained_on(
    shop: Path, tmp_path: Path
) -> None:
    """And not of the one that an earlier training, of two stages, left in a folder within."""
    out, alone = tmp_path / "out", tmp_path / "alone"
    settings = {**SETTINGS, "engagement": "timestamp", "level_edges": "4"}
    pairs = [f"--set={key}={value}" for key, value in settings.items()]
    command = ["train", "unirec", "--data", str(shop / "shop"), *pairs]
    first = [*command, "--set=align=both", "--seed", "0", "--out", str(out)]
    second = [*command, "--set=align=none", "--seed", "1", "--out"]
    for each in (first, [*second, str(out)], [*second, str(alone)]):
        assert run(each) == 0
    tokenizers = [load_tokenizer(place / TOKENIZER) for place in (out, out / "unirec")]
    (tmp_path / "new.csv").write_text(NEW)
    codes, expected = (trained(place)[2](tmp_path / "new.csv").codes for place in (out, alone))
    assert torch.equal(codes, expected)
    points = torch.from_numpy(read_item_vectors(out / VECTORS).vectors)
    now, before = (tokenizer.encode(points) for tokenizer in tokenizers)
    assert not torch.equal(now, before), "the two must differ, or this shows nothing"
    assert torch.equal(now.long(), trained(out)[1].paths[1:, 1:] - 1)


def test_codes_that_are_made_of_events_are_none_of_new_items(shop: Path, tmp_path: Path) -> None:
    job, model = load_trained(shop / "run")
    assert isinstance(model, UniRec)
    learnt = {"collaborative": "true", "task": "scene"}
    events = job_of("unirec", job.data, {**SETTINGS, **learnt}, seed=0, quick=False)
    (tmp_path / "new.csv").write_text(NEW)
    with pytest.raises(ValueError, match="new items: collaborative must be false"):
        insert_new_items(events, load(job.data), model, shop / "run", tmp_path / "new.csv")


@pytest.mark.parametrize(
    ("content", "said"),
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
def test_unfit_files_are_refused_by_name(
    content: str, said: str, shop: Path, tmp_path: Path
) -> None:
    (tmp_path / "new.csv").write_text(content)
    _, _, insert = trained(shop / "run")
    with pytest.raises(DataError, match=re.escape(said)):
        insert(tmp_path / "new.csv")


def test_a_plain_value_is_a_list_of_one(tmp_path: Path) -> None:
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


def test_a_task_is_named(shop: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["recommend", str(shop / "run"), "--user", "3"]
    shown = []
    for more in ([], ["--task", "feed"], ["--task", "search"]):
        assert run([*command, *more]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] != shown[2]  # User 3 is in the feed.
    assert run([*command, "--task", "home"]) == 1
    assert "no task 'home'; there are feed, search" in capsys.readouterr().err


def test_a_timed_request_is_told_its_task_and_its_user(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[list[int]] = []
    read = UniRec.read

    def listening(model: UniRec, *request: Any, user: torch.Tensor) -> list[torch.Tensor]:
        heard.append([int(request[2]), int(user)])
        return read(model, *request, user=user)

    monkeypatch.setattr(UniRec, "read", listening)
    command = ["recommend", str(shop / "run"), "--user", "3", "--timing"]
    for task in ("feed", "search"):
        assert run([*command, "--task", task]) == 0
    tasks = [task for task, _ in heard]
    assert tasks == sorted(tasks)
    assert tasks.count(0) == tasks.count(1) > 2
    assert {user for _, user in heard} == {heard[0][1]} != {0}


def test_the_guide_goes_on_from_a_training(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/unirec").symlink_to(shop / "run")
    (tmp_path / "new.csv").write_text(NEW)
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"^```python\n(.*?)^```$", GUIDE.read_text("utf-8"), re.M | re.S)
    made: dict[str, Any] = {}
    exec(block, made)  # The page's own words.
    assert made["new"].keys == ["a7", "b"]
    assert made["serving"].item.weight is made["model"].item.weight
    assert made["serving"].trie.num_items == 32


def test_one_new_item_alone_is_told_as_the_others_are(shop: Path, tmp_path: Path) -> None:
    """One row's columns are all of distinct values; the data set says which is the title."""
    _, _, insert = trained(shop / "run")
    (tmp_path / "new.csv").write_text("item_id,genre,title\nb,Comedy,Something else\n")
    assert insert(tmp_path / "new.csv").titles == ["Something else"]


def test_the_same_ids_with_other_words_are_another_space(shop: Path, tmp_path: Path) -> None:
    data, model, _ = trained(shop / "run")
    rng = np.random.default_rng(0)
    words = pa.array([f"{a} {b}" for a, b in rng.integers(100, size=(data.items.num_rows, 2))])
    place = data.items.column_names.index("title")
    other = dataclasses.replace(data, items=data.items.set_column(place, "title", words))
    (tmp_path / "new.csv").write_text(NEW)
    job, _ = load_trained(shop / "run")
    with pytest.raises(DataError, match="describes its items otherwise than in training"):
        insert_new_items(job, other, model, shop / "run", tmp_path / "new.csv")
