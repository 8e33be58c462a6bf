"""Calls as source code, and their outcomes."""

from __future__ import annotations

from dataclasses import dataclass

PRELUDE = "import dataclasses\nfrom math import inf, nan\n\nimport recops\nimport torch\n"


@dataclass(frozen=True)
class Call:
    """A call of ``function`` with variables that ``lines`` define.

    Attributes:
        function: an expression, such as ``recops.rq_encode`` or ``T.find``.
        lines: names of variables and the expressions that define them, in order.
        passed: names of the arguments; each gets the variable of the same name.
        reference: an expression of a function with the same result, or None.
    """

    function: str
    lines: tuple[tuple[str, str], ...]
    passed: tuple[str, ...]
    reference: str | None = None

    def code(self) -> str:
        """Return a program that makes the call."""
        lines = "".join(f"{name} = {expression}\n" for name, expression in self.lines)
        arguments = ", ".join(f"{name}={name}" for name in self.passed)
        return f"{PRELUDE}\n{lines}{self.function}({arguments})\n"


@dataclass(frozen=True)
class Outcome:
    """Outcome of a call: ``ok``, ``refused``, ``undrawn`` (an argument failed), or a finding."""

    kind: str
    text: str = ""

    @property
    def is_finding(self) -> bool:
        return self.kind not in ("ok", "refused", "undrawn")
