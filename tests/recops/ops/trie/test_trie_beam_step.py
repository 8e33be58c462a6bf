"""trie_beam_step: results, order of ties, normalization, errors and determinism."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

import recops
from recops import reference
from tolerances import DTYPES
from trie_inputs import MASKS, Catalogue, assert_same_step, beams, catalogue, catalogues, mask_of

pytestmark = pytest.mark.composites

NORMALIZE = ["vocab", "children", "none"]


@pytest.mark.numerics
@given(
    catalogues(),
    st.sampled_from(NORMALIZE),
    st.sampled_from(MASKS),
    st.sampled_from(DTYPES),
    st.booleans(),
    st.tuples(st.integers(0, 3), st.integers(0, 6), st.integers(1, 90), st.integers(0, 40)),
    st.integers(0, 2**20),
)
def test_agrees_with_the_reference(
    drawn: Catalogue,
    normalize: str,
    masked: str,
    dtype: torch.dtype,
    ties: bool,
    shape: tuple[int, int, int, int],
    seed: int,
) -> None:
    batch, width, num_beams, spare = shape
    vocab = drawn.trie.vocab_sizes[0] + spare
    start = beams(
        drawn.trie, batch=batch, width=width, vocab=vocab, ties=ties, seed=seed, dtype=dtype
    )
    arguments = (start.logits, drawn.trie, start.nodes, start.scores)
    options = {
        "num_beams": num_beams,
        "normalize": normalize,
        "allowed": mask_of(drawn, masked, batch, seed),
    }
    step = recops.trie_beam_step(*arguments, **options)
    assert step.scores.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert {t.dtype for t in step[1:]} == {torch.int32}
    assert_same_step(step, reference.trie_beam_step(*arguments, **options))


def test_num_beams_may_be_a_numpy_integer() -> None:
    drawn = catalogue(items=20, depth=2, vocab=5)
    start = beams(drawn.trie, batch=1, width=1, vocab=5, ties=False, seed=0)
    arguments = (start.logits, drawn.trie, start.nodes, start.scores)
    step = recops.trie_beam_step(*arguments, num_beams=np.int64(2))  # type: ignore[arg-type]
    assert_same_step(step, recops.trie_beam_step(*arguments, num_beams=2))
    with pytest.raises(TypeError, match="num_beams must be an integer, got bool"):
        recops.trie_beam_step(*arguments, num_beams=True)


@pytest.mark.parametrize("normalize", NORMALIZE)
@pytest.mark.parametrize("dtype", DTYPES)
def test_wide_rows_agree_with_the_reference(normalize: str, dtype: torch.dtype) -> None:
    """The rows cover full vectors and their tails, pruned pools, and blocks with several keys."""
    drawn = catalogue(items=6000, depth=2, vocab=1003, skew=2)
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(2, 37, 1003, generator=generator).to(dtype)
    nodes = torch.randint(0, drawn.trie.level_starts()[2], (2, 37), generator=generator)
    scores = torch.randn(2, 37, generator=generator)
    arguments = (logits, drawn.trie, nodes, scores)
    for num_beams in (1, 17, 300):
        options = {"num_beams": num_beams, "normalize": normalize}
        step = recops.trie_beam_step(*arguments, **options)
        assert_same_step(step, reference.trie_beam_step(*arguments, **options))


@pytest.mark.parametrize("normalize", NORMALIZE)
def test_ties_go_to_the_first_parent_then_the_first_token(normalize: str) -> None:
    """The order of ties is defined, even with many more ties than beams."""
    drawn = catalogue(items=4000, depth=2, vocab=300)
    nodes = torch.tensor([[5, 0, 5, -1, 9]])
    logits, scores = torch.zeros(1, 5, 300), torch.zeros(1, 5)
    for num_beams in (1, 7, 40, 1000):
        step = recops.trie_beam_step(
            logits, drawn.trie, nodes, scores, num_beams=num_beams, normalize="none"
        )
        expected = [
            (parent, int(token))
            for parent, node in enumerate(nodes[0].tolist())
            for token in drawn.trie.allowed_tokens(torch.tensor([node]), 300)[0].nonzero()
        ][:num_beams]
        actual = list(zip(step.parents[0].tolist(), step.tokens[0].tolist(), strict=True))
        assert actual[: len(expected)] == expected
        assert set(actual[len(expected) :]) <= {(-1, -1)}


def test_beams_wider_than_the_catalogue_leave_dead_slots() -> None:
    trie = recops.SidTrie.from_sids(torch.tensor([[3, 1]]))
    root, zero = torch.zeros(1, 1, dtype=torch.int32), torch.zeros(1, 1)
    step = recops.trie_beam_step(torch.zeros(1, 1, 4), trie, root, zero, num_beams=4096)
    assert step.tokens[0].tolist() == [3] + [-1] * 4095
    assert (step.scores[0, 1:] == -torch.inf).all()
    last = recops.trie_beam_step(
        torch.zeros(1, 4096, 4), trie, step.nodes, step.scores, num_beams=3
    )
    assert last.tokens[0].tolist() == [1, -1, -1]
    assert last.parents[0].tolist() == [0, -1, -1]
    assert last.nodes[0].tolist() == [2, -1, -1]
    last_step = recops.trie_beam_step(
        torch.zeros(1, 3, 4), trie, last.nodes, last.scores, num_beams=2
    )
    assert last_step.nodes[0].tolist() == [-1, -1]  # a leaf has no children


def test_minus_infinity_forbids_tokens() -> None:
    trie = recops.SidTrie.from_sids(torch.tensor([[0], [1], [2]]))
    root, zero = torch.zeros(1, 1, dtype=torch.int32), torch.zeros(1, 1)
    logits = torch.tensor([[[1.0, -torch.inf, 2.0]]])
    for normalize in NORMALIZE:
        step = recops.trie_beam_step(logits, trie, root, zero, num_beams=3, normalize=normalize)
        assert step.tokens.tolist() == [[2, 0, -1]]
        nothing = torch.full((1, 1, 3), -torch.inf)
        step = recops.trie_beam_step(nothing, trie, root, zero, num_beams=2, normalize=normalize)
        assert step.tokens.tolist() == [[-1, -1]]


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_maximum_may_be_anywhere_in_a_row(dtype: torch.dtype) -> None:
    """The normalizer is exact for any position and any height of the maximum in a row."""
    trie = recops.SidTrie.from_sids(torch.arange(3000)[:, None])
    noise = torch.randn(3000, generator=torch.Generator().manual_seed(0))
    for position in (0, 17, 1024, 2999):
        for height in (10.0, 31.0, 33.0, 200.0, 3e4):
            logits = (noise - height / 2).index_add(
                0, torch.tensor([position]), torch.tensor([height])
            )
            logits = logits.to(dtype)[None, None]
            step = recops.trie_beam_step(
                logits,
                trie,
                torch.zeros(1, 1, dtype=torch.int32),
                torch.zeros(1, 1),
                num_beams=2,
            )
            expected = logits.double().log_softmax(2)[0].topk(2).values
            last_place = 2**-24 * height  # one unit in the last place of float32 logits
            assert_close(step.scores.double(), expected, rtol=1e-5, atol=1e-5 + last_place)


def test_a_beam_far_below_the_others_changes_nothing() -> None:
    """The kernel does not sum all of a row that cannot contribute; results are equal."""
    trie = recops.SidTrie.from_sids(
        torch.cartesian_prod(torch.arange(40), torch.arange(0, 4096, 37)), vocab_sizes=4096
    )
    random = torch.Generator().manual_seed(1)
    logits = 3 * torch.randn(1, 40, 4096, generator=random)
    nodes = torch.arange(1, 41, dtype=torch.int32)[None]
    for spread in (0.0, 1.0, 20.0):
        scores = -spread * torch.rand(1, 40, generator=random)
        for order in (scores.argsort(), scores.argsort(descending=True)):
            arguments = (logits, trie, nodes, scores.gather(1, order))
            output = recops.trie_beam_step(*arguments, num_beams=5)
            assert_same_step(output, reference.trie_beam_step(*arguments, num_beams=5))


@pytest.mark.parametrize("bits", [0x7FC00000, 0x7F800001, 0x7FFFFFFF, -0x400000, -1])
def test_any_nan_in_any_position_raises(bits: int) -> None:
    """The test covers signs, payloads, and rows that do not contribute to the best beams."""
    trie = recops.SidTrie.from_sids(torch.cartesian_prod(torch.arange(2), torch.arange(3000)))
    nan = torch.tensor([bits], dtype=torch.int32).view(torch.float32)
    nodes = torch.tensor([[1, 2]], dtype=torch.int32)
    scores = torch.tensor([[0.0, -50.0]])
    for m in range(2):
        for position in (0, 5, 1023, 2048, 2999):
            logits = torch.randn(1, 2, 3000, generator=torch.Generator().manual_seed(position))
            logits[0, m, position] = nan
            with pytest.raises(ValueError, match=rf"no NaN and no \+inf, .*logits\[0, {m}\]"):
                recops.trie_beam_step(logits, trie, nodes, scores, num_beams=2)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
@pytest.mark.parametrize("normalize", NORMALIZE)
def test_bad_logits_raise_where_they_are_read(normalize: str, bad: float) -> None:
    sids = torch.tensor([[0, 0], [0, 1], [2, 0]])
    trie = recops.SidTrie.from_sids(sids, vocab_sizes=4)
    nodes = torch.tensor([[0, -1, 0, 1]])
    scores = torch.tensor(
        [[0.0, 0.0, -torch.inf, -50.0]]
    )  # two dead beams, and one far below the others

    def step(m: int, token: int, allowed: recops.ItemMask | None = None) -> recops.BeamStep:
        logits = torch.zeros(1, 4, 4)
        logits[0, m, token] = bad
        return recops.trie_beam_step(
            logits, trie, nodes, scores, num_beams=2, normalize=normalize, allowed=allowed
        )

    for m, token in ((0, 0), (0, 2), (3, 0), (3, 1)):
        with pytest.raises(ValueError, match=rf"no NaN and no \+inf, .*logits\[0, {m}\]"):
            step(m, token)
    clean = step(1, 0)
    assert clean.tokens.tolist() == [[0, 2]]
    assert_close(step(2, 3).scores, clean.scores)
    if normalize == "vocab":  # the normalizer uses the full row
        with pytest.raises(ValueError, match=r"must hold no NaN and no \+inf, .*logits\[0, 0\]"):
            step(0, 3)
    else:
        assert_close(step(0, 3).scores, clean.scores)
        step(0, 2, trie.mask(drop=[2]))  # masked children are not read


@pytest.mark.parametrize("normalize", NORMALIZE)
def test_rows_of_any_layout(normalize: str) -> None:
    drawn = catalogue(items=500, depth=3, vocab=33)
    start = beams(drawn.trie, batch=3, width=4, vocab=33)
    expected = recops.trie_beam_step(
        start.logits, drawn.trie, start.nodes, start.scores, num_beams=9, normalize=normalize
    )
    for logits in (
        start.logits.transpose(0, 1).contiguous().transpose(0, 1),
        start.logits.transpose(1, 2).contiguous().transpose(1, 2),
        torch.cat([start.logits, start.logits], 2)[..., :33],
    ):
        assert logits.stride() != start.logits.stride()
        scores = torch.stack([start.scores, start.scores], 2)[..., 0]
        step = recops.trie_beam_step(
            logits, drawn.trie, start.nodes.int(), scores, num_beams=9, normalize=normalize
        )
        for output, other in zip(step, expected, strict=True):
            assert torch.equal(output, other)


@pytest.mark.parametrize("normalize", NORMALIZE)
@pytest.mark.parametrize("batch", [1, 3])
def test_results_do_not_depend_on_the_number_of_threads(
    set_threads, normalize: str, batch: int
) -> None:
    drawn = catalogue(items=60_000, depth=3, vocab=512, skew=2)
    generator = torch.Generator().manual_seed(0)
    width = 300
    nodes = torch.randint(0, drawn.trie.level_starts()[2], (batch, width), generator=generator)
    logits = torch.randn(batch, width, 512, generator=generator).round(decimals=1)
    scores = torch.randn(batch, width, generator=generator).round(decimals=1)
    steps = []
    for threads in (1, 2, 7):
        set_threads(threads)
        steps.append(
            recops.trie_beam_step(
                logits, drawn.trie, nodes, scores, num_beams=100, normalize=normalize
            )
        )
    for step in steps[1:]:
        for output, other in zip(step, steps[0], strict=True):
            assert torch.equal(output, other)


def test_large_logits_keep_their_normalizer() -> None:
    trie = recops.SidTrie.from_sids(torch.arange(50)[:, None])
    for offset in (-1e4, 0.0, 1e4):
        logits = offset + torch.linspace(-200, 0, 50).expand(1, 1, -1)
        step = recops.trie_beam_step(
            logits, trie, torch.zeros(1, 1, dtype=torch.int32), torch.zeros(1, 1), num_beams=50
        )
        expected = logits.double().log_softmax(2).flatten().sort(descending=True).values
        assert_close(step.scores[0].double(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("normalize", ["vocab", "children"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_finite_logits_have_a_normalizer(normalize: str, dtype: torch.dtype) -> None:
    """Masked logits may be the smallest finite number, and scaled logits near the largest."""
    trie = recops.SidTrie.from_sids(torch.arange(40)[:, None], vocab_sizes=[90])
    most = torch.finfo(dtype).max
    noise = torch.randn(1, 1, 90, dtype=torch.float64)
    near_most = noise.clamp(-1, 1) * 0.74 * most  # beyond most / log2(e)
    for logits in (
        *(torch.full_like(noise, filler) for filler in (-most, most)),
        *(near_most, -near_most, noise + 1e9, noise - 1e9, noise * 1e6),
        torch.where(torch.arange(90) < 80, -most, noise),
        torch.where(torch.arange(90) < 33, -1e9, noise * 1e6 - 1e9),
    ):
        logits = logits.clamp(-most, most).to(dtype)
        step = recops.trie_beam_step(
            *(logits, trie, torch.zeros(1, 1, dtype=torch.int32)),
            torch.zeros(1, 1, dtype=torch.float64 if dtype == torch.float64 else torch.float32),
            num_beams=40,
            normalize=normalize,
        )
        row = logits[0, 0].double()
        correct = (row.log_softmax(0) if normalize == "vocab" else row[:40].log_softmax(0))[:40]
        correct = correct.to(step.scores.dtype).sort(descending=True).values
        assert_close(step.scores[0], correct, rtol=1e-6, atol=1e-6)


def test_results_have_no_gradient() -> None:
    drawn = catalogue(items=50, depth=2, vocab=9)
    start = beams(drawn.trie, batch=1, width=2, vocab=9)
    step = recops.trie_beam_step(
        start.logits.requires_grad_(), drawn.trie, start.nodes, start.scores, num_beams=3
    )
    assert not step.scores.requires_grad


GOOD = {
    "logits": torch.zeros(2, 3, 9),
    "nodes": torch.zeros(2, 3, dtype=torch.int32),
    "scores": torch.zeros(2, 3),
    "num_beams": 4,
}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"logits": torch.zeros(2, 3, 9, dtype=torch.int32)}, TypeError, "logits must be one of"),
        ({"logits": torch.zeros(2, 9)}, ValueError, "logits must have 3 dimensions"),
        ({"logits": torch.zeros(2, 3, 9, device="meta")}, ValueError, "logits must be on cpu"),
        (
            {"logits": torch.zeros(2, 3, 5)},
            ValueError,
            "logits must cover the vocabulary of level 0, 9 tokens, got 5",
        ),
        ({"nodes": torch.zeros(2, 3)}, TypeError, "nodes must be one of int32, int64"),
        (
            {"nodes": torch.zeros(2, 4, dtype=torch.int32)},
            ValueError,
            "nodes must be (2, 3), got (2, 4)",
        ),
        ({"nodes": torch.full((2, 3), 10**6)}, IndexError, "nodes must be from 0 to "),
        ({"nodes": torch.full((2, 3), -2)}, IndexError, "nodes must be from 0 to "),
        ({"nodes": torch.full((2, 3), 2**32)}, IndexError, "nodes must be from 0 to "),
        ({"scores": torch.zeros(3, 2)}, ValueError, "scores must be (2, 3), got (3, 2)"),
        (
            {"scores": torch.full((2, 3), torch.nan)},
            ValueError,
            "scores must hold no NaN, got scores[0, 0]",
        ),
        ({"num_beams": 0}, ValueError, "num_beams must be from 1 to 1048576, got 0"),
        (
            {"normalize": "rows"},
            ValueError,
            "normalize must be 'vocab', 'children' or 'none', got 'rows'",
        ),
        ({"trie": "a trie"}, TypeError, "trie must be a SidTrie, got str"),
        ({"allowed": torch.ones(50)}, TypeError, "allowed must be an ItemMask, got Tensor"),
    ],
)
def test_bad_input_is_refused(
    change: dict[str, object], error: type[Exception], message: str
) -> None:
    trie = catalogue(items=50, depth=2, vocab=9).trie
    with pytest.raises(error, match=re.escape(f"trie_beam_step: {message}")):
        recops.trie_beam_step(**{"trie": trie, **GOOD, **change})


def test_masks_of_another_size_are_refused() -> None:
    trie = catalogue(items=50, depth=2, vocab=9).trie
    with pytest.raises(ValueError, match=r"allowed must have a row for each of .* 2, got 3"):
        recops.trie_beam_step(**GOOD, trie=trie, allowed=trie.mask(keep=[torch.arange(0)] * 3))
    long = trie.mask(keep=[])
    long = replace(long, words=torch.zeros(9, dtype=torch.int64))
    with pytest.raises(ValueError, match="allowed must hold 50 items"):
        recops.trie_beam_step(**GOOD, trie=trie, allowed=long)
