"""Check that texts and names in the project are plain English.

``python tools/check_prose.py`` reads every tracked Python, C++, Markdown and HTML file. It counts
patterns that a reader of English as a second language stumbles over: docstrings that open with a
clause instead of a noun or a verb, archaic words, long sentences, and names that explain nothing.
Packages and C++ may have 1.5 findings per 1,000 lines, tests, benchmarks and documentation 3. The
bound holds for each top-level folder. A single file may have its share, or one finding.

``--list`` prints each finding.
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import subprocess
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent

CODE_FOLDERS = ("src", "python_models", "csrc")
LONGEST_SENTENCE = 45

# The complete figures of papers are generated from the claims, and the stub from the op library.
SKIPPED = re.compile(
    r"^(docs/results/.*/|CHANGELOG\.md|tools/check_prose\.py|src/recops/_ops\.pyi)"
)

OPENING = re.compile(
    r"""(What|How|Of|That|Where|Whether|As|In|On|At|Beside|By|From|To|With|Who|Which|When|Upon|For)\b"""
)
PHRASE = re.compile(
    r"""\b(
    besides? | told | tells | upon | anew | whatever | whoever | wherever | thereof | therein |
    thereby | hence | whence | hitherto | lest | nought | aught | forthwith | thence |
    (save|but)\ for | (is|was)\ due | at\ rest | (so|as)\ many | as\ few | of\ late |
    (none|no)\ other | hardly\ any | of\ (its|their)\ own | of\ (ours|theirs) |
    in\ (its|their)\ place | in\ place\ of | go(es)?\ on | went\ on | leaves\ over | left\ over |
    takes\ place | by\ one\ another
    )\b""",
    re.IGNORECASE | re.VERBOSE,
)
VAGUE_NAME = re.compile(
    r"""_*(
    told | made | begun | kept | wanted | found | left | taken | given | places? | things? | apart |
    beside | ours | theirs | whole | rest | such | done | being | become | became | met
    )""",
    re.IGNORECASE | re.VERBOSE,
)
NOT_PROSE = re.compile(r"``[^`]*``|`[^`]*`|\$[^$]*\$|https?://\S+")
SESSION = re.compile(r"^[ \t]*>>> .*(?:\n[ \t]*\S.*)*", re.MULTILINE)
"""Interactive example up to the next empty line."""


class Finding(NamedTuple):
    """A place that a reader would stumble over."""

    line: int
    rule: str
    text: str


@dataclass
class Totals:
    """Lines and findings of a top-level folder."""

    lines: int = 0
    findings: int = 0

    def add(self, lines: int, findings: int) -> None:
        """Count a file."""
        self.lines += lines
        self.findings += findings


def text_findings(text: str, line: int) -> Iterator[Finding]:
    """Yield the archaic phrases and the long sentences of ``text``, which starts at ``line``."""
    prose = NOT_PROSE.sub("x", SESSION.sub("", text))
    for sentence in re.split(r"(?<=[.;:!?])\s+|\n\s*\n", prose):
        flat = " ".join(sentence.split())
        if len(flat.split()) > LONGEST_SENTENCE:
            yield Finding(line, "long sentence", flat)
        for match in PHRASE.finditer(flat):
            yield Finding(line, f"phrase '{match[0].lower()}'", flat)


def comment_blocks(comments: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """Join the comments of adjacent lines; yield the first line of each block and its text."""
    block: list[str] = []
    first = last = 0
    for line, text in comments:
        if block and line != last + 1:
            yield first, " ".join(block)
            block = []
        if not block:
            first = line
        block.append(text)
        last = line
    if block:
        yield first, " ".join(block)


def python_comments(source: str) -> Iterator[tuple[int, str]]:
    """Yield the line and the text of each comment."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string.lstrip("#! ")


def string_text(node: ast.Constant | ast.JoinedStr) -> str:
    """Return the text of a string; each value inside an f-string becomes an ``x``."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    parts = node.values
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in parts)


def name_findings(node: ast.AST) -> Iterator[Finding]:
    """Yield the vague names that ``node`` introduces, and the odd phrases in a test's name."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        name, line = node.id, node.lineno
    elif isinstance(node, ast.arg):
        name, line = node.arg, node.lineno
    elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        name, line = node.name, node.lineno
        if name.startswith("test_"):
            yield from text_findings(name.removeprefix("test_").replace("_", " "), line)
    else:
        return
    if VAGUE_NAME.fullmatch(name):
        yield Finding(line, "vague name", name)


def python_findings(source: str) -> Iterator[Finding]:
    """Yield the findings in docstrings, comments, names and messages of a Python file."""
    docstrings: set[int] = set()
    inside_strings: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            docstring = ast.get_docstring(node)
            if docstring:
                docstrings.add(id(node.body[0].value))  # type: ignore[attr-defined] # an Expr
                line = node.body[0].lineno
                if opening := OPENING.match(docstring):
                    rule = f"docstring opens with {opening[0]}"
                    yield Finding(line, rule, docstring.splitlines()[0])
                yield from text_findings(docstring, line)
        elif isinstance(node, ast.JoinedStr):
            inside_strings.update(id(part) for part in node.values)
        if isinstance(node, (ast.Constant, ast.JoinedStr)) and not (
            id(node) in docstrings or id(node) in inside_strings
        ):
            text = string_text(node)
            if text.count(" ") >= 2:
                yield from text_findings(text, node.lineno)
        yield from name_findings(node)
    for line, text in comment_blocks(python_comments(source)):
        yield from text_findings(text, line)


def cpp_findings(source: str) -> Iterator[Finding]:
    """Yield the findings in the ``//`` comments of a C++ file."""
    comments = (
        (number, match[1])
        for number, row in enumerate(source.splitlines(), 1)
        if (match := re.search(r"//\s?(.*)$", row))
    )
    for line, text in comment_blocks(comments):
        yield from text_findings(text, line)


def markdown_findings(source: str) -> Iterator[Finding]:
    """Yield the findings in the paragraphs, lists and table cells of a Markdown file.

    Code blocks and drawings (``<svg>``) are skipped.
    """
    not_prose = re.compile(r"```.*?```|<svg.*?</svg>", re.S)
    source = not_prose.sub(lambda block: "\n" * block[0].count("\n"), source)
    line = 1
    for paragraph in re.split(r"(\n\s*\n)", source):
        if paragraph.lstrip().startswith("|"):
            for offset, row in enumerate(paragraph.splitlines()):
                for cell in row.split("|"):
                    yield from text_findings(cell, line + offset)
        else:
            yield from text_findings(paragraph, line)
        line += paragraph.count("\n")


class _PageText(HTMLParser):
    """Collects the visible text of an HTML page."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[tuple[int, str]] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self._hidden += tag in ("script", "style")
        shown = (value for name, value in attributes if name in ("title", "alt", "placeholder"))
        self.texts.extend((self.getpos()[0], value) for value in shown if value)

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.texts.append((self.getpos()[0], data))


def html_findings(source: str) -> Iterator[Finding]:
    """Yield the findings in the visible text of an HTML page."""
    page = _PageText()
    page.feed(source)
    for line, text in page.texts:
        yield from text_findings(text, line)


READERS = {
    ".py": python_findings,
    ".pyi": python_findings,
    ".h": cpp_findings,
    ".cpp": cpp_findings,
    ".cu": cpp_findings,
    ".md": markdown_findings,
    ".html": html_findings,
}


def tracked_files() -> list[str]:
    """Return the paths, relative to the project's root, of the tracked files to check."""
    command = ["git", "ls-files"]
    listing = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [
        path
        for path in listing.splitlines()
        if Path(path).suffix in READERS and not SKIPPED.match(path) and (ROOT / path).is_file()
    ]


def most_findings(folder: str, lines: int) -> int:
    """Return how many findings ``lines`` lines of a top-level folder may have."""
    return lines * (15 if folder in CODE_FOLDERS else 30) // 10_000


def main(arguments: list[str]) -> int:
    """Check the tracked files, and return 1 if a file or a folder has too many findings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("paths", nargs="*", help="check only these files or folders")
    parser.add_argument("--list", action="store_true", help="print each finding")
    options = parser.parse_args(arguments)
    prefixes = tuple(options.paths)
    totals: defaultdict[str, Totals] = defaultdict(Totals)
    is_too_odd = False
    for path in tracked_files():
        if prefixes and not path.startswith(prefixes):
            continue
        source = (ROOT / path).read_text("utf-8")
        findings = sorted(READERS[Path(path).suffix](source))
        folder, lines = path.split("/")[0], source.count("\n")
        totals[folder].add(lines, len(findings))
        has_too_many = len(findings) > max(1, most_findings(folder, lines))
        is_too_odd |= has_too_many
        if options.list or has_too_many:
            for finding in findings:
                print(f"{path}:{finding.line}: {finding.rule}: {finding.text[:160]}")
    for folder, total in sorted(totals.items()):
        most = most_findings(folder, total.lines)
        is_too_odd |= not prefixes and total.findings > most
        print(f"{folder}: {total.findings} findings in {total.lines:,} lines, at most {most}")
    return int(is_too_odd)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
