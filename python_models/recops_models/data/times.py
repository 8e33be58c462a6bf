"""Parser of the times of interactions: numbers of a unit, dates as text, Arrow timestamps."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recops_models.data.columns import NUMBER, Faults, as_text, mask, parse_numbers
from recops_models.data.errors import DataError

_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000}

_CLOCK = (
    r"(?:[T ](?P<clock>[0-9]{1,2}:[0-9]{2}(?::[0-9]{2})?)(?:\.[0-9]+)?)?"
    r" ?(?P<zone>Z|UTC|[+-](?:0[0-9]|1[0-4])(?::?[0-5][0-9])?)?$"
)
# 01/02/2026 is missing: it may be a day in January or in February.
_DATES = (
    r"^(?P<year>[0-9]{4})[-/.](?P<month>[0-9]{1,2})[-/.](?P<day>[0-9]{1,2})" + _CLOCK,
    r"^(?P<day>[0-9]{1,2})\.(?P<month>[0-9]{1,2})\.(?P<year>[0-9]{4})" + _CLOCK,
)
_MOMENT = "%Y-%m-%d %H:%M:%S"
_START_OF_TIME = -62_135_596_800  # Year 1 in seconds.
_END_OF_TIME = 253_402_300_800  # Year 10000 in seconds; times in ms after January 1978 exceed it.


@dataclass(frozen=True)
class TimeFormat:
    """Format of the times in a user's own data.

    Attributes:
        unit: unit of numbers since the epoch: ``"s"``, ``"ms"`` or ``"us"``.
        pattern: format of text and of integers such as 20260131, by the rules of
            :meth:`datetime.datetime.strptime`; a time without a zone is in UTC. None: ISO dates,
            dates as year/month/day, and dates as day.month.year.

    Raises:
        DataError: unknown unit, or invalid pattern.

    Example:
        >>> import pyarrow as pa
        >>> text = pa.chunked_array([["31/12/1970 11 PM"]])
        >>> parse_times(text, "timestamp", TimeFormat(pattern="%d/%m/%Y %I %p"))[0].tolist()
        [31532400]
    """

    unit: str = "s"
    pattern: str | None = None

    def __post_init__(self) -> None:
        if self.unit not in _PER_SECOND:
            units = ", ".join(_PER_SECOND)
            raise DataError(f"time_unit must be {units} or order, got {self.unit!r}")
        if self.pattern is None:
            return
        try:
            datetime.strptime("", self.pattern)
        except ValueError as error:
            if "does not match" not in str(error):
                raise DataError(f"time_format: {error}") from error


def parse_times(
    column: pa.ChunkedArray,
    name: str,
    time_format: TimeFormat | None = None,
    *,
    advice: bool = False,
) -> tuple[NDArray[np.int64], Faults]:
    """Parse times as seconds since the epoch, rounded down.

    Args:
        column: numbers, numbers as text, dates as text, or Arrow timestamps or dates.
        name: name of the column, for the faults.
        time_format: format of numbers and text; None: the default format.
        advice: whether the faults name the options of ``recops data import``.

    Returns:
        ``[n]`` i64, 0 where unreadable; and the faults.
    """
    time_format = time_format or TimeFormat()
    pattern, unit = time_format.pattern, _PER_SECOND[time_format.unit]
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        column, unit = column.cast(pa.timestamp("s"), safe=False).cast(pa.int64()), 1
    elif pattern is not None:
        return _parse_pattern(column, name, pattern)
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        column = as_text(column)
        if not mask(pc.match_substring_regex(column, NUMBER)).all():
            dates = pc.multiply(_parse_dates(column), unit)
            column = pc.coalesce(dates.cast(pa.string()), column)
    values, faults = parse_numbers(column, name, booleans=False)
    (missing, (_, unreadable), infinite) = faults
    name_format = "; --time-format names its format" if advice else ""
    name_unit = ", or --time-unit names its unit" if advice else ""
    expected = f"it must be in {time_format.unit} since the epoch{name_unit}"
    seconds = np.floor(values / unit)
    late, early = seconds >= _END_OF_TIME, seconds < _START_OF_TIME
    faults = [
        missing,
        (f"{name} is neither a number nor a known date{name_format}", unreadable),
        infinite,
        (f"{name} is past the year 9999; {expected}", late),
        (f"{name} is before the year 1; {expected}", early),
    ]
    return np.where(late | early, 0, seconds).astype(np.int64), faults


def look_like_times(column: pa.ChunkedArray, *, large_numbers: bool) -> bool:
    """Return whether a column holds times: Arrow timestamps, or text of which half are dates.

    Args:
        column: any column.
        large_numbers: whether numbers above 10^8 (seconds since 1973) count as times too.
    """
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return True
    head = column.slice(0, 1000).drop_null()
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        dates = _parse_dates(as_text(head))
        return len(head) > 0 and 2 * dates.null_count <= len(head)
    if large_numbers and (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return len(head) > 0 and bool(pc.all(pc.greater(head, 1e8)).as_py())
    return False


def _parse_dates(text: pa.ChunkedArray) -> pa.ChunkedArray:
    """Parse dates and times as seconds, in UTC unless a zone is given; null if not a date."""
    seconds = None
    for form in _DATES:
        parsed = _parse_date(text, form)
        seconds = parsed if seconds is None else pc.coalesce(seconds, parsed)
    return seconds


def _parse_date(text: pa.ChunkedArray, form: str) -> pa.ChunkedArray:
    parts = pc.extract_regex(text, form)
    year, month, day, clock, zone = (
        pc.struct_field(parts, [name]) for name in ("year", "month", "day", "clock", "zone")
    )
    clock = pc.if_else(pc.equal(clock, ""), "00:00", clock)
    clock = pc.if_else(
        pc.less(pc.binary_length(clock), 6), pc.binary_join_element_wise(clock, "00", ":"), clock
    )
    month, day = (pc.utf8_lpad(part, 2, "0") for part in (month, day))
    date = pc.binary_join_element_wise(year, month, day, "-")
    moment = pc.binary_join_element_wise(date, pc.utf8_lpad(clock, 8, "0"), " ")
    seconds = pc.strptime(moment, format=_MOMENT, unit="s", error_is_null=True)
    # strptime reads February 30th as March 1st.
    seconds = pc.if_else(pc.equal(pc.strftime(seconds, format=_MOMENT), moment), seconds, None)
    digits = pc.replace_substring_regex(zone, r"[^0-9]", "")
    digits = pc.utf8_rpad(digits, 4, "0").cast(pa.int64())
    ahead = pc.add(
        pc.multiply(pc.divide(digits, 100), 3600),
        pc.multiply(pc.subtract(digits, pc.multiply(pc.divide(digits, 100), 100)), 60),
    )
    ahead = pc.if_else(pc.starts_with(zone, "-"), pc.negate(ahead), ahead)
    return pc.subtract(seconds.cast(pa.int64()), ahead)


def _parse_pattern(
    column: pa.ChunkedArray, name: str, pattern: str
) -> tuple[NDArray[np.int64], Faults]:
    """Parse text of one format; each distinct text is parsed once."""
    text = as_text(column).combine_chunks().dictionary_encode()
    seconds = [_seconds(value, pattern) for value in text.dictionary.to_pylist()]
    parsed = pa.array(seconds, pa.int64()).take(text.indices)
    missing = mask(pa.chunked_array([pc.equal(text.dictionary, "").take(text.indices)]))
    unreadable = mask(pa.chunked_array([pc.is_null(parsed)])) & ~missing
    return pc.fill_null(parsed, 0).to_numpy(zero_copy_only=False), [
        (f"{name} is missing", missing),
        (f"{name} is not a time of the format {pattern!r}", unreadable),
    ]


def _seconds(text: str, pattern: str) -> int | None:
    try:
        moment = datetime.strptime(text, pattern)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return int(moment.timestamp() // 1)
