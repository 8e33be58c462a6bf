"""The import graph of a package, read from its source.

Imports inside functions and under ``TYPE_CHECKING`` count. A name imported from a package counts as
imported from the file that defines it; a package imported as a whole counts as every file that its
``__init__`` imports. Imports by an ``__init__`` do not count, nor do type stubs.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

Graph = dict[str, set[str]]


@cache
def import_graph(package_folder: Path) -> Graph:
    """Map each module of the package, by dotted name, to the modules it imports of the others."""
    paths = {
        _module_name(package_folder, path): path for path in sorted(package_folder.rglob("*.py"))
    }
    imports = {name: set(_imported(name, path)) for name, path in paths.items()}
    packages = {name for name, path in paths.items() if path.name == "__init__.py"}
    modules = paths.keys() - packages

    def files_of(name: str) -> set[str]:
        """Return the modules that an import of ``name`` reaches."""
        if name in modules:
            return {name}
        if name in packages:
            whole_package = {other for _, other in imports[name] if other != name}
            return {module for other in whole_package for module in files_of(other)}
        package, _, attribute = name.rpartition(".")
        if package in modules:
            return {package}
        if package in packages:
            origins = {other for bound, other in imports[package] if bound == attribute}
            return {module for other in origins if other != name for module in files_of(other)}
        return set()

    return {
        module: {
            target
            for _, name in imports[module]
            if name != package_folder.name
            for target in files_of(name)
        }
        for module in modules
    }


def _module_name(package_folder: Path, path: Path) -> str:
    parts = path.relative_to(package_folder).with_suffix("").parts
    return ".".join((package_folder.name, *(part for part in parts if part != "__init__")))


def _imported(module: str, path: Path) -> Iterator[tuple[str, str]]:
    """Yield the name that each import binds, and the dotted name that it imports."""
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((alias.asname or alias.name, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            parts = [*(above if node.level else []), *([node.module] if node.module else [])]
            for alias in node.names:
                yield alias.asname or alias.name, ".".join([*parts, alias.name])


def cycles(graph: Graph) -> list[list[str]]:
    """Return the groups of modules that import each other, directly or indirectly."""
    reached = {module: _reached(graph, module) for module in graph}
    groups = {
        tuple(sorted(other for other in reached[module] if module in reached[other]))
        for module in graph
        if module in reached[module]
    }
    return [list(group) for group in sorted(groups)]


def _reached(graph: Graph, module: str) -> set[str]:
    reached: set[str] = set()
    queue = [module]
    while queue:
        new = graph[queue.pop()] - reached
        reached |= new
        queue += new
    return reached


def imports_against(graph: Graph, order: Sequence[str | Sequence[str]]) -> list[str]:
    """Return the imports that do not go down in ``order``, as lines ``importer -> imported``.

    Args:
        order: prefixes of modules, from the top down; those of one level may not import each other.

    Raises:
        ValueError: a module is missing in ``order``.
    """
    levels: dict[str, int] = {}
    for level, prefixes in enumerate(order):
        for prefix in [prefixes] if isinstance(prefixes, str) else prefixes:
            levels[prefix] = level

    def prefix_of(module: str) -> str:
        matches = [p for p in levels if module == p or module.startswith(f"{p}.")]
        if not matches:
            raise ValueError(f"{module} is missing in the order")
        return max(matches, key=len)

    at = {module: prefix_of(module) for module in graph}
    return sorted(
        f"{module} -> {other}"
        for module, imported in graph.items()
        for other in imported
        if at[module] != at[other] and levels[at[module]] >= levels[at[other]]
    )
