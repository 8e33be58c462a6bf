"""A call as source code: what is drawn, run, shrunk and printed."""

from __future__ import annotations

from dataclasses import dataclass

PRELUDE = "import dataclasses\nfrom math import inf, nan\n\nimport recops\nimport torch\n"


@dataclass(frozen=True)
class Call:
    """``function`` of the variables in ``passed``, after ``lines`` have set them.

    Attributes:
        function: an expression, such as ``recops.rq_encode`` or ``T.find``.
        lines: a variable and the expression it is set to; later ones may use earlier ones.
        passed: the arguments, each a variable of that name.
        reference: an expression of the function that gives the same, where it can be compared.
    """

    function: str
    lines: tuple[tuple[str, str], ...]
    passed: tuple[str, ...]
    reference: str | None = None

    def code(self) -> str:
        """A program that makes the call."""
        lines = "".join(f"{name} = {expression}\n" for name, expression in self.lines)
        arguments = ", ".join(f"{name}={name}" for name in self.passed)
        return f"{PRELUDE}\n{lines}{self.function}({arguments})\n"


@dataclass(frozen=True)
class Outcome:
    """What became of a call: ``ok``, ``refused``, ``undrawn`` (no call was made), or a finding."""

    kind: str
    text: str = ""

    @property
    def is_finding(self) -> bool:
        return self.kind not in ("ok", "refused", "undrawn")
