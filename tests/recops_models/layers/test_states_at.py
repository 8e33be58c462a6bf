"""What beginnings share is read once, and gives the states of each by itself, to the bits."""

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


BEGINNINGS = pytest.mark.parametrize(
    "places",
    [
        [(0, 3), (0, 9), (0, 4), (0, 5), (1, 1), (2, 0), (1, 7), (0, 4)],
        [(0, 0), (1, 0), (2, 0)],
        [(2, 9), (1, 9), (0, 9)],
        [(2, 2), (1, 2), (0, 2), (1, 2), (1, 3)],
    ],
)
"""Histories, and how many of their events are read."""


@BEGINNINGS
@pytest.mark.parametrize("write", [mimn, hpmn])
def test_it_gives_the_state_of_every_beginning(
    write: Callable[..., Any], places: list[tuple[int, int]]
) -> None:
    torch.manual_seed(0)
    events = torch.randn(USERS, T, D)
    history, ends = (torch.tensor(column) for column in zip(*places, strict=True))
    once, apart = (events.clone().requires_grad_() for _ in range(2))
    found = states_at(write, once, history, ends)
    expected = write(apart[history], ends, None)
    for name, value in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], value), name
    weight = torch.randn_like(expected.memory)
    for state in (found, expected):
        (state.memory * weight).sum().backward()
    torch.testing.assert_close(once.grad, apart.grad, rtol=1e-4, atol=1e-6)


def test_what_is_shared_is_read_once() -> None:
    written = 0

    def counted(
        events: Tensor, lengths: Tensor, state: recops.HpmnState | None
    ) -> recops.HpmnState:
        nonlocal written
        written += int(lengths.sum())
        return hpmn(events, lengths, state)

    places = torch.tensor([0, 0, 1, 0]), torch.tensor([6, 8, 2, 8])
    states_at(counted, torch.randn(2, T, D), *places)
    assert written == 6 + 2 + (0 + 2 + 0 + 2)


@BEGINNINGS
def test_it_gives_the_states_along_every_beginning(places: list[tuple[int, int]]) -> None:
    torch.manual_seed(0)
    gru, read = Recurrent(D, D), []
    events = torch.randn(USERS, T, D)
    history, ends = (torch.tensor(column) for column in zip(*places, strict=True))
    once, apart = (events.clone().requires_grad_() for _ in range(2))

    def along(events: Tensor, lengths: Tensor) -> Tensor:
        read.append(int(lengths.sum()))
        states: Tensor = gru(events, lengths)[0]
        return states

    found, expected = states_along(along, once, history, ends), along(apart[history], ends)
    assert torch.equal(found, expected)
    assert read == [
        sum(max(end for u, end in places if u == user) for user in range(USERS)),
        sum(end for _, end in places),
    ]
    weight = torch.randn_like(expected)
    for states in (found, expected):
        (states * weight).sum().backward()
    torch.testing.assert_close(once.grad, apart.grad, rtol=1e-4, atol=1e-6)
