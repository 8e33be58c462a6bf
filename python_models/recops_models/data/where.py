"""Conditions on item columns, such as ``category = 'shoes' and in_stock``.

A condition combines tests by ``and``, ``or``, ``not`` and parentheses; ``and`` binds more tightly
than ``or``. The words may be in any case. Tests:

- ``in_stock``: a column of booleans is true.
- ``price < 50``: comparison with a value by ``=``, ``!=``, ``<``, ``<=``, ``>`` or ``>=``.
- ``brand in ('a', 'b')``, ``brand not in ('a', 'b')``: one of several values.
- ``brand is null``, ``brand is not null``: the value is missing.
- ``'red' in colors``, ``'red' not in colors``: a column of lists has a value.

Text is in single quotes, which are doubled within text (``'it''s'``). Other values are numbers,
``true`` and ``false``. A column name with spaces is in double quotes.

As in SQL, a comparison with a missing value is neither true nor false, and its item is left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from recops_models.data.column_roles import is_list
from recops_models.data.errors import DataError

_Value: TypeAlias = "str | float | int | bool"

_TOKEN = re.compile(
    r"""\s*(?:(?P<text>'(?:[^']|'')*')|(?P<quoted>"(?:[^"]|"")+")"""
    r"|(?P<number>[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])"
    r"|(?P<word>[^\W\d]\w*)|(?P<sign><=|>=|!=|<>|==|=|<|>|\(|\)|,))"
)
_COMPARE: dict[str, Callable[..., pa.ChunkedArray]] = {
    "=": pc.equal,
    "==": pc.equal,
    "!=": pc.not_equal,
    "<>": pc.not_equal,
    "<": pc.less,
    "<=": pc.less_equal,
    ">": pc.greater,
    ">=": pc.greater_equal,
}
_WORDS = ("and", "or", "not", "in", "is", "null", "true", "false")


def rows_where(table: pa.Table, condition: str, *, of: str = "items") -> NDArray[np.bool_]:
    """Return the rows of a table that meet a condition, ``[n]``.

    Args:
        table: a table, such as the items of a data set.
        condition: see the grammar of this module.
        of: name of the table, for errors.

    Raises:
        DataError: the condition cannot be read, a column is missing, or a value does not fit it.

    Example:
        >>> import pyarrow as pa
        >>> items = pa.table({"brand": ["a", "b", "a"], "price": [5, 7, 9]})
        >>> rows_where(items, "brand = 'a' and price < 8").tolist()
        [True, False, False]
    """
    mask = _Parser(table, condition, of).parse()
    result: NDArray[np.bool_] = pc.fill_null(mask, False).to_numpy(zero_copy_only=False)
    return result.astype(bool)


class _Token(NamedTuple):
    """Part of a condition; ``kind`` is a group of :data:`_TOKEN`, or ``"end"``."""

    kind: str
    text: str
    position: int


class _Parser:
    """Recursive-descent parser that evaluates a condition on a table."""

    def __init__(self, table: pa.Table, condition: str, of: str) -> None:
        self._table, self._condition, self._of = table, condition, of
        self._tokens = list(self._split())
        self._next = 0

    def parse(self) -> pa.Array:
        mask = self._or()
        if self._token.kind != "end":
            raise self._error("must end")
        return mask

    def _split(self) -> list[_Token]:
        tokens, position = [], 0
        text = self._condition.rstrip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise DataError(f"where: {text!r} cannot be read from {text[position:]!r} on")
            kind = match.lastgroup
            assert kind is not None
            word, start = match[kind], match.start(kind)
            if kind == "word" and word.lower() in _WORDS:
                kind, word = "keyword", word.lower()
            tokens.append(_Token(kind, word, start))
            position = match.end()
        return [*tokens, _Token("end", "", len(text))]

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _accept(self, *texts: str) -> str | None:
        """Return the next token's text and move on, if it is a sign or keyword of ``texts``."""
        token = self._token
        if token.kind in ("sign", "keyword") and token.text in texts:
            self._next += 1
            return token.text
        return None

    def _expect(self, text: str) -> None:
        if self._accept(text) is None:
            raise self._error(f"must have {text!r}")

    def _error(self, what: str) -> DataError:
        following = self._condition[self._token.position :]
        position = f"before {following!r}" if following else "at its end"
        return DataError(f"where: {self._condition!r} {what} {position}{self._advice()}")

    def _advice(self) -> str:
        """Return advice if the condition has a column's name that needs double quotes."""
        for name in self._table.column_names:
            is_plain = re.fullmatch(r"\w+", name) is not None and name.lower() not in _WORDS
            if not is_plain and re.search(rf'(?<!"){re.escape(name)}(?!")', self._condition):
                quoted = name.replace('"', '""')
                return f'; write "{quoted}" in double quotes'
        return ""

    def _or(self) -> pa.Array:
        mask = self._and()
        while self._accept("or"):
            mask = pc.or_kleene(mask, self._and())
        return mask

    def _and(self) -> pa.Array:
        mask = self._not()
        while self._accept("and"):
            mask = pc.and_kleene(mask, self._not())
        return mask

    def _not(self) -> pa.Array:
        if self._accept("not"):
            return pc.invert(self._not())
        if self._accept("("):
            mask = self._or()
            self._expect(")")
            return mask
        return self._test()

    def _test(self) -> pa.Array:
        if self._token.kind not in ("word", "quoted"):
            return self._value_in_lists()
        name, column = self._column()
        sign = self._accept(*_COMPARE)
        if sign is not None:
            return self._compared(name, column, _COMPARE[sign], self._value())
        if self._accept("is"):
            is_negated = self._accept("not")
            self._expect("null")
            mask = pc.is_null(column, nan_is_null=True)
            return pc.invert(mask) if is_negated else mask
        is_negated = self._accept("not")
        if is_negated or self._token.text == "in":
            self._expect("in")
            mask = self._in_values(name, column)
            return pc.invert(mask) if is_negated else mask
        if not pa.types.is_boolean(column.type):
            raise DataError(
                f"where: column {name!r} must be compared with a value; only booleans stand alone, "
                f"got {column.type}"
            )
        return column

    def _in_values(self, name: str, column: pa.Array) -> pa.Array:
        self._expect("(")
        mask = self._compared(name, column, pc.equal, self._value())
        while self._accept(","):
            mask = pc.or_kleene(mask, self._compared(name, column, pc.equal, self._value()))
        self._expect(")")
        return mask

    def _value_in_lists(self) -> pa.Array:
        value = self._value()
        is_negated = self._accept("not")
        self._expect("in")
        name, column = self._column()
        if not is_list(column.type):
            raise DataError(f"where: column {name!r} must hold lists, got {column.type}")
        flat = pc.list_flatten(column)
        matches = pc.fill_null(self._compared(name, flat, pc.equal, value), False)
        count = np.bincount(
            pc.list_parent_indices(column).to_numpy(),
            weights=matches.to_numpy(zero_copy_only=False),
            minlength=len(column),
        )
        mask = pc.if_else(pc.is_null(column), None, pa.array(count > 0))
        return pc.invert(mask) if is_negated else mask

    def _column(self) -> tuple[str, pa.Array]:
        token = self._token
        name = token.text[1:-1].replace('""', '"') if token.kind == "quoted" else token.text
        if token.kind not in ("word", "quoted"):
            raise self._error("must have a column")
        if name not in self._table.column_names:
            listed = ", ".join(self._table.column_names) or "none"
            raise DataError(
                f"where: no column {name!r} of {self._of} (columns: {listed}){self._advice()}"
            )
        self._next += 1
        column = self._table[name].combine_chunks()
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        return name, column

    def _value(self) -> _Value:
        token = self._token
        self._next += 1
        if token.kind == "text":
            return token.text[1:-1].replace("''", "'")
        if token.kind == "number":
            return float(token.text) if re.search(r"[.eE]", token.text) else int(token.text)
        if token.text in ("true", "false"):
            return token.text == "true"
        self._next -= 1
        raise self._error("must have a value ('text' in single quotes, or a number)")

    def _compared(
        self, name: str, column: pa.Array, compare: Callable[..., pa.Array], value: _Value
    ) -> pa.Array:
        kind = column.type
        is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        is_number = (
            pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        )
        fits = (
            (is_text and isinstance(value, str))
            or (pa.types.is_boolean(kind) and isinstance(value, bool))
            or (is_number and isinstance(value, int | float) and not isinstance(value, bool))
        )
        if not fits:
            raise DataError(f"where: column {name!r} holds {kind}, which {value!r} is not")
        if pa.types.is_floating(kind):
            column = pc.if_else(pc.is_nan(column), None, column)
        return compare(column, pa.scalar(value))
