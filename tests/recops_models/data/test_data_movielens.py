"""Importer of GroupLens' MovieLens files, in each of their formats."""

from __future__ import annotations

from pathlib import Path

import pytest

from recops_models import cli
from recops_models.data import DataError, load
from recops_models.data.importers.movielens import read_movielens


def dat(folder: Path) -> Path:
    (folder / "ratings.dat").write_text("1::7::5::978300760\n2::8::3::978300000\n1::8::2::978\n")
    movies = "7::Misérables, Les (1995)::Drama|Musical\n8::Alien: Cubed (1992)::Sci-Fi\n"
    (folder / "movies.dat").write_bytes(movies.encode("latin-1"))
    (folder / "users.dat").write_text("1::F::1::10::48067\n2::M::56::16::70072\n")
    return folder


def csv(folder: Path) -> Path:
    rows = "1,7,5.0,978300760\n2,8,3.0,978300000\n1,8,2.0,978\n"
    (folder / "ratings.csv").write_text(f"userId,movieId,rating,timestamp\n{rows}")
    movies = '7,"Misérables, Les (1995)",Drama|Musical\n8,Alien: Cubed (1992),Sci-Fi\n'
    (folder / "movies.csv").write_text(f"movieId,title,genres\n{movies}", encoding="utf-8")
    return folder


def u_data(folder: Path) -> Path:
    (folder / "u.data").write_text("1\t7\t5\t978300760\n2\t8\t3\t978300000\n1\t8\t2\t978\n")
    flags = {7: "0|0|0|0|0|0|0|0|1|0|0|0|1|0|0|0|0|0|0", 8: "0|" * 15 + "1|0|0|0"}
    titles = {7: "Misérables, Les (1995)", 8: "Alien: Cubed (1992)"}
    lines = [f"{film}|{titles[film]}|01-Jan-1995||http://x|{flags[film]}\n" for film in titles]
    (folder / "u.item").write_bytes("".join(lines).encode("latin-1"))
    (folder / "u.user").write_text("1|1|F|10|48067\n2|56|M|16|70072\n")
    return folder


@pytest.mark.parametrize("write", [dat, csv, u_data])
def test_every_format_gives_the_same_data_set(write, tmp_path: Path) -> None:
    dataset = read_movielens(write(tmp_path), name="films")
    assert dataset.interactions["rating"].to_pylist() == [2, 3, 5]
    assert dataset.interactions["timestamp"].to_pylist() == [978, 978300000, 978300760]
    assert dataset.items.to_pylist() == [
        {
            "item_id": 7,
            "title": "Misérables, Les (1995)",
            "year": "1995",
            "genres": ["Drama", "Musical"],
            "genre_set": "Drama|Musical",
        },
        {
            "item_id": 8,
            "title": "Alien: Cubed (1992)",
            "year": "1992",
            "genres": ["Sci-Fi"],
            "genre_set": "Sci-Fi",
        },
    ]
    assert dataset.report.num_bad == 0
    if write is not csv:
        assert dataset.users["gender"].to_pylist() == ["F", "M"]
        assert dataset.users["age"].to_pylist() == ["1", "56"]


def test_a_film_without_genres_has_none(tmp_path: Path) -> None:
    csv(tmp_path)
    with (tmp_path / "movies.csv").open("a") as file:
        file.write("9,Unknown,(no genres listed)\n")
    items = read_movielens(tmp_path).items
    assert items["genres"][2].as_py() is None
    assert items["year"][2].as_py() is None


def test_lines_that_cannot_be_split_are_counted(tmp_path: Path) -> None:
    dat(tmp_path)
    with (tmp_path / "ratings.dat").open("a") as file:
        file.write("1::9\n1::99::4::978\n")
    bad = read_movielens(tmp_path).report.bad_rows
    assert [str(row) for row in bad] == [
        "ratings.dat: 1 × a row has 2 fields, not 4 (e.g. row 4)",
        "ratings.dat: 1 × item_id is not among the items (e.g. row 5: item_id='99')",
    ]


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must hold one of ratings\.dat, ratings\.csv, u\.data"):
        read_movielens(tmp_path)
    dat(tmp_path)
    (tmp_path / "movies.dat").unlink()
    with pytest.raises(DataError, match=r"movies\.dat: no such file"):
        read_movielens(tmp_path)
    csv(tmp_path)
    with pytest.raises(DataError, match=r"got ratings\.dat, ratings\.csv"):
        read_movielens(tmp_path)


def test_the_command_line_imports_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "ml", tmp_path / "out"
    source.mkdir()
    assert cli.run(["data", "import", "movielens", str(dat(source)), "--out", str(out)]) == 0
    assert "ml: 2 users, 2 items, 3 interactions" in capsys.readouterr().out
    assert load(out).name == "ml"
