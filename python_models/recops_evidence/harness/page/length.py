"""Length of a page in words."""

from __future__ import annotations

import re

MOST_WORDS = 800
"""Largest number of words before the appendix, without tables."""


def length_fault(page: str) -> str | None:
    """Return why a page is too long, or None."""
    before = re.sub(r"<!--.*?-->", "", page.partition("## Appendix")[0])
    prose = [line for line in before.splitlines() if not line.startswith("|")]
    words = len(re.findall(r"\S+", "\n".join(prose)))
    if words <= MOST_WORDS:
        return None
    return f"the page must have at most {MOST_WORDS} words before the appendix, got {words}"
