"""Readers of individual data sets, on small files in their formats."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recops_models.data import DataError
from recops_models.data.importers.assist2017 import read_assist2017
from recops_models.data.importers.folder import read_folder
from recops_models.data.importers.letter import read_letter
from recops_models.data.importers.letter_yelp import read_letter_yelp
from recops_models.data.importers.ml_1m import read_ml_1m
from recops_models.data.importers.nyc_checkins import read_nyc_checkins
from recops_models.data.importers.s3rec import read_s3rec


def write(folder: Path, **tables: dict[str, list[object]]) -> Path:
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    return folder


def ml_1m(folder: Path, **changed: list[object]) -> Path:
    events: dict[str, list[object]] = {
        "user_id": [2, 1, 1, 1],
        "item_id": [7, 8, 7, 9],
        "timestamp": [50, 100, 100, 90],
        "time_known": [True, True, False, True],
        "position": [0, 2, 1, 0],
        "rating_class": [2, 0, None, 1],
    }
    return write(
        folder,
        interactions=events | changed,
        items={
            "item_id": [7, 8, 9, 10],
            "title": ["Heat (1995)", "2001: A Space Odyssey (1968)", "No year", "Up"],
            "genres": ["Action Crime", "Sci-Fi", "Children's Film-Noir", "Drama"],
        },
        users={"user_id": [1, 2], "gender": ["F", "M"], "age": [1, 56], "occupation": [10, 16]},
    )


def test_ml_1m_is_sorted_by_time_then_position(tmp_path: Path) -> None:
    dataset = read_ml_1m(ml_1m(tmp_path))
    events = dataset.interactions
    assert events["item_id"].to_pylist() == [7, 9, 7, 8]
    assert events["feedback"].to_pylist() == [2, 1, 1, 0], "null counts as neutral"
    assert "position" not in events.column_names, "it is not the slot of an impression"
    assert any("1 unknown ratings of at most 3" in note for note in dataset.report.notes)
    assert any(note.startswith("1 times are carried") for note in dataset.report.notes)


def test_films_have_year_and_genres_and_users_have_categories(tmp_path: Path) -> None:
    dataset = read_ml_1m(ml_1m(tmp_path))
    assert dataset.items["year"].to_pylist() == ["1995", "1968", None, None]
    assert dataset.items["genres"][2].as_py() == ["Children's", "Film-Noir"]
    assert dataset.items["genre_set"][0].as_py() == "Action|Crime"
    assert dataset.item_columns("text") == ["title"]
    assert dataset.users["age"].to_pylist() == ["1", "56"]


def test_an_invalid_rating_class_is_counted(tmp_path: Path) -> None:
    dataset = read_ml_1m(ml_1m(tmp_path, rating_class=[2, 3, 1, 0]))
    assert dataset.interactions.num_rows == 3
    assert "feedback is not 0, 1 or 2" in str(dataset.report.bad_rows[0])


def test_assist2017_has_positions_as_times_and_the_most_frequent_skill(tmp_path: Path) -> None:
    write(
        tmp_path,
        interactions={
            "user_id": [1, 1, 1, 2],
            "item_id": [5, 5, 6, 5],
            "skill": [3, 4, 9, 4],
            "position": [1, 0, 2, 0],
            "label": [0, 1, 1, 0],
        },
    )
    dataset = read_assist2017(tmp_path)
    assert dataset.time == "order"
    assert dataset.interactions["item_id"].to_pylist() == [5, 5, 5, 6]
    assert dataset.interactions["label"].to_pylist() == [1, 0, 0, 1]
    assert dataset.items["skill"].to_pylist() == ["4", "9"]
    assert any("1 events have another skill" in note for note in dataset.report.notes)


def test_nyc_checkins_has_coordinates(tmp_path: Path) -> None:
    write(
        tmp_path,
        interactions={"user_id": [1, 2], "item_id": [4, 4], "timestamp": [60, 0]},
        items={"item_id": [4, 5], "latitude": [40.7, 40.8], "longitude": [-74.0, -73.9]},
    )
    dataset = read_nyc_checkins(tmp_path)
    assert dataset.interactions["user_id"].to_pylist() == [2, 1]
    assert dataset.item_columns("number") == ["latitude", "longitude"]


@pytest.mark.parametrize("read", [read_ml_1m, read_assist2017, read_nyc_checkins])
def test_missing_files_and_columns_are_named(read, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"interactions\.parquet: not readable as Parquet"):
        read(tmp_path)
    write(tmp_path, interactions={"item_id": [1]}, items={"item_id": [1]})
    with pytest.raises(DataError, match=r"interactions\.parquet: no column 'user_id'"):
        read(tmp_path)


def yelp(folder: Path, items: object) -> Path:
    (folder / "amazon_s3rec").mkdir()
    (folder / "letter").mkdir()
    (folder / "amazon_s3rec/Yelp.txt").write_text("1 1 2 2\n2 2 1\n")
    (folder / "letter/yelp.item.json").write_text(json.dumps(items))
    sids = {"0": ["<a_1>", "<b_2>"], "1": ["<a_1>", "<b_3>"]}
    (folder / "letter/yelp.index.json").write_text(json.dumps(sids))
    return folder


def test_letter_yelp_has_ids_from_zero(tmp_path: Path) -> None:
    items = {"1": {"title": "Sal's", "description": "Pizza, Food"}}
    dataset = read_letter_yelp(yelp(tmp_path, items))
    assert dataset.interactions["user_id"].to_pylist() == [0, 1, 0, 1, 0]
    assert dataset.interactions["item_id"].to_pylist() == [0, 1, 1, 0, 1]
    assert dataset.items["title"].to_pylist() == [None, "Sal's"]
    assert dataset.items["categories"].to_pylist() == [None, ["Pizza", "Food"]]
    assert dataset.items["sid"].to_pylist() == [[1, 2], [1, 3]]


def test_letter_yelp_refuses_items_that_are_not_objects(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"yelp\.item\.json: must be an object from item id to"):
        read_letter_yelp(yelp(tmp_path, {"1": "Sal's"}))


@pytest.mark.parametrize("attributes", [False, True])
def test_s3rec_reads_titles(tmp_path: Path, attributes: bool) -> None:
    (tmp_path / "d.txt").write_text("1 1 2\n2 3 1\n")
    (tmp_path / "d_item2title.json").write_text(json.dumps({"3": "c", "1": "a", "2": "b"}))
    if attributes:
        (tmp_path / "d_item2attributes.json").write_text(json.dumps({"2": [5]}))
    items = read_s3rec(tmp_path / "d.txt").items
    assert items["title"].to_pylist() == ["a", "b", "c"]
    if attributes:
        assert items["attributes"].to_pylist() == [None, [5], None]


def test_s3rec_refuses_titles_that_are_not_text(tmp_path: Path) -> None:
    (tmp_path / "d.txt").write_text("1 1 2\n")
    (tmp_path / "d_item2title.json").write_text(json.dumps({"1": 7}))
    with pytest.raises(DataError, match="title, got another value for item '1'"):
        read_s3rec(tmp_path / "d.txt")


def test_a_folder_may_have_feedback(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text(
        "user_id,item_id,timestamp,feedback\n1,1,0,2\n1,2,1,0\n1,3,2,0.5\n"
    )
    dataset = read_folder(tmp_path)
    assert dataset.interactions["feedback"].to_pylist() == [2, 0]
    assert "feedback is not 0, 1 or 2" in str(dataset.report.bad_rows[0])


SEQUENCES = json.dumps({"5": [1, 0]})
SIDS = json.dumps({"0": ["<a_1>", "<b_2>"], "1": ["<a_1>", "<b_3>"]})


@pytest.mark.parametrize(
    ("inter", "index"),
    [
        ("shop.inter.json", "shop.index.json"),
        ("shop.inter.json", "shop.index.epoch10.json"),
        ("interactions.json", "index.json"),
        ("inter.json", "inter_index.json"),
    ],
)
def test_letter_finds_files_by_parts_of_their_names(inter: str, index: str, tmp_path: Path) -> None:
    (tmp_path / inter).write_text(SEQUENCES)
    (tmp_path / index).write_text(SIDS)
    dataset = read_letter(tmp_path)
    assert dataset.interactions["item_id"].to_pylist() == [1, 0]
    assert dataset.items["sid"].to_pylist() == [[1, 2], [1, 3]]
    found = [] if index == "shop.index.json" else [f"semantic IDs: {index}"]
    assert [note for note in dataset.report.notes if "semantic" in note] == found


def test_letter_reads_files_of_any_name(tmp_path: Path) -> None:
    log, sids = tmp_path / "log.txt", tmp_path / "codes.json"
    log.write_text(SEQUENCES)
    sids.write_text(SIDS)
    assert read_letter(log, index=sids).items["sid"].to_pylist() == [[1, 2], [1, 3]]
    without = read_letter(log)
    assert "sid" not in without.items.column_names
    assert "semantic IDs: no file" in without.report.notes


def test_letter_refuses_several_files(tmp_path: Path) -> None:
    for name in ("a.inter.json", "a.index1.json", "a.index2.json"):
        (tmp_path / name).write_text(SEQUENCES if "inter" in name else SIDS)
    with pytest.raises(DataError, match=r"one index\*\.json file, got 2; name the one to use"):
        read_letter(tmp_path)
    (tmp_path / "b.inter.json").write_text(SEQUENCES)
    with pytest.raises(DataError, match=r"one \.inter\.json file, got 2; name the file itself"):
        read_letter(tmp_path)
