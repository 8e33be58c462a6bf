"""Users of ``recops recommend --users``: all users, or those of a file."""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from recops_models.data import Dataset, load
from recops_models.data.errors import DataError
from recops_models.recipes.requested_users import requested_users
from small_shop import write_shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return a shop of 40 users, of whom the last has no events."""
    return load(write_shop(tmp_path_factory.mktemp("asked") / "shop"))


@pytest.fixture(scope="module")
def named(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Return the same shop with text ids: n0, n1, n10, …"""
    return load(write_shop(tmp_path_factory.mktemp("named") / "shop", id_format="n{}"))


def test_all_means_all_users_with_events(shop: Dataset, named: Dataset) -> None:
    assert requested_users("all", shop).tolist() == list(range(39))
    users = requested_users("all", named).tolist()
    assert len(users) == 39
    assert named.user_keys.index("n39") not in users


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("users.txt", "7\n3\n\n 12 \r\n3\n"),
        ("users", "7\n3\n12"),
        ("users.csv", "score,user_id\n1,7\n2,3\n3,12\n4,7\n"),
        ("users.csv", "user_id\n7\n3\n12\n"),
    ],
)
def test_users_of_a_file_are_read_once_in_its_order(
    file: str, content: str, shop: Dataset, tmp_path: Path
) -> None:
    (tmp_path / file).write_text(content, newline="")
    assert requested_users(str(tmp_path / file), shop).tolist() == [7, 3, 12]


@pytest.mark.parametrize(
    "ids",
    [
        pa.array([7, 3, 12]),
        pa.array([7.0, 3.0, 12.0]),
        pa.array(["7", "3", "12"]),
        pa.array(["7", "3", "12"]).dictionary_encode(),
        pa.array(["7", "3", "12"], pa.large_string()),
    ],
)
def test_a_column_of_parquet_may_have_any_type(
    ids: pa.Array, shop: Dataset, tmp_path: Path
) -> None:
    pa.parquet.write_table(pa.table({"user_id": ids}), tmp_path / "users.parquet")
    assert requested_users(str(tmp_path / "users.parquet"), shop).tolist() == [7, 3, 12]


def test_a_model_without_need_of_events_serves_all_users(shop: Dataset, tmp_path: Path) -> None:
    (tmp_path / "users.txt").write_text("39\n3\n")
    file = str(tmp_path / "users.txt")
    assert requested_users(file, shop, need_events=False).tolist() == [39, 3]


def test_text_ids(named: Dataset, tmp_path: Path) -> None:
    (tmp_path / "users.txt").write_bytes(b"\xef\xbb\xbfn12\nn3\n")
    users = requested_users(str(tmp_path / "users.txt"), named).tolist()
    assert [named.user_keys[user] for user in users] == ["n12", "n3"]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "u.txt",
            "3\n\n999\n",
            ", line 3: user '999' is not among the 40 users of shop, such as 0",
        ),
        ("u.txt", "3\n39\n", ", line 2: user '39' has no events, so nothing can be recommended"),
        ("u.txt", "\n\n", ": has no user ids"),
        ("u.txt", b"3\n\xff\n", ": not readable as text ("),
        ("u.csv", "user_id\n3\n03\n", ", row 2: user '03' is not among the 40 users of shop"),
        ("u.csv", "user_id,a\n3,1\n,2\n", ", row 2: user '' must have an id"),
        ("u.csv", "user_id,a\n3,1\n4,2,5\n", ", row 2: cannot be read: a row has 3 fields, not 2"),
        ("u.csv", "user_id\n", ": has no user ids"),
        ("u.csv", "user\n3\n", ": no column 'user_id' (columns: user)"),
        ("u.parquet", "user_id\n3\n", ": not readable as Parquet ("),
        ("none.txt", None, ": no such file"),
        ("none.csv", None, ": no such file"),
        ("none.parquet", None, ": not readable as Parquet ("),
    ],
)
def test_errors_name_the_line(
    file: str, content: str | bytes | None, message: str, shop: Dataset, tmp_path: Path
) -> None:
    if content is not None:
        (tmp_path / file).write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError, match=re.escape(f"{file}{message}")):
        requested_users(str(tmp_path / file), shop)


def test_a_folder_is_refused(shop: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="not readable as text"):
        requested_users(str(tmp_path), shop)
