"""Reference of memory networks compared with closed forms and with the papers' formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from memory_inputs import (
    UTILIZATIONS,
    arrays,
    hpmn_by_formulas,
    hpmn_params,
    hpmn_state,
    mimn_by_formulas,
    mimn_params,
    mimn_state,
    sigmoid,
    softmax,
)
from recops import reference


def test_a_large_beta_addresses_only_the_nearest_slot() -> None:
    memory = torch.tensor([[[3.0, 0.0], [0.0, 2.0], [1.0, 1.0]]])
    weights = reference.memory_address(torch.tensor([[0.0, 0.5]]), memory, torch.tensor([1e4]))
    torch.testing.assert_close(weights, torch.tensor([[0.0, 1.0, 0.0]]))
    even = reference.memory_address(torch.zeros(1, 2), memory, torch.tensor([7.0]))
    torch.testing.assert_close(even, torch.full((1, 3), 1 / 3))


def test_a_full_write_replaces_a_slot_and_weight_zero_changes_nothing() -> None:
    memory, add = torch.randn(2, 3, 4), torch.randn(2, 4)
    one = torch.tensor([[0.0, 1.0, 0.0]]).expand(2, -1)
    written = reference.memory_write(memory, one, torch.ones(2, 4), add)
    assert torch.equal(written[:, 1], add)
    assert torch.equal(written[:, [0, 2]], memory[:, [0, 2]])
    assert torch.equal(reference.memory_write(memory, 0 * one, torch.rand(2, 4), add), memory)
    assert torch.equal(reference.memory_read(one, memory), memory[:, 1])


def test_utilization_and_covariance_of_known_memories() -> None:
    utilization = reference.memory_utilization(torch.tensor([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]]))
    torch.testing.assert_close(utilization, torch.tensor([2.0, 0.0]))
    # The rows (1, −1) and (2, −2) are centred, and C = [[1, 2], [2, 4]].
    memory = torch.tensor([[[1.0, -1.0], [2.0, -2.0]]]).requires_grad_()
    torch.testing.assert_close(reference.memory_covariance(memory), torch.tensor([4.0]))
    norm = reference.memory_covariance(memory, squared=False)
    torch.testing.assert_close(norm, torch.tensor([8.0]).sqrt())
    nothing = torch.zeros(1, 3, 4, requires_grad=True)
    reference.memory_covariance(nothing, squared=False).sum().backward()
    assert nothing.grad is not None
    assert nothing.grad.eq(0).all()


@pytest.mark.parametrize("utilization", UTILIZATIONS)
@pytest.mark.parametrize("key_memory", [True, False])
@pytest.mark.parametrize("topk", [0, 1, 2, 7])
def test_a_step_of_mimn_follows_the_formulas(utilization: str, key_memory: bool, topk: int) -> None:
    params = mimn_params(key_memory=key_memory)
    state = mimn_state(params, 4)
    x = torch.randn(4, 2, 5, dtype=torch.float64)
    outputs, last = reference.mimn_scan(
        x, params, state, utilization=utilization, induction_topk=topk
    )
    _, weights, _ = reference.mimn_read(
        state, torch.arange(4), x[:, 0], params, utilization=utilization, induction_topk=topk
    )
    for row in range(4):
        expected = {name: value[row] for name, value in arrays(state).items()}
        for t in range(2):
            expected, out, read_weights = mimn_by_formulas(
                expected, x[row, t].numpy(), arrays(params), params.usage_scale, utilization, topk
            )
            np.testing.assert_allclose(outputs[row, t], out, rtol=1e-12, atol=1e-12)
            if t == 0:
                np.testing.assert_allclose(weights[row], read_weights, rtol=1e-12)
        for name, value in arrays(last).items():
            np.testing.assert_allclose(
                value[row], expected[name], rtol=1e-11, atol=1e-12, err_msg=name
            )


def test_events_of_hpmn_follow_the_formulas() -> None:
    params, periods = hpmn_params(slots=3), [1, 2, 6]
    state = hpmn_state(params, 6)
    x = torch.randn(6, 13, 5, dtype=torch.float64)
    memory, last = reference.hpmn_scan(x, params, state, periods=periods)
    assert torch.equal(last.count, state.count + 13)
    for row in range(6):
        expected, count = state.memory[row].numpy(), int(state.count[row])
        for t in range(13):
            expected = hpmn_by_formulas(
                expected, count + t, x[row, t].numpy(), arrays(params), periods
            )
        np.testing.assert_allclose(memory[row], expected, rtol=1e-11, atol=1e-12)


def test_a_read_of_hpmn_follows_the_formulas() -> None:
    params = hpmn_params()
    state = hpmn_state(params, 3)
    p = arrays(params)
    rows = torch.tensor([2, 0, 2])
    query = torch.randn(3, 5, dtype=torch.float64)
    out, weights = reference.hpmn_read(query, state, rows, params)
    for c in range(3):
        slots = state.memory[rows[c]].numpy()
        q = p["query_w"] @ query[c].numpy() + p["query_b"]
        for hop in range(2):
            scores = []
            for slot in slots:
                f = np.concatenate([q, slot, q - slot, q * slot])
                f = np.maximum(p["w1"][hop] @ f + p["b1"][hop], 0)
                f = np.maximum(p["w2"][hop] @ f + p["b2"][hop], 0)
                scores.append(p["w3"][hop] @ f + p["b3"][hop])
            a = softmax(np.array(scores))
            np.testing.assert_allclose(weights[c, hop], a, rtol=1e-12)
            q = q @ p["hop_map"] + a @ slots
        np.testing.assert_allclose(out[c], q, rtol=1e-12)


def test_an_update_gate_of_one_keeps_the_state() -> None:
    # With an update gate of 1 a GRU keeps its state; sigmoid(40) is 1 up to 4e-18.
    params = hpmn_params(slots=1)
    params.bias[:, 4:8] = 1e3
    assert sigmoid(np.array(1e3)) == 1
    state = hpmn_state(params, 2)
    memory, _ = reference.hpmn_scan(
        torch.randn(2, 5, 5, dtype=torch.float64), params, state, periods=[1]
    )
    assert torch.equal(memory, state.memory)


@pytest.mark.parametrize("utilization", UTILIZATIONS)
def test_streamed_events_and_padded_rows(utilization: str) -> None:
    params = mimn_params()
    pool = mimn_state(params, 3)
    x, lengths = torch.randn(3, 4, 5, dtype=torch.float64), torch.tensor([4, 0, 2])
    outputs, last = reference.mimn_scan(x, params, pool, lengths=lengths, utilization=utilization)
    assert outputs[1].eq(0).all()
    assert outputs[2, 2:].eq(0).all()
    rows = torch.tensor([0, 2, 0, 0, 2, 0])
    events = torch.stack([x[0, 0], x[2, 0], x[0, 1], x[0, 2], x[2, 1], x[0, 3]])
    reference.mimn_step_(pool, rows, events, params, utilization=utilization)
    for (name, actual), (_, expected) in zip(
        pool.named_tensors(), last.named_tensors(), strict=True
    ):
        torch.testing.assert_close(actual, expected, msg=name)
