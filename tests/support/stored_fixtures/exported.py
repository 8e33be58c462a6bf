"""The metadata of an exported package, and its trie."""

from __future__ import annotations

import json
import tempfile
import zipfile
from pathlib import Path

from recops import SidTrie
from recops_models.export.package import trie_path
from stored_fixtures.fixture import StoredFixture, Values, newest, run_command

_METADATA, _TRIE = "metadata.json", "model.trie.safetensors"


def _write(folder: Path) -> None:
    """Export the newest UniRec; keep the metadata of each program, and the trie."""
    with tempfile.TemporaryDirectory() as temporary:
        package = Path(temporary) / "model.pt2"
        run_command("export", str(newest("unirec")), "--out", str(package))
        (folder / _METADATA).write_text(json.dumps(package_metadata(package), indent=1) + "\n")
        (folder / _TRIE).write_bytes(trie_path(package).read_bytes())


def package_metadata(package: Path) -> dict[str, dict[str, str]]:
    """Return the metadata of each program of a package, by the program's name."""
    metadata = {}
    with zipfile.ZipFile(package) as archive:
        for name in archive.namelist():
            if name.endswith("_metadata.json"):
                program = name.split("/")[-2]
                metadata[program] = json.loads(archive.read(name))
    return metadata


def _read(folder: Path) -> Values:
    trie = SidTrie.load(folder / _TRIE)
    return {
        "metadata": json.loads((folder / _METADATA).read_text()),
        "vocab_sizes": list(trie.vocab_sizes),
        "item_ids": trie.item_ids.tolist(),
    }


EXPORTED = {"exported": StoredFixture(_write, _read)}
