"""Imports in src/recops go down only, and never in a cycle."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest

from import_graph import Graph, cycles, import_graph, imports_against

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "recops"
ORDER = [
    "recops.benchmarks",
    ("recops.hf", "recops.faiss"),
    "recops.integrations",
    "recops._build_info",
    "recops.ops",
    "recops.reference",
    "recops.state",
    "recops._hub",
    ("recops._checks", "recops._debug", "recops._flush_subnormals", "recops.files"),
    ("recops._dtypes", "recops._host", "recops._load"),
]
"""From the top down. ``recops.hf`` and ``recops.faiss`` are the public names of integrations.

Value types that ops and reference share are in ``recops.state``. The composites of ops may be the
reference.
"""


def planted_graph(folder: Path, sources: Mapping[str, str]) -> Graph:
    """Return the import graph of a package with these modules, whose names have no prefix."""
    for name, source in sources.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source)
    return import_graph(folder)


def importers_of_integrations(graph: Graph) -> set[str]:
    """Return the modules outside the integrations that import one."""
    return {
        module
        for module, imported in graph.items()
        if not module.startswith("recops.integrations")
        and any(other.startswith("recops.integrations") for other in imported)
    }


def test_no_files_import_each_other() -> None:
    assert cycles(import_graph(PACKAGE)) == []


def test_imports_go_down() -> None:
    assert imports_against(import_graph(PACKAGE), ORDER) == []


def test_integrations_are_imported_only_under_their_public_names() -> None:
    assert importers_of_integrations(import_graph(PACKAGE)) == {"recops.hf", "recops.faiss"}


FORMS = [
    "import recops.{upper}",
    "from recops.{upper} import f",
    "def f():\n    from recops.{upper} import f",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from recops.{upper} import f",
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("above", "below"), list(pairwise(ORDER)))
def test_planted_upward_imports_are_reported(
    above: str | tuple[str, ...], below: str | tuple[str, ...], form: str, tmp_path: Path
) -> None:
    upper, lower = (
        (prefixes if isinstance(prefixes, str) else prefixes[0]).removeprefix("recops.")
        for prefixes in (above, below)
    )
    sources = {upper: "def f(): ...", lower: form.format(upper=upper)}
    graph = planted_graph(tmp_path / "recops", sources)
    assert imports_against(graph, ORDER) == [f"recops.{lower} -> recops.{upper}"]


def test_ops_may_import_the_reference_but_not_the_reverse(tmp_path: Path) -> None:
    sources = {
        "ops/memory/read": "def f():\n    from recops.reference.memory import read",
        "reference/memory/__init__": "from recops.reference.memory.read import read",
        "reference/memory/read": "from recops.ops.memory import write\ndef read(): ...",
        "ops/memory/__init__": "",
        "ops/memory/write": "",
    }
    graph = planted_graph(tmp_path / "recops", sources)
    assert graph["recops.ops.memory.read"] == {"recops.reference.memory.read"}
    assert imports_against(graph, ORDER) == [
        "recops.reference.memory.read -> recops.ops.memory.write"
    ]


def test_a_planted_module_outside_the_order_is_reported(tmp_path: Path) -> None:
    graph = planted_graph(tmp_path / "recops", {"kernels/scan": ""})
    with pytest.raises(ValueError, match=r"^recops\.kernels\.scan is missing in the order$"):
        imports_against(graph, ORDER)


def test_a_planted_import_of_an_integration_is_reported(tmp_path: Path) -> None:
    sources = {
        "hf": "from recops.integrations.hf import f",
        "integrations/hf": "def f(): ...",
        "benchmarks/trie": "from recops.integrations.hf import f",
    }
    graph = planted_graph(tmp_path / "recops", sources)
    assert importers_of_integrations(graph) == {"recops.hf", "recops.benchmarks.trie"}


def test_a_planted_cycle_through_a_function_is_reported(tmp_path: Path) -> None:
    sources = {
        "__init__": "from house import a, b",
        "a": "from house.b import f",
        "b": "def f():\n    from . import a\n    return a",
        "c": "import house.a",
    }
    graph = planted_graph(tmp_path / "house", sources)
    assert graph == {"house.a": {"house.b"}, "house.b": {"house.a"}, "house.c": {"house.a"}}
    assert cycles(graph) == [["house.a", "house.b"]]
    assert imports_against(graph, ["house.c", ("house.a", "house.b")]) == [
        "house.a -> house.b",
        "house.b -> house.a",
    ]


def test_an_import_through_a_package_reaches_the_defining_file(tmp_path: Path) -> None:
    sources = {
        "__init__": "from house.attic import lamp",
        "cellar": "from house.attic import lamp",
        "garden": "from house import attic",
        "street": "from house import lamp as light",
        "attic/__init__": "from house.attic.lamps import lamp\nfrom .boxes import box",
        "attic/lamps": "lamp = 1",
        "attic/boxes": "box = 1",
    }
    graph = planted_graph(tmp_path / "house", sources)
    assert graph["house.cellar"] == {"house.attic.lamps"}
    assert graph["house.garden"] == {"house.attic.lamps", "house.attic.boxes"}
    assert graph["house.street"] == {"house.attic.lamps"}
    assert imports_against(graph, ["house.attic", ("house.cellar", "house.garden", "house.street")])
