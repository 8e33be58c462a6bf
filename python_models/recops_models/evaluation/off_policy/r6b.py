"""The format of Yahoo!'s data set R6B, a uniform log of news."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from recops_models.data.errors import DataError


class R6bEvent(NamedTuple):
    """A visit to Yahoo!'s front page, as the data set R6B has it.

    Attributes:
        timestamp: seconds.
        shown: the place of the article shown, drawn uniformly, among the candidates.
        clicked: whether it was.
        user: which of the 136 binary features hold, from 1 on; feature 1 always does.
        candidates: the ids of the articles that could have been shown.
    """

    timestamp: int
    shown: int
    clicked: bool
    user: tuple[int, ...]
    candidates: tuple[str, ...]


def read_r6b(paths: Iterable[Path]) -> Iterator[R6bEvent]:
    """The events of files of Yahoo!'s data set R6B, one after the other, plain or gzipped.

    A line is ``time article click |user 1 9 11 … |id-1 |id-2 …``. Yahoo! gives the data to whoever
    accepts its licence; nothing of it is here. Lines whose article is none of the candidates, which
    the set is known to hold a few of, are passed over.

    Raises:
        DataError: a line of another form, a file that is cut short or no text; the text names file
            and line.
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
                    known = tuple(int(feature) for feature in features)
                    timestamp = int(time)
                except (ValueError, IndexError):
                    raise DataError(f"{path}, line {number}: no event of R6B") from None
                if article in candidates:
                    place = candidates.index(article)
                    yield R6bEvent(timestamp, place, click == "1", known, candidates)


def _readable(path: Path, lines: Iterable[str]) -> Iterator[str]:
    read = 0
    try:
        for line in lines:
            read += 1
            yield line
    except (EOFError, OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}, line {read + 1}: cannot be read: {error}") from error
