"""Folders and uploads of tries, as of other pretrained objects."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fake_hub import FakeHub
from recops import SidTrie
from recops.files import CorruptFileError

SIDS = torch.tensor([[0, 1], [1, 0], [1, 1]])


def test_a_folder_holds_the_trie(tmp_path: Path) -> None:
    trie = SidTrie.from_sids(SIDS)
    trie.save_pretrained(tmp_path / "new" / "trie")
    loaded = SidTrie.from_pretrained(tmp_path / "new" / "trie")
    assert torch.equal(loaded.tokens, trie.tokens)
    assert loaded.contains(SIDS).all()


def test_an_upload_is_a_folder(tmp_path: Path) -> None:
    hub = FakeHub(tmp_path / "repo")
    trie = SidTrie.from_sids(SIDS)
    assert trie.push_to_hub("owner/trie", private=False, api=hub) == "https://hub/owner/trie"
    assert hub.repositories == [("owner/trie", False)]
    assert [path.name for path in hub.folder.iterdir()] == ["trie.safetensors"]
    assert SidTrie.from_pretrained(hub.folder).num_items == 3


def test_a_repository_is_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = pytest.importorskip("huggingface_hub", reason="the hub needs recops[hf]")
    SidTrie.from_sids(SIDS).save_pretrained(tmp_path)
    monkeypatch.setattr(hub, "snapshot_download", {"owner/trie": str(tmp_path)}.__getitem__)
    assert SidTrie.from_pretrained("owner/trie").num_items == 3


def test_missing_and_damaged_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"^SidTrie\.from_pretrained: no folder"):
        SidTrie.from_pretrained(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError):
        SidTrie.from_pretrained(tmp_path)
    (tmp_path / "trie.safetensors").write_bytes(b"x")
    with pytest.raises(CorruptFileError):
        SidTrie.from_pretrained(tmp_path)
