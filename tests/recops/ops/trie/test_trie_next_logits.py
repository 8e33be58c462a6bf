"""trie_next_logits allows exactly the valid continuations of a language model's sequences."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import recops
from recops import reference
from recops.ops.trie.trie_next_logits import trie_next_logits
from recops.state.token_map import TokenMap
from trie_inputs import MASKS, Catalogue, catalogue, catalogues, mask_of

pytestmark = pytest.mark.composites

BEGIN, END = 0, 1


def spread_map(trie: recops.SidTrie, generator: torch.Generator) -> tuple[TokenMap, int]:
    """Return a map with unordered tokens, some shared by levels, and the model's vocabulary."""
    total = sum(trie.vocab_sizes) + 7
    levels = [
        2 + torch.randperm(total - 2, generator=generator)[:size] for size in trie.vocab_sizes
    ]
    return TokenMap.of(levels, trie.vocab_sizes), total


def sequences(
    drawn: Catalogue, token_map: TokenMap, rows: int, length: int, generator: torch.Generator
) -> Tensor:
    """Return random tokens, BEGIN and a part of an item's SID, sometimes with a wrong token."""
    levels = token_map.model_tokens.long().split(list(drawn.trie.vocab_sizes))
    actual = torch.randint(0, 12, (rows, length), generator=generator)
    for row in actual:
        start = int(torch.randint(0, length, (1,), generator=generator))
        row[start] = BEGIN
        if len(drawn.sids):
            item = int(torch.randint(0, len(drawn.sids), (1,), generator=generator))
            sid = drawn.sids[item].tolist()
            known = [levels[level][token] for level, token in enumerate(sid)]
            count = min(len(known), length - start - 1)
            row[start + 1 : start + 1 + count] = torch.tensor(known[:count])
    return actual


@pytest.mark.numerics
@settings(max_examples=80)
@given(
    catalogues(),
    st.sampled_from(MASKS),
    st.sampled_from([torch.float32, torch.bfloat16, torch.float16, torch.float64]),
    st.integers(1, 3),
    st.integers(0, 2),
    st.booleans(),
    st.integers(0, 2**20),
)
def test_agrees_with_the_reference(
    drawn: Catalogue,
    kind: str,
    dtype: torch.dtype,
    batch: int,
    beams: int,
    after_token: bool,
    seed: int,
) -> None:
    generator = torch.Generator().manual_seed(seed)
    token_map, vocab = spread_map(drawn.trie, generator)
    length = drawn.trie.depth + 3
    tokens = sequences(drawn, token_map, batch * beams, length, generator)
    # A view of every second column.
    logits = torch.randn(batch * beams, 2 * vocab, generator=generator).to(dtype)[:, ::2]
    prompt = None if after_token else int(torch.randint(0, length + 1, (1,), generator=generator))
    arguments = {
        "prompt_length": prompt,
        "begin_token": BEGIN,
        "end_tokens": [END, vocab - 1],
        "allowed": mask_of(drawn, kind, batch, seed),
    }
    actual = trie_next_logits(logits, tokens, drawn.trie, token_map, **arguments)
    expected = reference.trie_next_logits(logits, tokens, drawn.trie, token_map, **arguments)
    assert torch.equal(actual, expected)
    assert actual.dtype == dtype
    actual = trie_next_logits(logits, tokens, drawn.trie, token_map, **arguments, in_place=True)
    assert actual is logits
    assert torch.equal(logits, expected)


@pytest.fixture
def inputs() -> dict[str, object]:
    trie = catalogue(items=5000, depth=3, vocab=40, skew=3).trie
    return {
        "logits": torch.randn(600, 130),
        "sequences": torch.randint(2, 42, (600, 6)),
        "trie": trie,
        "token_map": TokenMap.of([2, 42, 82], trie.vocab_sizes),
        "prompt_length": 5,
        "begin_token": BEGIN,
        "end_tokens": [END],
    }


@pytest.mark.composites(False)
def test_results_do_not_depend_on_the_number_of_threads(inputs, set_threads) -> None:
    results = []
    for threads in (1, 2, 3):
        set_threads(threads)
        results.append(trie_next_logits(**inputs))
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"sequences": torch.zeros(3, 6, dtype=torch.long)},
            ValueError,
            "input_ids must have a row for each",
        ),
        ({"sequences": torch.zeros(600, 6)}, TypeError, "input_ids must be one of int32, int64"),
        ({"sequences": torch.zeros(600, 6).to("meta").long()}, ValueError, "input_ids must be on"),
        ({"prompt_length": 7}, ValueError, "prompt_length must be at most 6"),
        (
            {"logits": torch.zeros(600, 121)},
            ValueError,
            "token_map must name tokens of 3",
        ),
        (
            {"end_tokens": [130]},
            ValueError,
            "eos_token_id must be a column",
        ),
        ({"logits": torch.zeros(600, 130).int()}, TypeError, "scores must be one of float32"),
    ],
)
def test_bad_input_is_refused(
    inputs, change: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=f"SidTrieLogitsProcessor: .*{message}"):
        trie_next_logits(**{**inputs, **change})


def test_masks_must_match_the_trie_and_the_batch(inputs) -> None:
    trie = inputs["trie"]
    other = catalogue(items=5000, depth=3, vocab=40, seed=1).trie
    with pytest.raises(ValueError, match="allowed must be of trie version"):
        trie_next_logits(**inputs, allowed=other.mask(drop=[]))
    with pytest.raises(ValueError, match=r"allowed must have rows that divide .*600, got 7"):
        trie_next_logits(**inputs, allowed=trie.mask(drop=[torch.tensor([], dtype=torch.long)] * 7))


@pytest.mark.parametrize(
    ("levels", "error", "message"),
    [
        ([2, 42], ValueError, "token_map must have 3 levels, got 2"),
        ([2, 42, torch.arange(39)], ValueError, r"token_map\[2\] must name 40 tokens, got 39"),
        ([2, 42, -1], ValueError, r"token_map\[2\] must be from 0 to"),
        (
            [2, torch.zeros(40, dtype=torch.long), 2],
            ValueError,
            r"token_map\[1\] must name each token once",
        ),
        ([2, 42, torch.rand(40)], TypeError, r"token_map\[2\] must be one of int32, int64"),
    ],
)
def test_bad_maps_are_refused(levels: list, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        TokenMap.of(levels, [40, 40, 40])


def test_opcheck_and_compile(inputs) -> None:
    trie, token_map = inputs["trie"], inputs["token_map"]
    tensors = ([trie.first_child, trie.tokens, trie.stamp], trie.vocab_sizes)
    mask = trie.mask(drop=trie.item_ids[::2])
    arguments = (
        *(inputs["logits"], inputs["sequences"], 5, -1, *tensors),
        *(token_map.model_tokens, token_map.trie_tokens, [END], [mask.words, mask.stamp]),
    )
    torch.library.opcheck(torch.ops.recops.trie_next_logits, arguments)
    torch.library.opcheck(torch.ops.recops.trie_next_logits_, arguments)
    compiled = torch.compile(trie_next_logits, backend="aot_eager", fullgraph=True, dynamic=True)
    for rows in (600, 30):
        some = {**inputs, **{name: inputs[name][:rows] for name in ("logits", "sequences")}}
        assert torch.equal(compiled(**some), trie_next_logits(**some))
