"""Public names: what users, their files and their dashboards refer to by name.

``tests/fixtures/stored/names.json`` lists them by category, so that every change of a name appears
in a commit. Most collectors run recops and observe what it writes and answers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from stored_fixtures.names.command_line import command_line_names
from stored_fixtures.names.files import file_names, sealed_kinds
from stored_fixtures.names.packages import entry_point_groups, package_metadata_names
from stored_fixtures.names.serving import serving_names
from stored_fixtures.names.settings import setting_names

LISTING = "names.json"

Names = dict[str, set[str]]

COLLECTORS: Mapping[str, tuple[Callable[[], Names], tuple[str, ...]]] = {
    "settings": (setting_names, ()),
    "sealed kinds": (sealed_kinds, ()),
    "command line": (command_line_names, ()),
    "entry points": (entry_point_groups, ()),
    "package metadata": (package_metadata_names, ()),
    "training files": (file_names, ()),
    "serving": (serving_names, ("lmdb", "fastapi", "uvicorn", "orjson", "prometheus_client")),
}
"""Functions that collect current names by category, with the optional packages that they need. They
run in a copy of ``tests/fixtures/stored``.
"""


def load_listing(path: Path) -> Names:
    """Read the listed names; none from a file that does not exist."""
    content = json.loads(path.read_text()) if path.exists() else {}
    return {category: set(names) for category, names in content.items()}


def write_listing(path: Path) -> None:
    """Write the current names."""
    names: Names = {}
    for collect, _ in COLLECTORS.values():
        for category, current in collect().items():
            names.setdefault(category, set()).update(current)
    content = {category: sorted(names[category]) for category in sorted(names)}
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
