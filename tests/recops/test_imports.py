"""Imports in src/recops go down only, and never in a circle."""

from __future__ import annotations

from pathlib import Path

from import_graph import cycles, import_graph, imports_against

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "recops"
ORDER = [
    "recops.benchmarks",
    ("recops.hf", "recops.faiss"),
    "recops.integrations",
    "recops.ops",
    "recops.reference",
    "recops.state",
    ("recops._checks", "recops._flush_subnormals", "recops.files"),
    ("recops._dtypes", "recops._load"),
]
"""From the top down. ``recops.hf`` and ``recops.faiss`` are the public names of integrations."""


def test_no_files_import_each_other() -> None:
    assert cycles(import_graph(PACKAGE)) == []


def test_imports_go_down() -> None:
    assert imports_against(import_graph(PACKAGE), ORDER) == []


def test_integrations_are_imported_by_their_public_names_alone() -> None:
    importers = {
        module
        for module, imported in import_graph(PACKAGE).items()
        if not module.startswith("recops.integrations")
        and any(other.startswith("recops.integrations") for other in imported)
    }
    assert importers == {"recops.hf", "recops.faiss"}


def test_a_circle_through_a_function_is_found(tmp_path: Path) -> None:
    files = {
        "__init__": "from house import a, b",
        "a": "from house.b import f",
        "b": "def f():\n    from . import a\n    return a",
        "c": "import house.a",
    }
    package = tmp_path / "house"
    package.mkdir()
    for name, text in files.items():
        (package / f"{name}.py").write_text(text)
    graph = import_graph(package)
    assert graph == {"house.a": {"house.b"}, "house.b": {"house.a"}, "house.c": {"house.a"}}
    assert cycles(graph) == [["house.a", "house.b"]]
    assert imports_against(graph, ["house.c", ("house.a", "house.b")]) == [
        "house.a -> house.b",
        "house.b -> house.a",
    ]


def test_an_import_through_a_package_leads_to_the_file(tmp_path: Path) -> None:
    files = {
        "__init__": "from house.attic import lamp",
        "cellar": "from house.attic import lamp",
        "garden": "from house import attic",
        "street": "from house import lamp as light",
        "attic/__init__": "from house.attic.lamps import lamp\nfrom .boxes import box",
        "attic/lamps": "lamp = 1",
        "attic/boxes": "box = 1",
    }
    for name, text in files.items():
        path = tmp_path / "house" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    graph = import_graph(tmp_path / "house")
    assert graph["house.cellar"] == {"house.attic.lamps"}
    assert graph["house.garden"] == {"house.attic.lamps", "house.attic.boxes"}
    assert graph["house.street"] == {"house.attic.lamps"}
    assert imports_against(graph, ["house.attic", ("house.cellar", "house.garden", "house.street")])
