"""Traced programs agree with the model for other batch and beam sizes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
import torch

from recops_models.export.programs import IdRows, programs
from recops_models.generative.sasrec import SASRec, SASRecConfig
from recops_models.generative.tiger import TIGER, TIGERConfig
from recops_models.generative.unirec import UniRec, UniRecConfig
from synthetic_histories import NUM_ITEMS, paths

ITEM_IDS = 100 + 3 * torch.arange(NUM_ITEMS)


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # The models are too small for a second thread.


def test_unknown_ids_have_row_0() -> None:
    rows = IdRows(ITEM_IDS)
    ids = torch.tensor([[103, 100, 999, 0], [217, 101, 100, 100]])
    assert rows(ids).tolist() == [[2, 1, 0, 0], [40, 0, 1, 1]]
    assert rows.within(ids, torch.tensor([4, 3])).tolist() == [[2, 1, 0, 0], [40, 0, 1, 0]]


def tiger() -> TIGER:
    torch.manual_seed(0)
    layers = {"encoder_layers": 1, "decoder_layers": 1, "hidden": 8}
    config = TIGERConfig(history=4, width=8, heads=2, **layers)
    return TIGER(*paths(), torch.ones(NUM_ITEMS), config).eval()


def unirec(**changes: object) -> UniRec:
    torch.manual_seed(0)
    small = UniRecConfig(history=4, width=8, heads=2, expert_hidden=8, head_hidden=8)
    config = dataclasses.replace(small, **changes)
    model = UniRec(*paths(), torch.ones(NUM_ITEMS), config, content=torch.randn(NUM_ITEMS, 3))
    if model.item.project is not None:
        torch.nn.init.normal_(model.item.project)  # It starts at zero, without effect.
    return model.eval()


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(tiger(), id="tiger"),
        pytest.param(unirec(), id="unirec"),
        pytest.param(unirec(item_content=True), id="item content", marks=pytest.mark.slow),
        pytest.param(unirec(roots=3), id="roots", marks=pytest.mark.slow),
    ],
)
@torch.no_grad()
def test_traced_steps_equal_the_model(model: TIGER | UniRec) -> None:
    exported = {name: program.module() for name, program in programs(model, ITEM_IDS).items()}
    rescores = model.rescores
    assert list(exported) == ["encode", "step_0", "step_1", "step_2", *["rescore"] * rescores]
    for requests, widths in ((1, (1, 7)), (5, (6, 2))):
        rows = torch.randint(1, 1 + NUM_ITEMS, (requests, 4))
        lengths = torch.full((requests,), 4)
        read = model.encode_requests(rows, lengths)
        torch.testing.assert_close(exported["encode"](ITEM_IDS[rows - 1], lengths), read)
        logits, state = model.next_token_logits(read, [], None, None)
        torch.testing.assert_close(exported["step_0"](read)[0], logits)
        for step, (before, beams) in enumerate(zip((1, widths[0]), widths, strict=True), 1):
            tokens = torch.randint(0, 4, (requests, beams), dtype=torch.int32)
            parents = torch.randint(0, before, (requests, beams), dtype=torch.int32)
            parents[0, -1] = tokens[0, -1] = -1  # A dead beam.
            expected = model.next_token_logits(read, state, tokens, parents)
            result = exported[f"step_{step}"](read, state, tokens, parents)
            torch.testing.assert_close(result, expected)
            state = expected[1]
        if model.rescores:
            items = torch.randint(-1, NUM_ITEMS, (requests, 9))
            ids = ITEM_IDS[items].where(items >= 0, -1)
            torch.testing.assert_close(exported["rescore"](read, ids), model.rescore(read, items))


@torch.no_grad()
def test_traced_scores_equal_the_model() -> None:
    torch.manual_seed(0)
    model = SASRec(NUM_ITEMS, SASRecConfig(history=4, width=8, heads=2)).eval()
    exported = programs(model, ITEM_IDS)
    assert list(exported) == ["scores"]
    rows, lengths = torch.tensor([[1, 2, 0, 0]]), torch.tensor([2])
    ids = torch.tensor([[100, 103, 0, 0]])
    torch.testing.assert_close(
        exported["scores"].module()(ids, lengths), model.score_all(rows, lengths)
    )
