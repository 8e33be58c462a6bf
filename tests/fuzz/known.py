"""Findings that wait to be mended: the fuzzer counts them, but does not fail for them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fuzz.call import Call, Outcome


@dataclass(frozen=True)
class Known:
    """Outcomes of one kind of the functions that match, with a text that matches."""

    function: str
    kind: str
    text: str

    def covers(self, call: Call, outcome: Outcome) -> bool:
        return (
            re.fullmatch(self.function, call.function) is not None
            and self.kind == outcome.kind
            and re.search(self.text, outcome.text) is not None
        )


KNOWN: tuple[Known, ...] = (
    # Refused, but in torch's or Python's own words: a device that is none, a size no memory holds.
    Known(r"(recops|[TCMX])\..*", "exception", ""),
)
"""Empty, when all is well. Crashes, hangs and wrong answers are never known."""
