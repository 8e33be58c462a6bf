"""Reader of Yahoo!'s data set R6B, a uniform log of news articles."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from recops_models.data.errors import DataError


class R6bEvent(NamedTuple):
    """A visit to Yahoo!'s front page.

    Attributes:
        timestamp: time in seconds.
        shown: index in ``candidates`` of the article shown, drawn uniformly.
        clicked: whether the article was clicked.
        user: indices, from 1, of the user's active binary features (136; feature 1 is always
            active).
        candidates: ids of the candidate articles.
    """

    timestamp: int
    shown: int
    clicked: bool
    user: tuple[int, ...]
    candidates: tuple[str, ...]


def read_r6b(paths: Iterable[Path]) -> Iterator[R6bEvent]:
    """Yield the events of plain or gzipped R6B files, in order.

    A line is ``time article click |user 1 9 11 … |id-1 |id-2 …``. A few lines of the data set have
    an article that is not a candidate; they are skipped. The data is available from Yahoo! under
    its licence.

    Raises:
        DataError: a line has another format, or a file is truncated or not text. The message names
            file and line.
    """
    for path in paths:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(_readable(path, lines), 1):
                try:
                    head, user, *articles = line.split("|")
                    time, article, click = head.split()
                    name, *features = user.split()
                    if name != "user" or click not in ("0", "1"):
                        raise ValueError
                    candidates = tuple(each.split()[0] for each in articles)
                    active = tuple(int(feature) for feature in features)
                    timestamp = int(time)
                except (ValueError, IndexError):
                    raise DataError(f"{path}, line {number}: not an event of R6B") from None
                if article in candidates:
                    shown = candidates.index(article)
                    yield R6bEvent(timestamp, shown, click == "1", active, candidates)


def _readable(path: Path, lines: Iterable[str]) -> Iterator[str]:
    read = 0
    try:
        for line in lines:
            read += 1
            yield line
    except (EOFError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}, line {read + 1}: cannot be read: {error}") from error
