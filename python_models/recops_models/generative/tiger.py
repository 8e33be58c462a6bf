"""TIGER: an encoder–decoder from the tokens of a history to the tokens of the next item.

``p(item | history) = Π_t p(x_t | x_<t, history)`` along the item's semantic ID. The encoder reads
the semantic IDs of the history, laid end to end, and the decoder spells the next one; both are T5's
transformer, whose only positions are biases by distance.

Source: Rajput et al., Recommender Systems with Generative Retrieval, 2023 (arXiv 2305.05065). Where
this differs from it, ``docs/deviations.md`` says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import recops
from recops_models.generative.ranker import Ranker, Ranking, check_lengths
from recops_models.generative.speller import TokensCallback, of_beams, search
from recops_models.layers.attention import Attention
from recops_models.layers.dropout import Dropout
from recops_models.layers.padded_rows import draw_rows
from recops_models.layers.relative_bias import RelativeBias
from recops_models.layers.rms_norm import RMSNorm
from recops_models.setting_checks import check_at_least, check_heads, check_shares


@dataclass(frozen=True)
class TIGERConfig:
    """Sizes. The paper's: 6 heads of 64, MLPs of 1024, 20 events, dropout 0.1.

    Attributes:
        history: T, the most recent events that are read.
        width: d.
        heads: of every attention; divides ``width``.
        encoder_layers: that read the history.
        decoder_layers: that spell the item.
        hidden: width of the MLPs.
        reading: ``"causal"``: an event's tokens see those of that event and of earlier ones, so
            that one reading of a window serves all targets in it; ``"whole"``, the paper's: all
            tokens see each other, and each target has a reading of its own, T times the work.
        collision_token: whether items whose codes are the same are told apart by one token more,
            the paper's way; otherwise they share a path and come in the order of their training
            events.
        dropout: on embeddings and residual branches.
        beams: decoded paths per request.

    Raises:
        ValueError: a size that is too small, heads that do not divide the width, a dropout outside
            [0, 1).
    """

    history: int = 20
    width: int = 128
    heads: int = 4
    encoder_layers: int = 4
    decoder_layers: int = 4
    hidden: int = 512
    reading: Literal["causal", "whole"] = "causal"
    collision_token: bool = True
    dropout: float = 0.2
    beams: int = 50

    def __post_init__(self) -> None:
        check_at_least("tiger", self, history=1, width=1, heads=1, hidden=1, beams=1)
        check_at_least("tiger", self, encoder_layers=0, decoder_layers=1)
        check_shares("tiger", self, "dropout")
        check_heads("tiger", self.width, self.heads)


class _Block(nn.Module):
    """``x += attention(RMSNorm(x))``, then ``x += MLP(RMSNorm(x))`` with ReLU, as T5 has it."""

    def __init__(self, config: TIGERConfig) -> None:
        super().__init__()
        width = config.width
        self.attention_norm, self.mlp_norm = RMSNorm(width), RMSNorm(width)
        self.attention = Attention(width, config.heads)
        self.mlp = nn.Sequential(
            nn.Linear(width, config.hidden),
            nn.ReLU(),
            Dropout(config.dropout),
            nn.Linear(config.hidden, width),
        )
        self.dropout = Dropout(config.dropout)

    def mix(self, x: Tensor) -> Tensor:
        """The MLP's half."""
        out: Tensor = x + self.dropout(self.mlp(self.mlp_norm(x)))
        return out


class EncoderBlock(_Block):
    """Tokens of a history see each other."""

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """``[R, S, d]``; ``bias`` over ``[R or 1, heads, S, S]`` scores, −inf where one does not
        see another.
        """
        normed = self.attention_norm(x)
        attended = self.attention(normed, self.attention.keys_values(normed), bias)
        return self.mix(x + self.dropout(attended))


class DecoderBlock(_Block):
    """A path's tokens see those before, then the history's, in an attention between the halves."""

    def __init__(self, config: TIGERConfig) -> None:
        super().__init__(config)
        self.history_norm = RMSNorm(config.width)
        self.history = Attention(config.width, config.heads)

    def look_back(self, x: Tensor, keys_values: tuple[Tensor, Tensor], bias: Tensor) -> Tensor:
        """``x [P, Q, d]`` with what :meth:`own` made of its paths' tokens."""
        attended = self.attention(self.attention_norm(x), keys_values, bias)
        out: Tensor = x + self.dropout(attended)
        return out

    def own(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of paths ``x [P, Q, d]``."""
        return self.attention.keys_values(self.attention_norm(x))


class EncodedHistory(NamedTuple):
    """What the decoder reads of histories."""

    keys_values: list[tuple[Tensor, Tensor]]
    """Per decoder block ``[R, heads, T · L, d / heads]`` each."""
    bias: Tensor
    """``[R or 1, heads, Q, T · L]``, by how many events lie between; −inf on what Q do not know."""


class TIGER(Ranker):
    """See the module. Inside, items and tokens count from 1, and 0 is padding.

    Args:
        paths: ``[N, L]`` integers, each item's tokens, from 0.
        vocab_sizes: how many tokens each of the L positions has.
        prior: ``[N]``, decides between items of one path: their training events.
        config: sizes.
    """

    def __init__(
        self, paths: Tensor, vocab_sizes: Sequence[int], prior: Tensor, config: TIGERConfig
    ) -> None:
        super().__init__()
        self.config, self.vocab_sizes = config, tuple(vocab_sizes)
        self.num_items, self.steps = len(paths), len(self.vocab_sizes)
        self.trie = recops.SidTrie.from_sids(paths, vocab_sizes=self.vocab_sizes)
        self.paths: Tensor
        self.prior: Tensor
        self.register_buffer("paths", F.pad(paths.long() + 1, (0, 0, 1, 0)))  # (1 + N, L)
        self.register_buffer("prior", prior.float())
        self.token = nn.ModuleList(
            nn.Embedding(1 + size, config.width, padding_idx=0) for size in self.vocab_sizes
        )
        self.start = nn.Parameter(torch.empty(config.width))
        heads = config.heads
        self.history_bias = RelativeBias(heads, both_ways=True)
        self.path_bias = RelativeBias(heads, both_ways=False)
        self.recency_bias = RelativeBias(heads, both_ways=False)
        self.encoder = nn.ModuleList(EncoderBlock(config) for _ in range(config.encoder_layers))
        self.decoder = nn.ModuleList(DecoderBlock(config) for _ in range(config.decoder_layers))
        self.encoder_norm, self.decoder_norm = RMSNorm(config.width), RMSNorm(config.width)
        self.dropout = Dropout(config.dropout)
        for table in self.token:
            assert isinstance(table, nn.Embedding)
            draw_rows(table, 0.02)
        nn.init.normal_(self.start, std=0.02)

    @property
    def window(self) -> int:
        """T."""
        return self.config.history

    @property
    def beams(self) -> int:
        """Paths that a request follows, unless more items are asked for."""
        return self.config.beams

    def _embed(self, level: int, tokens: Tensor) -> Tensor:
        out: Tensor = self.token[level](tokens) * self.config.width**0.5
        return out

    def encode(self, history: Tensor, known: Tensor) -> EncodedHistory:
        """Read ``history [R, T]``, 1-based, right-padded with 0, for queries ``[R or 1, Q]`` of
        which each knows the first ``known`` events.
        """
        levels, device = self.steps, history.device
        paths = self.paths[history]  # (R, T, L)
        x = torch.stack([self._embed(i, paths[..., i]) for i in range(levels)], 2).flatten(1, 2)
        place = torch.arange(x.shape[1], device=device)
        event = place // levels
        if self.config.reading == "causal":
            seen = (event <= event[:, None])[None]
        else:  # The queries of a history know as much as each other.
            seen = event < known[:, :1, None]
        bias = self.history_bias(place[:, None] - place).masked_fill(~seen[:, None], -torch.inf)
        x = self.dropout(x)
        for block in self.encoder:
            x = block(x, bias)
        x = self.dropout(self.encoder_norm(x))
        ago = known[..., None] - 1 - event  # (R or 1, Q, T · L)
        recency = self.recency_bias(ago).masked_fill(ago[:, None] < 0, -torch.inf)
        return EncodedHistory([block.history.keys_values(x) for block in self._blocks()], recency)

    def _blocks(self) -> list[DecoderBlock]:
        return [block for block in self.decoder if isinstance(block, DecoderBlock)]

    def _logits(self, step: int, x: Tensor) -> Tensor:
        """``[..., V_step]``: the step's own tokens, by the table that reads them."""
        table = self.token[step]
        assert isinstance(table, nn.Embedding)
        return F.linear(self.dropout(self.decoder_norm(x)), table.weight[1:])

    def loss(self, history: Tensor, target: Tensor) -> Tensor:
        """Mean over targets of ``−Σ_t log p(x_t | x_<t, history)``, teacher-forced."""
        there, steps = target > 0, self.steps
        known = torch.arange(1, history.shape[1] + 1, device=history.device)[None]  # (1, T)
        if self.config.reading == "whole":
            row, last = there.nonzero(as_tuple=True)
            history, target, known = history[row], target[row, last, None], known[0, last, None]
            there = torch.ones_like(target, dtype=torch.bool)
        memory = self.encode(history, known.repeat_interleave(steps, 1))
        paths = self.paths[target[there]]  # (targets, L)
        start = self.start.expand(len(paths), -1)
        x = torch.stack(
            [start, *(self._embed(i, paths[:, i]) for i in range(steps - 1))], 1
        )  # (targets, L, d)
        x = self.dropout(x)
        place = torch.arange(steps, device=x.device)
        apart = place[:, None] - place
        bias = self.path_bias(apart).masked_fill(apart < 0, -torch.inf)
        for block, keys_values in zip(self._blocks(), memory.keys_values, strict=True):
            x = block.look_back(x, block.own(x), bias)
            # A history's targets stand side by side here, so that its keys need not be repeated.
            asked = x.new_zeros(*there.shape, *x.shape[1:])
            asked[there] = block.history_norm(x)
            read = block.history(asked.flatten(1, 2), keys_values, memory.bias)
            x = block.mix(x + block.dropout(read.unflatten(1, (-1, steps))[there]))
        losses = [F.cross_entropy(self._logits(t, x[:, t]), paths[:, t] - 1) for t in range(steps)]
        return torch.stack(losses).sum()

    def decode(
        self,
        history: Tensor,
        lengths: Tensor,
        k: int,
        met: Sequence[Tensor] | None = None,
        *,
        watch: TokensCallback | None = None,
    ) -> Ranking:
        """The ``k`` best items that beam search finds; scores are log p(path)."""
        check_lengths("TIGER", lengths)
        read = self.read(history, lengths)
        found = search(self, read, beams=max(k, self.beams), banned=met, watch=watch)
        return Ranking(found.item_ids[:, :k], found.scores[:, :k])

    def read(self, history: Tensor, lengths: Tensor) -> list[Tensor]:
        """The history's keys and values, block by block, and its bias ``[B, heads, 1, T · L]``."""
        keys_values, bias = self.encode(history, lengths[:, None])
        return [*(tensor for pair in keys_values for tensor in pair), bias]

    def spell(
        self,
        read: Sequence[Tensor],
        kept: Sequence[Tensor],
        tokens: Tensor | None,
        parents: Tensor | None,
    ) -> tuple[Tensor, list[Tensor]]:
        """See :meth:`~recops_models.generative.speller.Speller.spell`; beams keep their tokens'
        keys and values, ``[B, M, heads, t, d / heads]`` each.
        """
        *keys_values, bias = read
        if tokens is None or parents is None:
            t, x = 0, self.start.expand(bias.shape[0], 1, -1)  # len() would trace as a constant
            kept = []
        else:
            t = kept[0].shape[-2]
            x = self._embed(t - 1, tokens.long().clamp(min=0) + 1)  # (B, M, d)
            kept = [of_beams(tensor, parents) for tensor in kept]
        ago = t - torch.arange(t + 1, device=x.device)
        path_bias = self.path_bias(ago[None])  # (heads, 1, t + 1)
        grown: list[Tensor] = []
        for i, block in enumerate(self._blocks()):
            alone = x.flatten(0, 1)[:, None]  # (B · M, 1, d)
            pair = [tensor.unflatten(0, x.shape[:2]) for tensor in block.own(alone)]
            if kept:
                pair = [
                    torch.cat([old, new], -2)
                    for old, new in zip(kept[2 * i : 2 * i + 2], pair, strict=True)
                ]
            grown += pair
            keys, values = (tensor.flatten(0, 1) for tensor in pair)
            x = block.look_back(alone, (keys, values), path_bias).view_as(x)
            asked = block.history_norm(x)
            x = x + block.history(asked, (keys_values[2 * i], keys_values[2 * i + 1]), bias)
            x = block.mix(x)
        return self._logits(t, x), grown
