"""Which file of a package imports which, read from the source alone.

Imports inside functions and under ``TYPE_CHECKING`` count. Those to and from a package's
``__init__`` don't, nor do type stubs: a package may show what is in it, and only files hold code.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from pathlib import Path

Graph = dict[str, set[str]]


def import_graph(package_folder: Path) -> Graph:
    """The modules of the package, by dotted name, and what each imports of the others."""
    package = package_folder.name
    names = {
        ".".join((package, *path.relative_to(package_folder).with_suffix("").parts)): path
        for path in package_folder.rglob("*.py")
        if path.name != "__init__.py"
    }
    return {
        name: set(_imported(name, ast.parse(path.read_text(encoding="utf-8")))) & set(names)
        for name, path in names.items()
    }


def _imported(module: str, tree: ast.Module) -> Iterator[str]:
    """All that may be a module: ``from a import b`` may mean ``a`` and ``a.b``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = module.split(".")[: -node.level] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield origin
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def cycles(graph: Graph) -> list[list[str]]:
    """The groups of modules that import one another, in whatever many steps."""
    reached = {module: _reached(graph, module) for module in graph}
    groups = {
        tuple(sorted(other for other in reached[module] if module in reached[other]))
        for module in graph
        if module in reached[module]
    }
    return [list(group) for group in sorted(groups)]


def _reached(graph: Graph, module: str) -> set[str]:
    found: set[str] = set()
    ahead = [module]
    while ahead:
        fresh = graph[ahead.pop()] - found
        found |= fresh
        ahead += fresh
    return found


def imports_against(graph: Graph, order: Sequence[str | Sequence[str]]) -> list[str]:
    """The imports that do not go down in ``order``, as lines ``importer -> imported``.

    Args:
        order: prefixes of modules, from the top down; those of one place may not import each other.

    Raises:
        ValueError: a module that has no place in the order.
    """
    places: dict[str, int] = {}
    for place, prefixes in enumerate(order):
        for prefix in [prefixes] if isinstance(prefixes, str) else prefixes:
            places[prefix] = place

    def prefix_of(module: str) -> str:
        fitting = [p for p in places if module == p or module.startswith(f"{p}.")]
        if not fitting:
            raise ValueError(f"{module} has no place in the order")
        return max(fitting, key=len)

    at = {module: prefix_of(module) for module in graph}
    return sorted(
        f"{module} -> {other}"
        for module, imported in graph.items()
        for other in imported
        if at[module] != at[other] and places[at[module]] >= places[at[other]]
    )
