"""Packages decode like their models, in a process without recops_models."""

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
    set_threads(1)  # The models are too small for a second thread.


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


# A package compiles for a minute. .ci/run packages the model of most inputs, below.
@pytest.mark.full
@pytest.mark.parametrize("model", [tiger(), unirec()], ids=["tiger", "unirec"])
def test_a_package_recommends_the_items_of_its_model(model: TIGER | UniRec, tmp_path: Path) -> None:
    package = tmp_path / "model.pt2"
    assert export_model(model, ITEM_IDS, package, name="it") == [package, trie_path(package)]
    rows = torch.tensor([[1, 2, 3, 0], [7, 8, 9, 10]])
    lengths = torch.tensor([3, 4])
    expected = model.decode(rows, lengths, 20, [rows[0, :3] - 1, rows[1] - 1])
    item_ids, scores = recommended(package, "[[100, 103, 106], [118, 121, 124, 127]], 20")
    assert torch.equal(item_ids, ITEM_IDS[expected.items])
    torch.testing.assert_close(scores, expected.scores, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_a_package_with_tasks_and_users_agrees_with_its_model(tmp_path: Path) -> None:
    package = tmp_path / "model.pt2"
    model = unirec(torch.tensor([[0], [1], [2]]), scenes=3, beams=4)
    names = ('the "feed"', "Suche, groß", "搜索")
    users = torch.tensor([7, 9])
    export_model(model, ITEM_IDS, package, name="it", user_ids=users, tasks=names)
    rows, task = torch.tensor([[1, 2, 3, 0]] * 3), torch.tensor([1, 1, 2])
    lengths, user = torch.tensor([3, 3, 3]), torch.tensor([2, 0, 2])
    expected = model.decode(rows, lengths, 3, [rows[0, :3] - 1] * 3, task, user=user)
    inputs = f"tasks={[names[i] for i in task]}, users=[9, 8, 9]"
    item_ids, scores = recommended(package, f"[[100, 103, 106]] * 3, 3, {inputs}")
    assert torch.equal(item_ids, ITEM_IDS[expected.items])
    torch.testing.assert_close(scores, expected.scores, rtol=1e-5, atol=1e-5)
    assert len({tuple(row) for row in scores.tolist()}) == 3


def recommended(package: Path, arguments: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Return items and scores of the example's decoder, run in a separate process."""
    output = package.with_name("result.pt")
    run_alone(f"""
import sys, torch
from pathlib import Path
sys.path.insert(0, {str(LOADER.parent)!r})
from exported_decoder import ExportedDecoder
result = ExportedDecoder(Path({str(package)!r})).recommend({arguments})
torch.save((result.item_ids, result.scores), {str(output)!r})
""")
    item_ids, scores = torch.load(output, weights_only=True)
    return item_ids, scores


@pytest.mark.slow
def test_a_package_returns_the_scores_of_its_model(tmp_path: Path) -> None:
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
# 99 is not an item; it is padding after the end of the history.
result = scores(torch.tensor([[100, 103, 106, 99], [118, 99, 99, 99]]), torch.tensor([3, 1]))
torch.save(result, {str(tmp_path / "result.pt")!r})
""")
    result = torch.load(tmp_path / "result.pt", weights_only=True)
    torch.testing.assert_close(result, expected, rtol=1e-5, atol=1e-5)


def run_alone(script: str) -> None:
    """Run a script in a separate process, and check that it imports no recops_models."""
    script += 'assert not any(name.startswith("recops_models") for name in sys.modules)'
    process = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr


def test_the_trie_has_item_ids_in_the_order_of_the_prior() -> None:
    from recops_models.export.package import _trie

    model = tiger()
    trie = _trie(model, ITEM_IDS)
    assert trie.num_items == NUM_ITEMS
    shared = trie.items(trie.find(model.paths[-1:] - 1))[1].tolist()
    assert shared == [217, 214]  # Both have one path, and the prior puts item 39 first.


@pytest.mark.parametrize(
    ("model", "ids", "name", "message"),
    [
        (tiger(), ITEM_IDS, "model.zip", "must end in .pt2, got model.zip"),
        (tiger(), ITEM_IDS, "nowhere/model.pt2", "nowhere must be an existing folder"),
        (tiger(), ITEM_IDS.flip(0), "model.pt2", "must have 1 dimension and ascending values"),
        (tiger(), ITEM_IDS[:-1], "model.pt2", "item_ids must have 40 entries, got 39"),
        (
            Popularity(torch.ones(3)),
            ITEM_IDS,
            "model.pt2",
            "a generative model or score all items.* got it",
        ),
        (unirec(candidates="scores"), ITEM_IDS, "model.pt2", "must have candidates='beams'"),
    ],
)
def test_bad_input_is_refused_and_nothing_is_written(
    model: nn.Module, ids: torch.Tensor, name: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        export_model(model, ids, tmp_path / name, name="it")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        (unirec(scenes=3), {"tasks": ("a", "b")}, "tasks must have 3 names, got 2"),
        (unirec(torch.tensor([[0], [1]])), {}, "user_ids must have 1 entries, got 0"),
        (unirec(torch.tensor([[0], [1]])), {"user_ids": torch.arange(2)}, "1 entries, got 2"),
        (unirec(torch.tensor([[0], [1], [2]])), {"user_ids": torch.tensor([2, 1])}, "ascend"),
    ],
)
def test_invalid_request_inputs_are_refused(
    model: UniRec, arguments: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=message):
        export_model(model, ITEM_IDS, tmp_path / "model.pt2", name="it", **arguments)
    assert not list(tmp_path.iterdir())
