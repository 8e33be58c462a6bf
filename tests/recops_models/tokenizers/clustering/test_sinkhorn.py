"""Sinkhorn assignment compared with the iteration on logarithms; evenness and errors."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import recops
from recops_models.tokenizers.clustering.sinkhorn import sinkhorn_assignment


def log_domain_codes(x: Tensor, codebook: Tensor, epsilon: float, iterations: int) -> Tensor:
    costs = torch.cdist(x.double(), codebook.double()).square()
    middle = (costs.max() + costs.min()) / 2
    plan = -(costs - middle) / (costs.max() - middle) / epsilon
    for _ in range(iterations):
        plan = plan - plan.logsumexp(0)
        plan = plan - plan.logsumexp(1, keepdim=True)
    return plan.argmax(1).int()


@pytest.mark.parametrize("epsilon", [0.003, 0.05, 1.0])
@pytest.mark.parametrize("iterations", [1, 25, 200])
def test_agrees_with_the_iteration_on_logarithms(epsilon: float, iterations: int) -> None:
    x, codebook = torch.randn(200, 8) + 1, torch.randn(30, 8)
    index = sinkhorn_assignment(x, codebook, epsilon=epsilon, iterations=iterations)
    assert torch.equal(index, log_domain_codes(x, codebook, epsilon, iterations))


def test_codes_are_more_evenly_used_than_the_nearest_codes() -> None:
    x, codebook = torch.randn(512, 16) + 2, torch.randn(64, 16)
    nearest = recops.nearest_codes(x, codebook)[0][:, 0]
    index = sinkhorn_assignment(x, codebook)
    used = [torch.bincount(i, minlength=64) for i in (nearest, index)]
    assert used[0].max() > 8 * 8
    assert used[1].max() <= 3 * 8
    assert (used[1] > 0).all()


def test_edge_cases_and_errors() -> None:
    codebook = torch.randn(5, 3)
    assert sinkhorn_assignment(torch.empty(0, 3), codebook).shape == (0,)
    assert sinkhorn_assignment(torch.ones(4, 3), torch.ones(2, 3)).tolist() == [0] * 4
    assert sinkhorn_assignment(torch.randn(4, 3), codebook[:1]).tolist() == [0] * 4
    for x, book, message in [
        (torch.full((2, 3), torch.nan), codebook, "must be finite"),
        (torch.randn(2, 4), codebook, "x must be"),
        (torch.randn(2, 3), codebook[:0], "K ≥ 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            sinkhorn_assignment(x, book)
    with pytest.raises(ValueError, match="epsilon must be positive"):
        sinkhorn_assignment(torch.randn(2, 3), codebook, epsilon=0)
