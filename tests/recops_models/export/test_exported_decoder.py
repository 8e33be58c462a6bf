"""The example's decoder returns its model's items. Programs are traced here, not compiled."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.export import ExportedProgram

import recops
from recops_models.export.package import _metadata, _trie, trie_path
from recops_models.export.programs import programs
from recops_models.generative.tiger import TIGER, TIGERConfig
from recops_models.generative.unirec import UniRec, UniRecConfig
from synthetic_histories import NUM_ITEMS, paths

ITEM_IDS = 100 + 3 * torch.arange(NUM_ITEMS)
USER_IDS = torch.tensor([7, 9, 12])
FIELDS = torch.tensor([[0, 0], [1, 2], [2, 1], [1, 1]])
SCENES = ("feed", "home", "search")
EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "exported_decoder.py"

Make = Callable[..., Any]
"""Function that returns a decoder of a model; keywords override metadata of its package."""


class Loaded:
    """Stand-in for the result of load_package, which traces the program at the first call."""

    def __init__(self, traced: Callable[[], ExportedProgram], metadata: dict[str, str]) -> None:
        self._program = cache(lambda: traced().module())
        self._metadata = metadata

    def get_metadata(self) -> dict[str, str]:
        return self._metadata

    def __call__(self, *arguments: Any) -> Any:
        return self._program()(*arguments)


@pytest.fixture
def make(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Make:
    spec = importlib.util.spec_from_file_location("exported_decoder", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)

    def exported(
        model: TIGER | UniRec, trie: recops.SidTrie | None = None, **overrides: str
    ) -> Any:
        package = tmp_path / "model.pt2"
        parts = cache(lambda: programs(model, ITEM_IDS, USER_IDS))
        metadata = {**_metadata(model, "it", SCENES), **overrides}
        monkeypatch.setattr(
            example, "load_package", lambda _, name: Loaded(lambda: parts()[name], metadata)
        )
        (trie or _trie(model, ITEM_IDS)).save(trie_path(package))
        return example.ExportedDecoder(package)

    return exported


def tiger(beams: int) -> TIGER:
    torch.manual_seed(0)
    layers = {"encoder_layers": 1, "decoder_layers": 1, "hidden": 8}
    config = TIGERConfig(history=4, width=8, heads=2, beams=beams, **layers)
    return TIGER(*paths(), torch.arange(float(NUM_ITEMS)), config).eval()


def unirec(beams: int, users: torch.Tensor | None = None, scenes: int = 1) -> UniRec:
    torch.manual_seed(0)
    sizes = {"history": 4, "width": 8, "heads": 2, "expert_hidden": 8, "head_hidden": 8}
    config = UniRecConfig(scenes=scenes, beams=beams, **sizes)
    return UniRec(*paths(), torch.arange(float(NUM_ITEMS)), config, users).eval()


@pytest.mark.parametrize(
    ("kind", "beams", "k"),
    [
        pytest.param(tiger, 5, 3, marks=pytest.mark.slow),
        pytest.param(unirec, 3, 2, marks=pytest.mark.slow),
        (unirec, 3, 7),
    ],
)
@torch.no_grad()
def test_the_number_of_beams_is_that_of_the_model(
    kind: Callable[[int], TIGER | UniRec], beams: int, k: int, make: Make
) -> None:
    rows, lengths = torch.tensor([[1, 2, 3, 0], [7, 8, 9, 10]]), torch.tensor([3, 4])
    known_items = [rows[0, :3] - 1, rows[1] - 1]
    few, default, many = (kind(n).decode(rows, lengths, k, known_items) for n in (1, beams, 50))
    result = make(kind(beams)).recommend([[100, 103, 106], [118, 121, 124, 127]], k)
    assert torch.equal(result.item_ids, ITEM_IDS[default.items])
    torch.testing.assert_close(result.scores, default.scores)
    assert torch.equal(default.items, few.items) == (
        k > beams
    )  # With k > beams, both decode with k beams.
    assert not torch.equal(default.items, many.items)


@pytest.mark.slow
@torch.no_grad()
def test_tasks_and_users_are_inputs(make: Make) -> None:
    model = unirec(4, FIELDS, scenes=3)
    rows, lengths = torch.tensor([[1, 2, 3, 0]] * 4), torch.tensor([3] * 4)
    task, user = torch.tensor([0, 2, 2, 2]), torch.tensor([1, 1, 3, 0])
    expected = model.decode(rows, lengths, 3, [rows[0, :3] - 1] * 4, task, user=user)
    inputs = {"tasks": [SCENES[i] for i in task], "users": [7, 7, 12, 8]}
    result = make(model).recommend([[100, 103, 106]] * 4, 3, **inputs)
    assert torch.equal(result.item_ids, ITEM_IDS[expected.items])
    torch.testing.assert_close(result.scores, expected.scores)
    assert len({tuple(row) for row in expected.scores.tolist()}) == 4


@pytest.mark.parametrize(
    ("model", "overrides", "message"),
    [
        (unirec(4), {"histories": [[100], []]}, r"histories\[1\] must have at least 1 item, got 0"),
        (unirec(4), {"k": 0}, "k must be 1 or more, got 0"),
        (
            unirec(4),
            {"tasks": ["feed"]},
            "tasks must have 0 entries, because the model's inputs are history, got 1",
        ),
        (unirec(4, scenes=3), {}, "tasks must have 1 entries, .* are history and task, got 0"),
        (unirec(4, scenes=3), {"tasks": ["cart"]}, "among feed, home, search, got cart"),
        (unirec(4, FIELDS), {"users": [7, 9]}, "users must have 1 entries, .* and user, got 2"),
    ],
)
def test_an_invalid_request_is_refused_in_one_line(
    model: UniRec, overrides: dict[str, Any], message: str, make: Make
) -> None:
    with pytest.raises(ValueError, match=f"^recommend: .*{message}$"):
        make(model).recommend(**{"histories": [[100]], "k": 3, **overrides})


def test_a_mismatched_package_is_refused_in_one_line(make: Make) -> None:
    model = unirec(4)
    other = recops.SidTrie.from_sids(model.paths[1:] - 1, ITEM_IDS, vocab_sizes=(4, 5, 7))
    with pytest.raises(ValueError, match=r"vocab_sizes must be 4,5,6, .* got 4,5,7$"):
        make(model, other)
    with pytest.raises(ValueError, match=r"must be of format 2, got 1; export its model again$"):
        make(model, recops_format="1")
