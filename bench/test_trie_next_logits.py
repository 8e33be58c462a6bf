"""Floors for constrained generation in transformers."""

from __future__ import annotations

import pytest

from recops.benchmarks import trie_next_logits as cases


@pytest.mark.skipif(not cases.HAS_TRANSFORMERS, reason="the peer is transformers")
def test_a_decode_beats_prefix_allowed_tokens_fn(outruns) -> None:
    """All five steps, 140 rows of 1,034 logits each, which both must write whole.

    0.15 to 0.7 ms beside 8 to 45 on one Zen 4 core: 28 to 200 times, as others use its caches.
    """
    outruns(cases.decode_case(*cases.SHAPES[0]), "transformers", 20)
