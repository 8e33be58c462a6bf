"""Recurrences over shared beginnings: read once, with the bits of separate histories."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import recops
from recops_models.layers.recurrent import Recurrent
from recops_models.layers.states_at import states_along, states_at

USERS, T, D = 3, 9, 4
MIMN = recops.MimnParams.random(input_size=D, hidden_size=5, num_slots=3)
HPMN = recops.HpmnParams.random(input_size=D, hidden_size=5, num_slots=3)


def mimn(events: Tensor, lengths: Tensor, state: recops.MimnState | None) -> recops.MimnState:
    return recops.mimn_scan(events, MIMN, state, lengths=lengths, utilization="code")[1]


def hpmn(events: Tensor, lengths: Tensor, state: recops.HpmnState | None) -> recops.HpmnState:
    return recops.hpmn_scan(events, HPMN, state, lengths=lengths, periods=(1, 2, 4))[1]


EACH_BEGINNINGS = pytest.mark.parametrize(
    "beginnings",
    [
        [(0, 3), (0, 9), (0, 4), (0, 5), (1, 1), (2, 0), (1, 7), (0, 4)],
        [(0, 0), (1, 0), (2, 0)],
        [(2, 9), (1, 9), (0, 9)],
        [(2, 2), (1, 2), (0, 2), (1, 2), (1, 3)],
    ],
)
"""Per row, a history and the number of its events that are read."""


@EACH_BEGINNINGS
@pytest.mark.parametrize("write", [mimn, hpmn])
def test_states_at_equals_separate_recurrences(
    write: Callable[..., Any], beginnings: list[tuple[int, int]]
) -> None:
    torch.manual_seed(0)
    events = torch.randn(USERS, T, D)
    history, ends = (torch.tensor(column) for column in zip(*beginnings, strict=True))
    shared, separate = (events.clone().requires_grad_() for _ in range(2))
    result = states_at(write, shared, history, ends)
    expected = write(separate[history], ends, None)
    for name, value in expected.state_dict().items():
        assert torch.equal(result.state_dict()[name], value), name
    weight = torch.randn_like(expected.memory)
    for state in (result, expected):
        (state.memory * weight).sum().backward()
    torch.testing.assert_close(shared.grad, separate.grad, rtol=1e-4, atol=1e-6)


def test_a_shared_beginning_is_read_once() -> None:
    events_read = 0

    def counting_hpmn(
        events: Tensor, lengths: Tensor, state: recops.HpmnState | None
    ) -> recops.HpmnState:
        nonlocal events_read
        events_read += int(lengths.sum())
        return hpmn(events, lengths, state)

    beginnings = torch.tensor([0, 0, 1, 0]), torch.tensor([6, 8, 2, 8])
    states_at(counting_hpmn, torch.randn(2, T, D), *beginnings)
    assert events_read == 6 + 2 + (0 + 2 + 0 + 2)


@EACH_BEGINNINGS
def test_states_along_equals_separate_recurrences(beginnings: list[tuple[int, int]]) -> None:
    torch.manual_seed(0)
    gru, read = Recurrent(D, D), []
    events = torch.randn(USERS, T, D)
    history, ends = (torch.tensor(column) for column in zip(*beginnings, strict=True))
    shared, separate = (events.clone().requires_grad_() for _ in range(2))

    def along(events: Tensor, lengths: Tensor) -> Tensor:
        read.append(int(lengths.sum()))
        states: Tensor = gru(events, lengths)[0]
        return states

    result, expected = states_along(along, shared, history, ends), along(separate[history], ends)
    assert torch.equal(result, expected)
    assert read == [
        sum(max(end for u, end in beginnings if u == user) for user in range(USERS)),
        sum(end for _, end in beginnings),
    ]
    weight = torch.randn_like(expected)
    for states in (result, expected):
        (states * weight).sum().backward()
    torch.testing.assert_close(shared.grad, separate.grad, rtol=1e-4, atol=1e-6)
