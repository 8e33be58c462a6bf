"""Batches of requests: lists do not depend on padding, and keep the order of the histories."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from recops_models.data import Histories
from recops_models.generative.path_ranker import Requests
from recops_models.generative.ranker import Ranker
from recops_models.generative.sasrec import SASRec, SASRecConfig
from recops_models.generative.tiger import TIGER, TIGERConfig
from recops_models.generative.unirec import UniRec, UniRecConfig
from recops_models.generative.windows import last_windows, request_windows
from synthetic_histories import NUM_ITEMS, histories, paths

WINDOW = 12
LENGTHS = [30, 1, 5, 12, 2, 5, 13, 9, 3, 2, 12]


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # The models are too small for several threads.


def past() -> Histories:
    rng = np.random.default_rng(0)
    return histories([rng.integers(NUM_ITEMS, size=length) for length in LENGTHS])


def sasrec() -> Ranker:
    return SASRec(NUM_ITEMS, SASRecConfig(history=WINDOW, width=8, heads=2, layers=2))


def tiger() -> Ranker:
    config = TIGERConfig(
        history=WINDOW, width=8, heads=2, hidden=8, encoder_layers=2, decoder_layers=1
    )
    return TIGER(*paths(), torch.ones(NUM_ITEMS), config)


def unirec(tasks: int = 1) -> UniRec:
    config = UniRecConfig(history=WINDOW, width=8, heads=2, expert_hidden=8, scenes=tasks)
    return UniRec(*paths(), torch.ones(NUM_ITEMS), config)


def randomized(model: Ranker) -> Ranker:
    """Return the model in evaluation mode, with weights that make scores differ clearly."""
    torch.manual_seed(0)
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return model.eval()


@pytest.mark.parametrize("build", [sasrec, tiger, unirec])
@pytest.mark.parametrize("batch", [1, 3, 64])
@torch.no_grad()
def test_lists_equal_those_of_single_padded_requests(
    build: Callable[[], Ranker], batch: int
) -> None:
    model = randomized(build())
    items, scores = model.recommend(past(), 6, exclude_seen=False, batch=batch)
    for user in range(len(LENGTHS)):
        window, lengths = last_windows(past().take(np.array([user])), WINDOW)
        assert window.shape == (1, WINDOW)
        expected = model.decode(window, lengths, 6)
        assert torch.equal(items[user], expected.items[0])
        torch.testing.assert_close(scores[user], expected.scores[0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_tasks_keep_their_histories() -> None:
    model = randomized(unirec(tasks=3))
    assert isinstance(model, UniRec)
    task = torch.arange(len(LENGTHS)) % 3
    users = torch.zeros_like(task)
    items, scores = Requests(model, task, users).recommend(past(), 6, exclude_seen=False, batch=4)
    for user in range(len(LENGTHS)):
        window = last_windows(past().take(np.array([user])), WINDOW)
        expected = model.decode(*window, 6, task=int(task[user]))
        assert torch.equal(items[user], expected.items[0])
        torch.testing.assert_close(scores[user], expected.scores[0], atol=1e-5, rtol=1e-5)


def test_batches_hold_histories_of_similar_length(monkeypatch: pytest.MonkeyPatch) -> None:
    model, shapes = randomized(sasrec()), []
    decode = model.decode

    def recorded(history: torch.Tensor, *others: object) -> object:
        shapes.append(tuple(history.shape))
        return decode(history, *others)

    monkeypatch.setattr(model, "decode", recorded)
    model.recommend(past(), 3, batch=4)
    assert shapes == [(4, 3), (4, 12), (3, 12)]


def test_only_the_cpu_reads_windows_without_padding() -> None:
    short = past().take(np.array([1, 4]))
    items, lengths = request_windows(short, WINDOW, torch.device("cpu"))
    padded, padded_lengths = last_windows(short, WINDOW)
    assert torch.equal(items, padded[:, :2])
    assert torch.equal(lengths, padded_lengths)
    assert request_windows(short, WINDOW, torch.device("meta"))[0].shape == (2, WINDOW)
    assert request_windows(past(), WINDOW, torch.device("cpu"))[0].shape == (11, WINDOW)


def test_an_empty_history_is_an_error_that_names_its_position() -> None:
    rows = histories([np.arange(3), np.arange(2), np.arange(0)])
    message = "SASRec: lengths must be 1 or more, got 0 for history 2"
    with pytest.raises(ValueError, match=message):
        randomized(sasrec()).recommend(rows, 3)
