"""Constrained decoding in a torch model of one's own: it can only write items that exist.

python examples/constrained_decoding.py
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import recops

CODES, LEVELS, ITEMS, REQUESTS = 32, 3, 500, 4


class Decoder(nn.Module):
    """Recurrent decoder: logits of a path's next code from the codes before it.

    Args:
        codes: number of codes per level, K.
        width: of the state.
    """

    def __init__(self, codes: int, width: int = 16) -> None:
        super().__init__()
        self.embedding = nn.Embedding(codes, width)
        self.cell = nn.GRUCell(width, width)
        self.head = nn.Linear(width, codes)

    def start(self, requests: int) -> Tensor:
        """Return the first state ``[B, 1, width]``."""
        return torch.randn(requests, 1, self.cell.hidden_size)

    def advance(self, state: Tensor, tokens: Tensor) -> Tensor:
        """Return the state after one more code, for ``state [B, M, width]``, ``tokens [B, M]``."""
        new: Tensor = self.cell(
            self.embedding(tokens.clamp(min=0)).flatten(0, 1), state.flatten(0, 1)
        )
        return new.view_as(state)


@torch.no_grad()
def main() -> None:
    """Decode the best items of a few requests, then only among allowed items."""
    torch.manual_seed(0)
    sids = torch.randint(CODES, (ITEMS, LEVELS))
    trie = recops.SidTrie.from_sids(sids, vocab_sizes=(CODES,) * LEVELS)
    decoder = Decoder(CODES)
    start = decoder.start(REQUESTS)
    state = start

    def step(tokens: Tensor | None, parents: Tensor | None) -> Tensor:
        nonlocal state
        if tokens is None or parents is None:
            state = start
        else:
            rows = parents.long().clamp(min=0)[..., None].expand(-1, -1, state.shape[-1])
            state = decoder.advance(state.gather(1, rows), tokens.long())
        logits: Tensor = decoder.head(state)
        return logits

    best = recops.constrained_beam_search(step, trie, batch_size=REQUESTS, num_beams=5)
    print(f"items of request 0: {best.item_ids[0].tolist()}")
    assert torch.equal(sids[best.item_ids].int(), best.sids)  # Every path is an item's.

    allowed = torch.arange(0, ITEMS, 2)
    only = recops.constrained_beam_search(
        step, trie, batch_size=REQUESTS, num_beams=5, allowed=trie.mask(keep=allowed)
    )
    print(f"even items only: {only.item_ids[0].tolist()}")
    assert (only.item_ids % 2 == 0).all()


if __name__ == "__main__":
    main()
