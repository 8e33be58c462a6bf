"""SidTrieLogitsProcessor in transformers' generate(): valid items, and the beams of recops."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor

import recops
from trie_inputs import catalogue

transformers = pytest.importorskip("transformers")
from recops.hf import SidTrieLogitsProcessor  # noqa: E402

PAD, END, FIRST = 0, 1, 10


def offsets(trie: recops.SidTrie) -> list[int]:
    """Return the first tokens of the levels, after a few other tokens."""
    sizes = trie.vocab_sizes
    return [FIRST + sum(sizes[:level]) for level in range(len(sizes))]


def config(trie: recops.SidTrie, **sizes: int) -> dict[str, object]:
    vocab = FIRST + sum(trie.vocab_sizes)
    return {"vocab_size": vocab, "pad_token_id": PAD, "eos_token_id": END, **sizes}


SMALL = {"n_layer": 2, "n_head": 2, "n_embd": 32, "n_positions": 32, "initializer_range": 0.3}
"""Model configuration whose random weights give different scores."""
GPT2: dict[str, object] = {}
"""Model configuration of the published size, 12 layers of width 768."""


def decoder_only(
    trie: recops.SidTrie, sizes: dict[str, object] = SMALL
) -> transformers.PreTrainedModel:
    """Return an untrained GPT-2."""
    torch.manual_seed(0)
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(**config(trie), bos_token_id=2, **sizes)
    ).eval()


def sids_of(trie: recops.SidTrie, written: Tensor) -> Tensor:
    return written.reshape(-1, trie.depth) - torch.tensor(offsets(trie))


@torch.no_grad()
def own_beams(
    model: transformers.PreTrainedModel, trie: recops.SidTrie, prompt: Tensor, beams: int
) -> recops.BeamResult:
    """Run constrained_beam_search on the model's log-probabilities of all its tokens."""
    sequences = prompt.unsqueeze(1)
    starts = [*offsets(trie), FIRST + sum(trie.vocab_sizes)]

    def step(tokens: Tensor | None, parents: Tensor | None) -> Tensor:
        nonlocal sequences
        level = 0 if tokens is None else sequences.shape[2] - prompt.shape[1] + 1
        if tokens is not None and parents is not None:
            index = parents.long().clamp(min=0).unsqueeze(2).expand(-1, -1, sequences.shape[2])
            words = tokens.long().clamp(min=0).unsqueeze(2) + starts[level - 1]
            sequences = torch.cat([sequences.gather(1, index), words], 2)
        logits = model(sequences.flatten(0, 1)).logits[:, -1].float().log_softmax(1)
        level_logits = logits[:, starts[level] : starts[level + 1]]
        return level_logits.unflatten(0, sequences.shape[:2])

    return recops.constrained_beam_search(
        step, trie, batch_size=len(prompt), num_beams=beams, normalize="none"
    )


def assert_beams_agree(
    trie: recops.SidTrie, sizes: dict[str, object] = SMALL, *, batch: int = 2, beams: int
) -> None:
    """Check that both searches return equal beams; the SIDs in the trie are unique."""
    model = decoder_only(trie, sizes)
    prompt = torch.randint(2, model.config.vocab_size, (batch, 5))
    processor = SidTrieLogitsProcessor(
        trie, offsets(trie), prompt_length=prompt.shape[1], eos_token_id=END
    )
    expected = own_beams(model, trie, prompt, beams)
    for extra in (0, 1):  # without and with an end token, which has log-probability 0
        written = model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            logits_processor=[processor],
            num_beams=beams,
            num_return_sequences=beams,
            max_new_tokens=trie.depth + extra,
            length_penalty=0.0,
            return_dict_in_generate=True,
            output_scores=True,
            do_sample=False,
        )
        tokens = written.sequences[:, prompt.shape[1] :]
        assert (tokens[:, trie.depth :] == END).all()
        sids = sids_of(trie, tokens[:, : trie.depth])
        assert trie.contains(sids).all()
        assert torch.equal(sids.view_as(expected.sids), expected.sids.long())
        scores = written.sequences_scores.view_as(expected.scores)
        torch.testing.assert_close(scores, expected.scores, rtol=1e-4, atol=1e-4)


def distinct(sids: Tensor) -> recops.SidTrie:
    return recops.SidTrie.from_sids(sids.unique(dim=0))


@pytest.mark.parametrize("skew", [1.0, 4.0])
def test_beams_are_those_of_constrained_beam_search(skew: float) -> None:
    drawn = catalogue(items=400, depth=4, vocab=16, skew=skew)
    assert_beams_agree(distinct(drawn.sids), beams=12)


@pytest.mark.parametrize("sizes", [SMALL, pytest.param(GPT2, marks=pytest.mark.full)])
@pytest.mark.parametrize("name", ["onerec_office/office", "letter/beauty"])
def test_real_catalogues_decode_to_the_same_beams(
    recops_data: Path, name: str, sizes: dict[str, object]
) -> None:
    file = recops_data / f"{name}.index.json"
    if not file.exists():
        pytest.skip(f"{file} is not there")
    sids, _ = recops.read_index_json(file)
    assert_beams_agree(distinct(sids), sizes, beams=20)


@pytest.mark.parametrize(
    "how",
    [
        {"do_sample": False},
        {"do_sample": True, "num_return_sequences": 20},
        {"do_sample": True, "num_beams": 4},
        {"do_sample": False, "num_beams": 6, "num_return_sequences": 6},
    ],
    ids=["greedy", "sampling", "beam sampling", "beams"],
)
def test_every_output_is_an_allowed_item(how: dict[str, object]) -> None:
    drawn = catalogue(items=200, depth=3, vocab=20, skew=3)
    trie, model = drawn.trie, decoder_only(drawn.trie)
    prompt = torch.randint(2, model.config.vocab_size, (2, 6))
    halves = [drawn.item_ids[::2], drawn.item_ids[1::2]]
    begin = 2
    prompt[:, -1] = begin
    for start in ({"prompt_length": 6}, {"begin_token_id": begin}):
        for allowed in (None, trie.mask(keep=halves[0]), trie.mask(keep=halves)):
            processor = SidTrieLogitsProcessor(
                trie, offsets(trie), **start, eos_token_id=END, allowed=allowed
            )
            written = model.generate(
                prompt,
                attention_mask=torch.ones_like(prompt),
                logits_processor=[processor],
                max_new_tokens=5,
                **how,
            )
            nodes = trie.find(sids_of(trie, written[:, 6:9]))
            assert (written[:, 9:] == torch.tensor([END])).all()
            bounds, ids = trie.items(nodes)
            for row, (first, last) in enumerate(pairwise(bounds)):
                allowed_ids = drawn.item_ids
                if allowed is not None:
                    allowed_ids = halves[row // (len(nodes) // 2) if allowed.words.ndim == 2 else 0]
                assert torch.isin(ids[first:last], allowed_ids).any()


SAMPLED = {"do_sample": True, "num_beams": 10, "num_return_sequences": 10, "max_new_tokens": 4}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"top_k": 2}, "top_k must be 0 or at least num_beams = 10, got 2"),
        ({"top_k": 0, "top_p": 0.1}, "top_p must be 1 with num_beams = 10, got 0.1"),
        ({"num_beams": 60}, "top_k must be 0 or at least num_beams = 60, got 50"),
    ],
)
def test_generate_refuses_settings_that_may_leave_fewer_tokens_than_beams(
    settings: dict[str, object], message: str
) -> None:
    trie = catalogue(items=300, depth=3, vocab=20).trie
    model = decoder_only(trie)
    prompt = torch.randint(2, model.config.vocab_size, (2, 6))
    processor = SidTrieLogitsProcessor(trie, offsets(trie), prompt_length=6, eos_token_id=END)
    both = {**SAMPLED, **settings}
    with pytest.raises(ValueError, match=f"^SidTrieLogitsProcessor: {message}"):
        processor.generate(model, prompt, **both)
    with pytest.raises(ValueError, match=message):
        processor.check_generation(model, transformers.GenerationConfig(**both))
    model.generation_config.update(**settings)
    with pytest.raises(ValueError, match=message):
        processor.check_generation(model, **{**SAMPLED, "num_beams": both["num_beams"]})
    processor.check_generation(model, **{**both, "do_sample": False})
    processor.check_generation(model, **{**both, "num_beams": 2})
    if "num_beams" in settings:
        return  # 50 tokens suffice for this vocabulary.
    written = model.generate(prompt, logits_processor=[processor], **both)
    assert not trie.contains(sids_of(trie, written[:, 6:9])).all(), "the refusal has a reason"


def test_generate_uses_the_processor_after_those_of_the_caller() -> None:
    trie = catalogue(items=300, depth=3, vocab=20).trie
    model = decoder_only(trie)
    prompt = torch.randint(2, model.config.vocab_size, (2, 6))
    processor = SidTrieLogitsProcessor(trie, offsets(trie), prompt_length=6, eos_token_id=END)
    calls: list[int] = []

    def watch(input_ids: Tensor, scores: Tensor) -> Tensor:
        calls.append(int(scores.isinf().sum()))
        return scores

    written = processor.generate(model, prompt, **SAMPLED, top_k=20, logits_processor=[watch])
    assert trie.contains(sids_of(trie, written[:, 6:9])).all()
    assert calls == [0, 0, 0, 0]


def test_an_encoder_decoder_outputs_items() -> None:
    trie = catalogue(items=300, depth=3, vocab=20).trie
    settings = config(trie, d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=2)
    torch.manual_seed(0)
    model = transformers.T5ForConditionalGeneration(
        transformers.T5Config(**settings, decoder_start_token_id=PAD)
    ).eval()
    spread = torch.randperm(settings["vocab_size"] - FIRST) + FIRST
    levels = spread.split(list(trie.vocab_sizes))
    processor = SidTrieLogitsProcessor(trie, levels, prompt_length=1, eos_token_id=[END, 2])
    written = model.generate(
        torch.randint(3, 9, (2, 4)),
        logits_processor=[processor],
        num_beams=5,
        num_return_sequences=5,
        max_new_tokens=4,
    )
    back = [{int(word): token for token, word in enumerate(level)} for level in levels]
    sids = [[back[level][int(word)] for level, word in enumerate(row)] for row in written[:, 1:4]]
    assert trie.contains(torch.tensor(sids)).all()


def test_text_before_and_after_an_item_is_unconstrained() -> None:
    trie = recops.SidTrie.from_sids(torch.tensor([[0, 1], [1, 0]]))
    processor = SidTrieLogitsProcessor(trie, [4, 6], begin_token_id=3, eos_token_id=END)
    scores = torch.randn(5, 8)
    rows = [[2, 2, 2, 2], [2, 2, 2, 3], [2, 2, 3, 4], [2, 3, 4, 7], [3, 4, 7, 2]]
    actual = processor(torch.tensor(rows), scores)
    allowed = [list(range(8)), [4, 5], [7], [END], list(range(8))]
    assert [row.isfinite().nonzero().flatten().tolist() for row in actual] == allowed
    for row in (0, 4):
        assert torch.equal(actual[row], scores[row])
    assert actual[3, END] == 0


def test_a_new_catalogue_replaces_the_old_one() -> None:
    catalog = recops.SidCatalog([2, 2])
    catalog.insert([5], [[0, 1]])
    processor = SidTrieLogitsProcessor(
        catalog.snapshot(), [4, 6], prompt_length=0, eos_token_id=END
    )
    sequences, scores = torch.empty(1, 0, dtype=torch.long), torch.zeros(1, 8)
    assert processor(sequences, scores).isfinite().nonzero()[:, 1].tolist() == [4]
    catalog.insert([6], [[1, 1]])
    processor.trie = catalog.snapshot()
    assert processor(sequences, scores).isfinite().nonzero()[:, 1].tolist() == [4, 5]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"trie": 3}, TypeError, "trie must be a SidTrie, got int"),
        ({"allowed": [1]}, TypeError, "allowed must be an ItemMask, got list"),
        ({"begin_token_id": 3}, TypeError, "prompt_length or begin_token_id must be given, got"),
        ({"prompt_length": None}, TypeError, "prompt_length or begin_token_id must be given, got"),
        ({"prompt_length": -1}, ValueError, "prompt_length must be from 0 to 2147483647, got -1"),
        ({"eos_token_id": []}, ValueError, "eos_token_id must name a token"),
        ({"eos_token_id": 4}, ValueError, "token_map must not hold the eos_token_id"),
        (
            {"prompt_length": None, "begin_token_id": 6},
            ValueError,
            "token_map must not hold the begin_token_id",
        ),
    ],
)
def test_bad_settings_are_refused(
    change: dict[str, object], error: type[Exception], message: str
) -> None:
    trie = recops.SidTrie.from_sids(torch.tensor([[0, 1], [1, 0]]))
    settings = {"trie": trie, "token_map": [4, 6], "prompt_length": 0, "eos_token_id": END}
    with pytest.raises(error, match=f"SidTrieLogitsProcessor: {message}"):
        SidTrieLogitsProcessor(**{**settings, **change})
