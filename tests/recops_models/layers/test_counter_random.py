"""Counter-based random numbers: reproducible per key and independent of order."""

from __future__ import annotations

import pytest
import torch

from recops_models.layers import counter_random
from recops_models.layers.counter_random import drops, keys_of, normal, sixteenth_bits, uniform

ROWS = torch.arange(2000)
KEYS = [1870370275294774236, 1124107688328493206]
DROPS = [[1, 0, 0, 0, 1, 1, 0, 0, 1], [0, 1, 0, 0, 1, 1, 1, 0, 1]]


def test_a_row_has_the_same_numbers_in_any_order() -> None:
    order = torch.randperm(len(ROWS))
    for shuffled in (order, order[:7], order[:1]):
        keys, part = keys_of(5, ROWS, ROWS % 3), keys_of(5, shuffled, shuffled % 3)
        assert torch.equal(keys[shuffled], part)
        assert torch.equal(drops(keys, 13, 0.3)[shuffled], drops(part, 13, 0.3))
        assert torch.equal(uniform(keys, 3)[shuffled], uniform(part, 3))


def test_numbers_have_fixed_values() -> None:
    """Stored masks, and those of other devices, stay reproducible."""
    keys = keys_of(7, torch.tensor([0, 1]), torch.tensor([3, -4], dtype=torch.int32))
    assert keys.tolist() == KEYS
    assert drops(keys, 9, 0.5, stream=2).int().tolist() == DROPS


def test_numbers_depend_on_seed_ids_and_stream() -> None:
    keys = keys_of(5, ROWS, ROWS % 3)
    assert len(keys.unique()) == len(ROWS)
    for other in (keys_of(6, ROWS, ROWS % 3), keys_of(5, ROWS, ROWS % 3 + 1), keys_of(-5, ROWS)):
        assert not set(other.tolist()) & set(keys.tolist())
    assert keys_of(1 << 70, ROWS).shape == (2000,)
    assert not torch.equal(uniform(keys, 4), uniform(keys, 4, stream=1))


@pytest.mark.parametrize("p", [0.01, 0.3, 0.99])
def test_units_are_dropped_independently_with_probability_p(p: float) -> None:
    masks = torch.stack([drops(keys_of(0, ROWS), 37, p, stream=s) for s in range(9)]).double()
    error = (p * (1 - p) / masks.numel()) ** 0.5
    assert abs(masks.mean() - p) < 4 * error
    correlation = torch.corrcoef(masks.permute(1, 0, 2).reshape(-1, 37).T)
    assert (correlation - torch.eye(37)).abs().max() < 6 / 18000**0.5


def test_uniform_and_normal_have_their_moments() -> None:
    u, x = uniform(keys_of(1, ROWS), 50), normal(keys_of(1, ROWS), 50)
    assert u.min() > 0
    assert u.max() < 1
    assert abs(u.mean() - 0.5) < 4 * (1 / 12 / u.numel()) ** 0.5
    assert abs(x.mean()) < 4 / x.numel() ** 0.5
    assert abs(x.var() - 1) < 4 * (2 / x.numel()) ** 0.5


def test_probabilities_are_multiples_of_sixteen_bits() -> None:
    assert sixteenth_bits(0) == 0
    assert not drops(keys_of(0, ROWS), 40, 0).any()
    assert sixteenth_bits(1e-9) == 2**-16
    assert sixteenth_bits(1 - 1e-9) == 1 - 2**-16
    assert abs(sixteenth_bits(0.01) - 0.01) <= 2**-17


def test_bad_input_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"keys_of: ids must have the same shape \[B\], got \[2\], \[3\]"
    ):
        keys_of(0, torch.arange(2), torch.arange(3))
    with pytest.raises(ValueError, match=r"keys_of: ids must have the same shape \[B\], got none"):
        keys_of(0)
    with pytest.raises(ValueError, match=r"keys_of: ids must be integers, got torch.float32"):
        keys_of(0, torch.ones(2))
    for p in (1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match=r"dropout: p must lie within \[0, 1\), got"):
            drops(keys_of(0, ROWS), 3, p)


def test_a_device_without_float64_gets_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = keys_of(3, torch.arange(1000))
    wide = counter_random.uniform(keys, 8)
    monkeypatch.setattr(counter_random, "widest_dtype", lambda device: torch.float32)
    narrow = counter_random.uniform(keys, 8)
    assert (wide.dtype, narrow.dtype) == (torch.float64, torch.float32)
    torch.testing.assert_close(narrow, wide.float(), atol=2**-22, rtol=0)
    assert ((narrow > 0) & (narrow < 1)).all()
