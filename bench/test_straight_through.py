"""Lower bounds on the speed-up of a training step through the quantizer."""

from __future__ import annotations

import pytest

from recops.benchmarks import straight_through as cases

# Measured in CPU time on one of two shared Zen cores with AVX2: 9.6, 6.2 and 4.8.
FLOORS = dict(zip(cases.SHAPES, (5, 5, 3.5), strict=True))


@pytest.mark.parametrize("shape", cases.SHAPES)
def test_a_training_step_is_faster_than_residual_vq(
    shape: tuple[int, int, int, int], outruns
) -> None:
    pytest.importorskip("vector_quantize_pytorch")
    outruns(cases.training_case(*shape), "vector-quantize-pytorch", FLOORS[shape])
