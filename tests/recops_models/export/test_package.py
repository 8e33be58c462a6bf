"""Packages decode as their models do, in a process that knows no model."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from recops_models.export.package import export_model, trie_path
from recops_models.generative.popularity import Popularity
from recops_models.generative.sasrec import SASRec, SASRecConfig
from recops_models.generative.tiger import TIGER, TIGERConfig
from recops_models.generative.unirec import UniRec, UniRecConfig
from synthetic_histories import NUM_ITEMS, paths

ITEM_IDS = 100 + 3 * torch.arange(NUM_ITEMS)
LOADER = Path(__file__).resolve().parents[3] / "examples" / "exported_decoder.py"


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # These models are so small that a second thread only waits for the first.


def tiger() -> TIGER:
    torch.manual_seed(0)
    tokens, sizes = paths()
    layers = {"encoder_layers": 1, "decoder_layers": 1, "hidden": 8}
    config = TIGERConfig(history=4, width=8, heads=2, **layers)
    return TIGER(tokens, sizes, torch.arange(float(NUM_ITEMS)), config).eval()


def unirec(users: torch.Tensor | None = None, **sizes: Any) -> UniRec:
    torch.manual_seed(0)
    config = UniRecConfig(history=4, width=8, heads=2, expert_hidden=8, head_hidden=8, **sizes)
    return UniRec(*paths(), torch.arange(float(NUM_ITEMS)), config, users).eval()


@pytest.mark.slow
@pytest.mark.parametrize("model", [tiger(), unirec()], ids=["tiger", "unirec"])
def test_a_package_finds_what_its_model_finds(model: TIGER | UniRec, tmp_path: Path) -> None:
    package = tmp_path / "model.pt2"
    assert export_model(model, ITEM_IDS, package, name="it") == [package, trie_path(package)]
    rows = torch.tensor([[1, 2, 3, 0], [7, 8, 9, 10]])
    lengths = torch.tensor([3, 4])
    expected = model.decode(rows, lengths, 20, [rows[0, :3] - 1, rows[1] - 1])
    run_alone(f"""
import sys, torch
from pathlib import Path
sys.path.insert(0, {str(LOADER.parent)!r})
from exported_decoder import ExportedDecoder
decoder = ExportedDecoder(Path({str(package)!r}))
found = decoder.recommend([[100, 103, 106], [118, 121, 124, 127]], beams=50)
torch.save((found.item_ids, found.scores), {str(tmp_path / "found.pt")!r})
""")
    item_ids, scores = torch.load(tmp_path / "found.pt", weights_only=True)
    assert torch.equal(item_ids[:, :20], ITEM_IDS[expected.items])
    torch.testing.assert_close(scores[:, :20], expected.scores, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_package_scores_as_its_model_scores(tmp_path: Path) -> None:
    package = tmp_path / "model.pt2"
    torch.manual_seed(0)
    model = SASRec(NUM_ITEMS, SASRecConfig(history=4, width=8)).eval()
    assert export_model(model, ITEM_IDS, package, name="it") == [package]
    expected = model.score_all(torch.tensor([[1, 2, 3, 0], [7, 0, 0, 0]]), torch.tensor([3, 1]))
    run_alone(f"""
import sys, torch
import recops
from torch._inductor.package import load_package
scores = load_package({str(package)!r}, "scores")
# 99 is no item; it stands behind the history's end.
found = scores(torch.tensor([[100, 103, 106, 99], [118, 99, 99, 99]]), torch.tensor([3, 1]))
torch.save(found, {str(tmp_path / "found.pt")!r})
""")
    found = torch.load(tmp_path / "found.pt", weights_only=True)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def run_alone(script: str) -> None:
    """Run it in a process of its own, in which no module of recops_models may be needed."""
    script += 'assert not any(name.startswith("recops_models") for name in sys.modules)'
    told = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr


def test_the_trie_has_the_data_sets_ids_and_the_prior_in_its_order() -> None:
    from recops_models.export.package import _trie

    model = tiger()
    trie = _trie(model, ITEM_IDS)
    assert trie.num_items == NUM_ITEMS
    shared = trie.items(trie.find(model.paths[-1:] - 1))[1].tolist()
    assert shared == [217, 214]  # Of one path: the prior puts item 39 first.


@pytest.mark.parametrize(
    ("model", "ids", "name", "said"),
    [
        (tiger(), ITEM_IDS, "model.zip", "must end in .pt2, got model.zip"),
        (tiger(), ITEM_IDS.flip(0), "model.pt2", "must be .N. and ascend"),
        (tiger(), ITEM_IDS[:-1], "model.pt2", "item_ids must be 40, got 39"),
        (Popularity(torch.ones(3)), ITEM_IDS, "model.pt2", "spells items or scores .* got it"),
        (unirec(scenes=2), ITEM_IDS, "model.pt2", "histories alone, .* got it with scenes or fi"),
        (unirec(torch.tensor([[0], [1]])), ITEM_IDS, "model.pt2", "histories alone, .* got it"),
    ],
)
def test_bad_input_is_named_and_nothing_written(
    model: nn.Module, ids: torch.Tensor, name: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=said):
        export_model(model, ids, tmp_path / name, name="it")
    assert not list(tmp_path.iterdir())
