"""Case of masking a language model's logits on a CUDA GPU."""

from __future__ import annotations

import torch
from torch import Tensor

from recops.benchmarks.registry import Case
from recops.benchmarks.trie import Search
from recops.ops.trie.trie_next_logits import trie_next_logits
from recops.state.token_map import TokenMap

WORDS = 151_936
"""Words of Qwen's vocabulary."""
_BEGIN = 0


def next_logits_case(
    search: Search, rows: int, *, device: torch.device, in_place: bool = False
) -> Case:
    """Mask the logits of the second token of semantic IDs, in a copy or in place.

    The peer fills a mask with the allowed tokens of each row, which are found before. Masking in
    place a second time changes nothing, so that all calls have the same result.
    """
    trie, vocab = search.trie.to(device), search.workload.vocab
    starts = [1 + vocab * level for level in range(search.workload.depth)]
    token_map = TokenMap.of(starts, trie.vocab_sizes).to(device)
    first = search.prefixes(1).flatten(0, 1)
    first = first[torch.arange(rows) % len(first)].to(device)
    sequences = torch.cat([torch.full_like(first, _BEGIN), first + starts[0]], 1)
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(rows, WORDS, generator=random).to(device, torch.bfloat16)
    allowed = trie.allowed_tokens(trie.find(first), vocab)

    def run() -> Tensor:
        return trie_next_logits(
            *(logits, sequences, trie, token_map),
            prompt_length=None,
            begin_token=_BEGIN,
            end_tokens=[WORDS - 1],
            in_place=in_place,
        )

    def mask() -> Tensor:
        is_refused = torch.ones_like(logits, dtype=torch.bool)
        is_refused[:, starts[1] : starts[1] + vocab] = ~allowed
        fill = logits.masked_fill_ if in_place else logits.masked_fill
        return fill(is_refused, -torch.inf)

    def verify() -> None:
        before = logits.clone()
        expected = mask().clone()
        logits.copy_(before)
        assert torch.equal(run(), expected)

    return Case(
        op="trie_next_logits",
        shape=f"R={rows} V={WORDS} N={search.workload.items}" + " in place" * in_place,
        dtype="bfloat16",
        device=str(device),
        run=run,
        peers={"mask": mask},
        verify=verify,
        bytes=float(logits.nbytes + logits.element_size() * int(allowed.sum())),
        ceiling="bandwidth",
    )
