"""The tokens of a path, and what a step is told of those already decoded."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from torch import Tensor, nn

from recops_models.generative.unirec.config import UniRecConfig
from recops_models.layers.content_summary import ContentSummary
from recops_models.layers.padded_rows import draw_rows


class Prefix(nn.Module):
    """Token tables, ``e_prefix`` and the content summary ``c_t`` (UniRec §5.2).

    The summary's pairs are (attribute, code) and (code, code) that are both decoded; a step has no
    input for others, where the paper's has zeros [I]. Tokens count from 1.

    Args:
        vocab_sizes: how many tokens each position has.
        config: sizes.
    """

    def __init__(self, vocab_sizes: Sequence[int], config: UniRecConfig) -> None:
        super().__init__()
        self.width, self.summary_width = config.width, 3 * config.hash_width
        self.token = nn.ModuleList(
            nn.Embedding(1 + size, config.width, padding_idx=0) for size in vocab_sizes
        )
        for table in self.token:
            assert isinstance(table, nn.Embedding)
            draw_rows(table, config.width**-0.5)
        self.pairs = _pairs(config.num_attributes, len(vocab_sizes)) if config.hash_width else []
        self.summary = nn.ModuleList(
            ContentSummary((vocab_sizes[i], vocab_sizes[j]), config.hash_width)
            for i, j in self.pairs
        )

    def embed(self, step: int, tokens: Tensor) -> Tensor:
        """``[…, d]`` of the tokens ``[…]`` of one position."""
        out: Tensor = self.token[step](tokens)
        return out

    def embed_all(self, paths: Tensor) -> list[Tensor]:
        """``[…, d]`` each, of whole paths ``[…, m + L]``."""
        return [self.embed(step, paths[..., step]) for step in range(len(self.token))]

    def fields(self, step: int, prefix: Tensor) -> list[Tensor]:
        """What step ``step`` is told of ``prefix [..., ≥ step]``: one tensor a token and a pair."""
        found = [self.embed(i, prefix[..., i]) for i in range(step)]
        for (i, j), summary in zip(self.pairs, self.summary, strict=True):
            if j < step:
                found.append(summary(prefix[..., i], prefix[..., j]))
        return found

    def widths(self, step: int) -> list[int]:
        """Of what :meth:`fields` gives."""
        return [self.width] * step + [self.summary_width] * sum(j < step for _, j in self.pairs)


def _pairs(attributes: int, steps: int) -> list[tuple[int, int]]:
    """Pairs (attribute, code) and (code, code) that are both decoded before the last step."""
    return [(i, j) for i, j in combinations(range(steps - 1), 2) if j >= attributes]
