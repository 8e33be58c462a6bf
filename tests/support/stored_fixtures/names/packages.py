"""Names for other packages: the entry point group of recipes, and metadata of ``.pt2`` files."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from recops_models.cli.export import _tasks
from recops_models.data import Dataset
from recops_models.export.package import _metadata
from recops_models.recipes.run import load_trained, open_data
from stored_fixtures.trainings import trained

_GROUP, _RECIPE = "recops.recipes", "of-another-package"
_PROGRAM = """
import sys
sys.path.append(sys.argv[1])
from recops_models.recipes.registry import names
print(*names())
"""


def entry_point_groups() -> dict[str, set[str]]:
    """Collect the groups in which an installed package's entry point names a recipe."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "fixture_recipe-1.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: fixture-recipe\nVersion: 1\n"
        )
        (folder / "entry_points.txt").write_text(f"[{_GROUP}]\n{_RECIPE} = module:recipe\n")
        command = [sys.executable, "-c", _PROGRAM, temporary]
        known = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return {"entry point groups": {_GROUP} if _RECIPE in known else set()}


def package_metadata_names() -> dict[str, set[str]]:
    """Collect the metadata of an export of each ranker, without compiling it."""
    names = set()
    for name in ("unirec", "tiger", "sasrec"):
        folder = trained(name)
        job, model = load_trained(folder)
        data = open_data(job, model, folder)
        assert isinstance(data, Dataset)
        metadata = _metadata(model, name, _tasks(job, data))
        names |= {f"{name}: {key}" for key in metadata}
        names.add(f"{name}: recops_format is {metadata['recops_format']}")
    return {"package metadata": names}
