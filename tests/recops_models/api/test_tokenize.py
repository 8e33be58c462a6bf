"""Semantic IDs and their diagnosis from Python."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

import recops_models as rm
from fake_hub import FakeHub
from recops_models.cli import run
from recops_models.data import DataError
from small_shop import write_shop

POINTS = np.random.default_rng(0).normal(size=(60, 6)).astype(np.float32)


def test_vectors_get_codes(tmp_path: Path) -> None:
    ids = rm.tokenize(POINTS, levels=2, codes=8)
    table = ids.sids
    assert table.column_names == ["item_id", "c0", "c1"]
    assert table["item_id"].to_pylist() == list(range(60))
    assert torch.equal(ids.encode(POINTS[:5]), ids.codes[:5])
    trie = ids.trie()
    assert trie.num_items == 60
    assert trie.contains(ids.codes).all()
    ids.save_pretrained(tmp_path / "ids")
    again = rm.SemanticIds.from_pretrained(tmp_path / "ids")
    assert torch.equal(again.codes, ids.codes)
    assert again.metrics == ids.metrics
    hub = FakeHub(tmp_path / "repo")
    assert ids.push_to_hub("owner/ids", api=hub) == "https://hub/owner/ids"
    assert torch.equal(rm.SemanticIds.from_pretrained(hub.folder).codes, ids.codes)


def test_the_command_line_gives_the_same_codes(tmp_path: Path) -> None:
    shop = write_shop(tmp_path / "shop")
    ids = rm.tokenize(rm.load_data(shop), levels=2, codes=4, settings={"iterations": 3})
    command = f"tokenize --data {shop} --levels 2 --codes 4 --set iterations=3 --out {tmp_path}/cli"
    assert run(command.split()) == 0
    assert torch.equal(rm.SemanticIds(tmp_path / "cli").codes, ids.codes)


def test_other_semantic_ids_are_not_overwritten(tmp_path: Path) -> None:
    np.save(tmp_path / "v.npy", POINTS)
    out = tmp_path / "ids"
    first = rm.tokenize(POINTS, levels=1, codes=2, out=out).codes
    message = r"holds semantic IDs with codes \[2\], not \[3\]: .*force=True"
    with pytest.raises(ValueError, match=message):
        rm.tokenize(POINTS, levels=1, codes=3, out=out)
    assert torch.equal(rm.SemanticIds(out).codes, first)
    rm.tokenize(POINTS[:-1], levels=1, codes=2, out=out)  # Newer data with the same settings.
    rm.tokenize(POINTS, levels=1, codes=3, out=out, force=True)
    command = f"tokenize --vectors {tmp_path}/v.npy --levels 1 --codes 2 --out {out}"
    assert run(command.split()) == 1
    assert run([*command.split(), "--force"]) == 0
    assert run(command.split()) == 0


def test_frames_keep_their_ids_and_library() -> None:
    polars = pytest.importorskip("polars", reason="polars is not installed")
    frame = polars.DataFrame({"item_id": ["b", "a", "c"], "vector": POINTS[:3].tolist()})
    sids = rm.tokenize(frame, levels=1, codes=2).sids
    assert isinstance(sids, polars.DataFrame)
    assert sids["item_id"].to_list() == ["a", "b", "c"]


def test_a_diagnosis_has_figures_and_a_page(tmp_path: Path) -> None:
    data = rm.load_data(write_shop(tmp_path / "shop"))
    ids = rm.tokenize(data, levels=2, codes=4)
    alone, with_data = rm.diagnose(ids), rm.diagnose(ids, data)
    assert alone["items"] == len(ids) == 30
    assert "exposure" in alone["missing"]
    assert "exposure" not in with_data["missing"]
    with_data.page(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text().startswith("<!")


@pytest.mark.parametrize(
    ("vectors", "options", "message"),
    [
        (POINTS[0], {}, r"tokenize: vectors must be \[N, D\], got \[6\]"),
        ([[1.0, 2.0], [3.0]], {}, r"tokenize: vectors must be \[N, D\] numbers, got list \("),
        (["a"], {}, r"tokenize: vectors must be \[N, D\] numbers, got list \("),
        (POINTS * np.nan, {}, r"tokenize: vectors must be finite, row 0 is not"),
        ({"item_id": [1]}, {}, r"tokenize: vectors must have item_id and one column of lists"),
        (
            {"item_id": [1, 1], "v": [[1.0], [2.0]]},
            {"codes": 1},
            r"tokenize: item_id must be unique",
        ),
        (
            pa.table({"item_id": [1, 2], "v": [[1.0], [2.0, 3.0]]}),
            {"codes": 1},
            r"tokenize: v must hold lists of one length",
        ),
        (POINTS, {"method": "nothing"}, r"no tokenizer 'nothing'"),
        (POINTS, {"settings": {"wide": 3}}, r"rq-kmeans has no setting 'wide'"),
        (POINTS, {"method": "drq-vae-cl", "codes": 8}, r"tokenize: drq-vae-cl uses pairs of items"),
    ],
)
def test_bad_vectors_are_refused(vectors: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises((DataError, ValueError), match=f"^{message}"):
        rm.tokenize(vectors, **options)
