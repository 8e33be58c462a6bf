from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from recops_models.generative.path_ranker import GradScope, beam_search
from recops_models.generative.tiger import TIGER, TIGERConfig
from recops_models.generative.windows import target_rows
from synthetic_histories import NUM_ITEMS, histories, paths


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # the models are too small for several threads


def build(**changes: Any) -> TIGER:
    torch.manual_seed(0)
    tokens, sizes = paths()
    small = {"history": 6, "width": 8, "heads": 2, "hidden": 16}
    layers = {"encoder_layers": 2, "decoder_layers": 2}
    model = TIGER(
        tokens, sizes, torch.arange(float(NUM_ITEMS)), TIGERConfig(**{**small, **layers, **changes})
    )
    for bias in (model.history_bias, model.path_bias, model.recency_bias):
        torch.nn.init.normal_(bias.table.weight)  # a trained model has non-zero biases
    return model.eval()


HISTORY = torch.tensor([[1, 2, 3, 0, 0, 0], [4, 5, 6, 7, 8, 9]])
TARGET = torch.tensor([[2, 3, 4, 0, 0, 0], [5, 6, 7, 8, 9, 10]])
READINGS = pytest.mark.parametrize("reading", ["causal", "whole"])


@READINGS
def test_every_parameter_gets_a_gradient(reading: str) -> None:
    model = build(reading=reading)
    model.loss(HISTORY, TARGET).backward()
    for name, weight in model.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.isfinite().all(), name
        assert weight.grad.ne(0).any(), name


@READINGS
def test_known_rows_do_not_change_the_loss(reading: str) -> None:
    model = build(reading=reading)
    rows = target_rows(TARGET)
    assert torch.equal(model.loss(HISTORY, TARGET, rows=rows), model.loss(HISTORY, TARGET))


def test_the_trie_moves_with_the_model() -> None:
    model = build()
    trie = model.trie
    assert model.to("cpu").trie is trie
    assert model.to("meta").trie.device.type == "meta"


@READINGS
def test_decodes_new_items_of_the_catalogue_best_first(reading: str) -> None:
    model = build(reading=reading)
    past = histories([np.arange(5), np.arange(33)])
    items, scores = model.recommend(past, NUM_ITEMS)
    assert set(items[0].tolist()) - {-1} == set(range(5, NUM_ITEMS))
    assert set(items[1].tolist()) - {-1} == set(range(33, NUM_ITEMS))
    assert (scores[0, :-1] >= scores[0, 1:]).all()
    order = items[0].tolist()
    assert order.index(38) == order.index(39) + 1  # one path: 39 has the higher prior


@READINGS
def test_scores_are_log_probabilities_of_paths(reading: str) -> None:
    model = build(reading=reading)
    long, short = np.arange(3, 12), np.array([5, 1])
    items, scores = model.recommend(histories([long, short]), NUM_ITEMS)
    for row, past in enumerate((long[-6:], short)):
        history = torch.zeros(1, 6, dtype=torch.int64)
        history[0, : len(past)] = torch.from_numpy(past + 1)
        for rank in (0, 7):
            target = torch.zeros_like(history)
            target[0, len(past) - 1] = items[row, rank] + 1
            torch.testing.assert_close(-model.loss(history, target), scores[row, rank])


@READINGS
@pytest.mark.parametrize("scope", ["all", "last_step", "last_head"])
def test_path_log_probs_sum_to_the_loss_in_every_gradient_scope(
    scope: GradScope, reading: str
) -> None:
    model = build(reading=reading)
    log_probs = model.path_log_probs(HISTORY, TARGET, scope=scope)
    assert log_probs.shape == (int((TARGET > 0).sum()), model.steps)
    torch.testing.assert_close(-log_probs.sum(-1).mean(), model.loss(HISTORY, TARGET))
    log_probs.sum().backward()
    trained = {name for name, weight in model.named_parameters() if weight.grad is not None}
    last_head = {f"token.{model.steps - 1}.weight", "decoder_norm.weight"}
    if scope == "last_head":
        assert trained == last_head
    else:
        assert trained == {name for name, _ in model.named_parameters()}


def test_a_task_or_a_user_is_an_error() -> None:
    model, lengths = build(), torch.tensor([3, 6])
    message = "TIGER: task must be 0 and user None"
    with pytest.raises(ValueError, match=message):
        model.path_log_probs(HISTORY, TARGET, task=1)
    with pytest.raises(ValueError, match=message):
        model.decode(HISTORY, lengths, 5, task=torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=message):
        model.decode(HISTORY, lengths, 5, user=torch.tensor([1, 2]))


@READINGS
def test_later_events_do_not_change_earlier_losses(reading: str) -> None:
    model = build(reading=reading)
    only_first = TARGET.clone()
    only_first[:, 1:] = 0
    changed = HISTORY.clone()
    changed[:, 1:] = 11
    torch.testing.assert_close(model.loss(HISTORY, only_first), model.loss(changed, only_first))


def test_whole_reading_attends_to_later_events() -> None:
    """The two readings agree for one event and differ for more."""
    causal, bidirectional = build(), build(reading="whole")
    bidirectional.load_state_dict(causal.state_dict())
    first = TARGET.clone()
    first[:, 1:] = 0
    torch.testing.assert_close(causal.loss(HISTORY, first), bidirectional.loss(HISTORY, first))
    assert (causal.loss(HISTORY, TARGET) - bidirectional.loss(HISTORY, TARGET)).abs() > 1e-4


def test_the_order_of_events_matters() -> None:
    model = build()
    target = torch.tensor([[0, 0, 4, 0, 0, 0]])
    one, other = torch.tensor([[[1, 2, 3, 0, 0, 0]], [[3, 2, 1, 0, 0, 0]]])
    assert (model.loss(one, target) - model.loss(other, target)).abs() > 1e-4


def test_beams_share_one_encoding_of_their_request(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build(beams=30)
    encoded: list[int] = []
    encode = model.encode

    def count(*arguments: Any) -> Any:
        encoded.append(len(arguments[0]))
        return encode(*arguments)

    monkeypatch.setattr(model, "encode", count)
    model.recommend(histories([np.arange(3), np.arange(7)]), 20)
    assert encoded == [2]
    tensors = model.encode_requests(HISTORY, torch.tensor([3, 6]))
    assert {len(tensor) for tensor in tensors} == {2}


def test_the_callback_receives_the_beams_of_every_step_except_the_last() -> None:
    model, steps = build(beams=10), list[torch.Tensor]()
    encoded = model.encode_requests(HISTORY, torch.tensor([3, 6]))
    result = beam_search(model, encoded, beams=10, on_step=steps.append)
    assert [tuple(beams.shape) for beams in steps] == [(2, 4, 1), (2, 10, 2)]  # four first tokens
    sids = model.paths[result.item_ids + 1] - 1
    for beams in steps:
        length = beams.shape[-1]
        for row in range(2):
            prefixes = {tuple(path) for path in beams[row].tolist()}
            assert {tuple(path[:length]) for path in sids[row].tolist()} <= prefixes


def test_an_empty_history_is_an_error() -> None:
    with pytest.raises(ValueError, match="TIGER: lengths must be 1 or more, got 0 for history 1"):
        build().decode(HISTORY, torch.tensor([3, 0]), 5)
