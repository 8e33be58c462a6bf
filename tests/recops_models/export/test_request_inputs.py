"""Tasks and users as inputs of exported programs."""

from __future__ import annotations

import pytest
import torch

from recops_models.export.programs import _encoding, _traced
from recops_models.generative.path_ranker import PathRanker, RequestInputs
from recops_models.generative.tiger import TIGER, TIGERConfig
from recops_models.generative.unirec import Bos, UniRec, UniRecConfig
from synthetic_histories import NUM_ITEMS, paths

ITEM_IDS = 100 + 3 * torch.arange(NUM_ITEMS)
USER_IDS = torch.tensor([7, 9, 12])
FIELDS = torch.tensor([[0, 0], [1, 2], [2, 1], [1, 1]])


def unirec(bos: Bos = "table", users: torch.Tensor | None = None, scenes: int = 3) -> UniRec:
    torch.manual_seed(0)
    sizes = {"history": 4, "width": 8, "heads": 2, "expert_hidden": 8, "head_hidden": 8}
    config = UniRecConfig(bos=bos, scenes=scenes, **sizes)
    return UniRec(*paths(), torch.ones(NUM_ITEMS), config, users).eval()


@pytest.mark.parametrize(
    ("model", "inputs", "names"),
    [
        (TIGER(*paths(), torch.ones(NUM_ITEMS), TIGERConfig(width=8)), RequestInputs(), ()),
        (unirec(scenes=1), RequestInputs(), ()),
        (unirec("shared"), RequestInputs(), ()),
        (unirec("factorised"), RequestInputs(tasks=3), ("task",)),
        (unirec("shared", FIELDS), RequestInputs(users=3), ("user",)),
        (unirec("table", FIELDS), RequestInputs(tasks=3, users=3), ("task", "user")),
    ],
)
def test_request_inputs(model: PathRanker, inputs: RequestInputs, names: tuple[str, ...]) -> None:
    assert model.inputs == inputs
    assert inputs.names == names


@pytest.mark.slow
@pytest.mark.parametrize(
    ("bos", "users"), [("table", FIELDS), ("factorised", None), ("shared", FIELDS)]
)
@torch.no_grad()
def test_a_traced_encoder_equals_its_model(bos: Bos, users: torch.Tensor | None) -> None:
    model = unirec(bos, users)
    encode = _traced(*_encoding(model, ITEM_IDS, USER_IDS)).module()
    names = model.inputs.names
    for requests in (1, 5):
        rows = torch.randint(1, 1 + NUM_ITEMS, (requests, 4))
        lengths = torch.full((requests,), 4)
        task, row = torch.arange(requests).flip(0) % 3, torch.arange(requests) % 4
        row_inputs = {"task": task, "user": row}
        # Row 0 is for unknown users, such as id 8.
        id_inputs = {"task": task, "user": torch.tensor([8, 7, 9, 12])[row]}
        expected = model.encode_requests(
            rows, lengths, **{name: row_inputs[name] for name in names}
        )
        result = encode(ITEM_IDS[rows - 1], lengths, *[id_inputs[name] for name in names])
        torch.testing.assert_close(result, expected)
