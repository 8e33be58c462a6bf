"""Benchmark of constrained decoding against transformers' prefix_allowed_tokens_fn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

import recops
from recops.benchmarks.registry import Case, register
from recops.benchmarks.trie import HUNDRED_THOUSAND, Search, Workload
from recops.benchmarks.trie_peers import allowed_after

SHAPES = [replace(HUNDRED_THOUSAND, vocab=256), HUNDRED_THOUSAND]


@register("constrained_beam_search")
def cases(quick: bool) -> Iterator[Case]:
    if find_spec("transformers"):
        for workload in SHAPES[:1] if quick else SHAPES:
            yield decode_case(workload)


def decode_case(workload: Workload) -> Case:
    """Decode all levels from precomputed logits, which measures the work between model calls.

    The peer is generate() of transformers. It computes a log-softmax, calls its function for every
    beam in Python, masks the rows, and keeps sequences and scores of 2 · M beams. The function
    looks up prefixes in a precomputed dictionary of lists.
    """
    search = Search(workload, distinct=True)  # generate() returns semantic IDs, not items
    trie, batch, beams = search.trie, workload.batch, workload.beams
    logits = [search.logits(level) for level in range(workload.depth)]
    generate = _generate_from(logits, batch, beams)
    allowed: dict[tuple[int, ...], list[int]] = {}
    for level in range(workload.depth):
        allowed |= allowed_after(trie, search.prefixes(level).flatten(0, 1))

    def run() -> recops.BeamResult:
        ready = iter(logits)
        return recops.constrained_beam_search(
            lambda tokens, parents: next(ready), trie, batch_size=batch, num_beams=beams
        )

    def prefix_allowed_tokens_fn() -> Any:
        return generate(prefix_allowed_tokens_fn=lambda _, row: allowed[tuple(row.tolist()[1:])])

    def verify() -> None:
        actual, expected = run(), prefix_allowed_tokens_fn()
        assert torch.equal(expected.sequences[:, 1:].view_as(actual.sids), actual.sids.long())
        scores = expected.sequences_scores.view_as(actual.scores)
        torch.testing.assert_close(scores, actual.scores, rtol=1e-5, atol=1e-4)

    return Case(
        op="constrained_beam_search",
        shape=f"{workload} all levels",
        run=run,
        peers={"prefix_allowed_tokens_fn": prefix_allowed_tokens_fn},
        verify=verify,
        bytes=float(sum(rows.nbytes for rows in logits)),
        ceiling="bandwidth",
    )


def _generate_from(logits: list[Tensor], batch: int, beams: int) -> Any:
    """Return generate() of a model that reads its logits from a table, with a one-token prompt."""
    from transformers import GenerationConfig, GenerationMixin, PreTrainedConfig, PreTrainedModel
    from transformers.modeling_outputs import CausalLMOutput

    class Table(PreTrainedModel, GenerationMixin):  # type: ignore[no-untyped-call]
        config_class = PreTrainedConfig

        def __init__(self) -> None:
            super().__init__(PreTrainedConfig(is_encoder_decoder=False))
            self.weight = torch.nn.Parameter(torch.zeros(1))
            self.generation_config = GenerationConfig()  # type: ignore[no-untyped-call]

        def forward(self, input_ids: Tensor, **_: object) -> CausalLMOutput:
            rows = logits[input_ids.shape[1] - 1].expand(-1, beams, -1)
            return CausalLMOutput(logits=rows.reshape(len(input_ids), 1, -1))

    model = Table().eval()  # type: ignore[no-untyped-call]
    prompt = torch.zeros(batch, 1, dtype=torch.long)

    @torch.no_grad()
    def generate(**constraint: object) -> Any:
        return model.generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            num_beams=beams,
            num_return_sequences=beams,
            max_new_tokens=len(logits),
            length_penalty=0.0,
            do_sample=False,
            use_cache=False,
            pad_token_id=0,
            return_dict_in_generate=True,
            output_scores=True,
            **constraint,
        )

    return generate
