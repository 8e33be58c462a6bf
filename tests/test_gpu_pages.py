"""Registers on the roofline pages of CUDA kernels equal those of the compiled code."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PAGES = {"trie": "trie-gpu", "recurrent": "recurrent-gpu", "embedding": "embedding-gpu"}
PAGES |= {"memory": "memory-gpu"}
ARCHITECTURES = ("sm_80", "sm_90", "sm_100")
Registers = dict[str, set[int]]
"""Numbers of registers by architecture."""


def recorded(family: str) -> dict[str, Registers]:
    """Return the registers of each kernel of a family, over all its instances."""
    kernels: dict[str, Registers] = defaultdict(lambda: defaultdict(set))
    record = json.loads((ROOT / "csrc/tests/cuda_resources.json").read_text())
    for name, of_kernel in record["kernels"].items():
        namespace, _, own = name.partition("<")[0].rpartition("::")
        if namespace.split("::")[0] == family or "::" not in namespace:
            for architecture, values in of_kernel.items():
                kernels[own][architecture].add(values["registers"])
    return kernels


def stated(text: str) -> Iterator[tuple[tuple[str, ...], Registers]]:
    """Yield the kernels of each row of the tables with registers, and the numbers in the row.

    A cell such as ``25 to 33, 28, 20; 29, 30, 37`` holds several instances after semicolons.
    """
    column: int | None = None
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if not line.startswith("|"):
            column = None
        elif column is None:
            named = [i for i, cell in enumerate(cells) if cell.startswith("registers: sm_80")]
            column = named[0] if named else -1
        elif column >= 0 and not set(line) <= set("|-: "):
            registers: Registers = defaultdict(set)
            for instance in cells[column].split(";"):
                for architecture, part in zip(ARCHITECTURES, instance.split(","), strict=True):
                    registers[architecture] |= set(map(int, re.findall(r"\d+", part)))
            yield tuple(sorted(re.findall(r"`(\w+)`", cells[0]))), registers


@pytest.mark.parametrize("family", PAGES)
def test_a_page_has_the_registers_of_the_record(family: str) -> None:
    kernels = recorded(family)
    page: dict[tuple[str, ...], Registers] = defaultdict(lambda: defaultdict(set))
    for names, registers in stated((ROOT / f"docs/results/{PAGES[family]}.md").read_text()):
        for architecture, numbers in registers.items():
            page[names][architecture] |= numbers
    assert page
    for names, registers in page.items():
        for architecture in ARCHITECTURES:
            compiled = set().union(*(kernels[name][architecture] for name in names))
            numbers = registers[architecture]
            assert (min(numbers), max(numbers)) == (min(compiled), max(compiled)), (
                names,
                architecture,
                sorted(compiled),
            )


def test_all_numbers_of_a_row_are_read() -> None:
    head = "| kernel | registers: sm_80, sm_90, sm_100 |\n| --- | --- |\n"
    page = head + "| `a`, `b` | 1 to 3, 4, 5; 6, 7, 8 |\n"
    ((names, registers),) = stated(page)
    assert names == ("a", "b")
    assert registers == {"sm_80": {1, 3, 6}, "sm_90": {4, 7}, "sm_100": {5, 8}}
