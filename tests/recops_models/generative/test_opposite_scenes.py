"""Two scenes with opposite preferences on shared users: a model must be told which one it is in."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from recops_models.generative.path_losses import next_token_loss
from recops_models.generative.unirec import Bos, UniRec, UniRecConfig

ITEMS, LENGTH = 12, 5


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # These models are so small that a second thread only waits for the first.


def requests(users: int, seed: int) -> tuple[Tensor, Tensor]:
    """Items ``[U, T + 1]`` from 1 and the scenes of the targets ``[U, T]``: behind item i comes
    i + 1 in scene 0, i − 1 in scene 1, and the scene of each event is drawn.
    """
    generator = torch.Generator().manual_seed(seed)
    scene = torch.randint(2, (users, LENGTH), generator=generator)
    first = torch.randint(ITEMS, (users, 1), generator=generator)
    walk = torch.cat([first, first + (1 - 2 * scene).cumsum(1)], 1) % ITEMS
    return walk + 1, scene


def trained(bos: Bos, steps: int = 200) -> UniRec:
    torch.manual_seed(0)
    item = torch.arange(ITEMS)
    config = UniRecConfig(
        num_attributes=0, history=LENGTH, width=16, heads=2, expert_hidden=16, head_hidden=16,
        scenes=2, bos=bos, dropout=0.0,
    )  # fmt: skip
    model = UniRec(torch.stack([item // 4, item % 4], 1), (3, 4), torch.ones(ITEMS), config)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for step in range(steps):
        items, scene = requests(32, step)
        log_probs = model.path_log_probs(items[:, :-1], items[:, 1:], scene)
        optimizer.zero_grad()
        next_token_loss(log_probs, torch.ones(len(log_probs))).backward()
        optimizer.step()
    return model.eval()


@torch.no_grad()
def right(model: UniRec) -> float:
    """The share of unseen requests whose first recommendation is what came."""
    items, scene = requests(200, 9999)
    lengths = torch.full((200,), LENGTH)
    found = model.decode(items[:, :-1], lengths, 1, task=scene[:, -1])
    return float((found.items[:, 0] + 1 == items[:, -1]).double().mean())


def test_joint_training_without_a_start_of_its_own_loses_to_one_with_it() -> None:
    assert right(trained("shared")) < 0.65  # It may know both neighbours, and not which one.
    assert right(trained("table")) > 0.72
