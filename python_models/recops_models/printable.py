"""Removal of control characters from untrusted text, such as item titles."""

from __future__ import annotations

import unicodedata

_BIDI_CONTROLS = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
"""Unicode control characters of the text direction."""


def printable(text: str) -> str:
    """Return ``text`` without characters that control a terminal or the text direction.

    It removes control characters except line feed and tab, controls of the text direction, and
    surrogates, which cannot be encoded in files. The time is linear in the length.
    """
    return text if text.isascii() and text.isprintable() else "".join(filter(_is_printable, text))


def _is_printable(character: str) -> bool:
    if character in "\n\t":
        return True
    return character not in _BIDI_CONTROLS and unicodedata.category(character) not in ("Cc", "Cs")
