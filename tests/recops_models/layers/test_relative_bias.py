"""Relative attention biases and T5's buckets."""

from __future__ import annotations

import torch

from recops_models.layers.relative_bias import RelativeBias, relative_buckets


def test_near_distances_have_separate_buckets_and_far_ones_share() -> None:
    one_way = relative_buckets(torch.arange(200), 32, 128, both_ways=False)
    assert one_way[:16].tolist() == list(range(16))
    assert (one_way.diff() >= 0).all()
    assert one_way.unique().tolist() == list(range(32))
    assert (one_way[128:] == 31).all()
    # T5's own: 16 + ⌊ln(d / 16) / ln(128 / 16) · 16⌋.
    assert one_way[[20, 40, 100]].tolist() == [17, 23, 30]


def test_negative_distances_have_separate_buckets_or_one() -> None:
    distance = torch.arange(-40, 41)
    both = relative_buckets(distance, 32, 128, both_ways=True)
    assert both.min() == 0
    assert both.max() < 32
    assert (both[:40] >= 16).all()
    assert (both[40:] < 16).all()
    assert torch.equal(both[:40].flip(0) - 16, both[41:])
    assert (relative_buckets(distance, 32, 128, both_ways=False)[:40] == 0).all()


def test_biases_depend_on_head_and_distance() -> None:
    bias = RelativeBias(2, both_ways=False)
    torch.nn.init.normal_(bias.table.weight)
    position = torch.arange(5)
    biases = bias(position[:, None] - position)
    assert biases.shape == (2, 5, 5)
    assert torch.equal(biases[:, 4, 2], bias.table.weight[2])
    assert torch.equal(biases[:, 3, 1], biases[:, 4, 2])
    assert bias((position[:, None] - position).expand(3, 5, 5)).shape == (3, 2, 5, 5)
