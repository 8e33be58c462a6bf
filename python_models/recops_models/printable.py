"""Text of others, such as a title, for a page or a terminal."""

from __future__ import annotations

import unicodedata

_TURNING = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Marks, embeddings, overrides and isolates of direction: they outlive the text that holds them."""


def printable(text: str) -> str:
    """``text`` without what moves a cursor, colours a terminal or turns the text after it around.

    Left out are control characters (but line feed and tab), marks of direction, and surrogates,
    which no encoding of a file takes. O(n).
    """
    return text if text.isascii() and text.isprintable() else "".join(filter(_kept, text))


def _kept(character: str) -> bool:
    if character in "\n\t":
        return True
    return character not in _TURNING and unicodedata.category(character) not in ("Cc", "Cs")
