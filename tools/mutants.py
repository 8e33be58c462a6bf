"""Mutation test: plant small errors drawn by a seed, and check that the tests find them.

``python tools/mutants.py --seed 1`` prints ten mutants of kernels, models, metrics and splits, with
the tests of each file. ``--run`` plants them one at a time, rebuilds the op library if needed, runs
these tests up to the first failure, restores the file, and prints which mutants were found. It
needs an editable installation and a clean working tree. A mutant that changes no result, such as
another block size, is equivalent: read it before adding a test.
"""

from __future__ import annotations

import argparse
import io
import random
import re
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODELS = "python_models/recops_models"
GROUPS = {
    "kernels": (3, ["csrc/*/*-inl.h"]),
    "models": (3, [f"{MODELS}/{name}/**/*.py" for name in ("click", "generative", "layers")]),
    "metrics": (
        2,
        [f"{MODELS}/evaluation/{name}.py" for name in ("*metrics", "*auc", "bootstrap")],
    ),
    "splits": (2, [f"{MODELS}/data/splits.py", f"{MODELS}/data/split.py"]),
}
"""Group → number of mutants per ten, and patterns of its files."""

SWAPS = {
    **{"+": "-", "-": "+", "*": "/", "/": "*", "+=": "-=", "-=": "+=", "//": "*"},
    **{"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="},
    **{"and": "or", "or": "and", "&&": "||", "||": "&&", "min": "max", "max": "min"},
    **{"True": "False", "False": "True", "true": "false", "false": "true"},
}
_CPP = re.compile(
    r"(?<= )(?:\+=|-=|<=|>=|==|!=|&&|\|\||[-+*/<>])(?= )|\b(?:min|max|true|false|\d+)\b"
)


@dataclass(frozen=True)
class Mutant:
    """One token of a file, and its replacement."""

    path: str
    line: int  # from 1
    column: int
    old: str
    new: str

    @property
    def mutated(self) -> str:
        """The content of the file with the error."""
        lines = (ROOT / self.path).read_text().splitlines(keepends=True)
        text = lines[self.line - 1]
        end = self.column + len(self.old)
        lines[self.line - 1] = text[: self.column] + self.new + text[end:]
        return "".join(lines)

    @property
    def tests(self) -> list[list[str]]:
        """Arguments of pytest for the lanes that test the file, the nearest tests first."""
        parts = Path(self.path).parts
        if parts[0] == "csrc":
            family = f"tests/recops/ops/{parts[1]}"
            return [[family if (ROOT / family).is_dir() else "tests/recops/ops"]]
        folder = "/".join(("tests/recops_models", *parts[2:-1]))
        near = [[folder]] if (ROOT / folder).is_dir() else []
        return [*near, ["tests/recops_models"], ["-m", "slow", "tests/recops_models"]]

    def __str__(self) -> str:
        text = (ROOT / self.path).read_text().splitlines()[self.line - 1].strip()
        return f"{self.path}:{self.line}: `{self.old}` → `{self.new}` in `{text}`"


def replacement(token: str) -> str | None:
    """Return what replaces a token: another operator, or the next number."""
    return str(int(token) + 1) if token.isdigit() else SWAPS.get(token)


def python_mutants(path: Path) -> Iterator[Mutant]:
    """Yield the mutants of a Python file. Annotations and imports stay."""
    name = path.relative_to(ROOT).as_posix()
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        line = token.line.strip()
        skipped = line.startswith(("def ", "class ", "import ", "from ", "@")) or "->" in line
        new = replacement(token.string)
        if new and not skipped and token.type in (tokenize.OP, tokenize.NUMBER, tokenize.NAME):
            yield Mutant(name, token.start[0], token.start[1], token.string, new)


def cpp_mutants(path: Path) -> Iterator[Mutant]:
    """Yield the mutants of a C++ file. Comments, directives and templates' parameters stay."""
    name = path.relative_to(ROOT).as_posix()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        code = line.partition("//")[0]
        if code.strip() and not code.strip().startswith(
            ("#", "*", "/*", "template", "static_assert")
        ):
            for match in _CPP.finditer(code):
                if new := replacement(match[0]):
                    yield Mutant(name, number, match.start(), match[0], new)


def draw(seed: int, share: int = 1) -> list[Mutant]:
    """Draw ``share`` times ten mutants: first a file of the group, then a token of the file."""
    generator = random.Random(seed)
    drawn: list[Mutant] = []
    for count, patterns in GROUPS.values():
        files = sorted({path for pattern in patterns for path in ROOT.glob(pattern)})
        by_file = [
            mutants
            for path in files
            if (mutants := list((cpp_mutants if path.suffix == ".h" else python_mutants)(path)))
        ]
        drawn += [generator.choice(generator.choice(by_file)) for _ in range(count * share)]
    return drawn


def catching_test(mutant: Mutant) -> str | None:
    """Return the first test that fails with the mutant planted, or None."""
    path = ROOT / mutant.path
    original = path.read_text()
    path.write_text(mutant.mutated)
    try:
        if path.suffix == ".h" and (error := failure(["-m", "pip", *BUILD])):
            return f"the compiler ({error})"
        for arguments in mutant.tests:
            if failed := failure(
                ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *arguments]
            ):
                return failed
        return None
    finally:
        path.write_text(original)


BUILD = ["install", "--quiet", "--no-build-isolation", "--no-deps", "-e", "."]


def failure(arguments: list[str]) -> str | None:
    """Run Python; return the test that failed, or the last line, unless it succeeded."""
    result = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if result.returncode == 0:
        return None
    lines = result.stdout.splitlines() or result.stderr.splitlines()
    failed = [line for line in lines if line.startswith(("FAILED ", "ERROR "))]
    return failed[0][:160] if failed else lines[-1][:160]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--share", type=int, default=1, help="tens of mutants")
    parser.add_argument("--run", action="store_true", help="plant them and run their tests")
    options = parser.parse_args()
    missed = 0
    for number, mutant in enumerate(draw(options.seed, options.share), 1):
        print(f"{number:3}  {mutant}", flush=True)
        if options.run:
            test = catching_test(mutant)
            missed += test is None
            print(f"     {'MISSED' if test is None else test}", flush=True)
    if missed:
        raise SystemExit(f"{missed} mutants were not found")


if __name__ == "__main__":
    main()
