"""TIGER: an encoder–decoder from the tokens of a history to the tokens of the next item.

``p(item | history) = Π_t p(x_t | x_<t, history)`` along the item's semantic ID. The encoder reads
the concatenated semantic IDs of the history; the decoder generates the next one. Both are T5
transformers, whose only position information is a relative attention bias.

Source: Rajput et al., Recommender Systems with Generative Retrieval, 2023 (arXiv 2305.05065).
``docs/deviations.md`` lists the differences from the paper and their reasons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import recops
from recops_models import workers
from recops_models.generative.item_rows import rows_or
from recops_models.generative.path_ranker import GradScope, PathRanker, gather_beams
from recops_models.generative.windows import at_rows, target_rows
from recops_models.layers.attention import Attention
from recops_models.layers.dropout import Dropout
from recops_models.layers.padded_rows import draw_rows
from recops_models.layers.relative_bias import RelativeBias
from recops_models.layers.rms_norm import RMSNorm
from recops_models.setting_checks import check_at_least, check_heads, check_shares


@dataclass(frozen=True)
class TIGERConfig:
    """Sizes of TIGER. The paper has 6 heads of 64, MLPs of 1024, 20 events, dropout 0.1.

    Attributes:
        history: T, number of most recent events that are read.
        width: d.
        heads: attention heads; must divide ``width``.
        encoder_layers: encoder layers.
        decoder_layers: decoder layers.
        hidden: width of the MLPs.
        reading: ``"causal"``: tokens attend to their own event and earlier ones, so one encoding of
            a window serves all its targets; ``"whole"``, as in the paper: all tokens attend to each
            other, and each target needs its own encoding, T times the work.
        collision_token: whether one more token distinguishes items with equal codes, as in the
            paper. Otherwise they share a path, and rank by their training events.
        dropout: on embeddings and residual branches.
        beams: beams per request.

    Raises:
        ValueError: a size is too small, the heads do not divide the width, or the dropout is
            outside [0, 1).

    Example:
        >>> from recops_models.generative.tiger import TIGERConfig
        >>> TIGERConfig(width=128, heads=3)
        Traceback (most recent call last):
            ...
        ValueError: tiger: heads must divide width 128, got 3
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
    """T5 block: ``x += attention(RMSNorm(x))``, then ``x += MLP(RMSNorm(x))`` with ReLU."""

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

    def add_mlp(self, x: Tensor) -> Tensor:
        """Return ``x + MLP(RMSNorm(x))``."""
        out: Tensor = x + self.dropout(self.mlp(self.mlp_norm(x)))
        return out


class EncoderBlock(_Block):
    """Block in which the tokens of a history attend to each other.

    Example:
        >>> import torch
        >>> from recops_models.generative.tiger import EncoderBlock, TIGERConfig
        >>> block = EncoderBlock(TIGERConfig(width=8, heads=2, hidden=8))
        >>> block(torch.randn(3, 6, 8), bias=torch.zeros(1, 2, 6, 6)).shape
        torch.Size([3, 6, 8])
    """

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """Return ``[R, S, d]``.

        Args:
            x: ``[R, S, d]``.
            bias: added to the attention scores, ``[R or 1, heads, S, S]``; −inf: not visible.
        """
        normed = self.attention_norm(x)
        attended = self.attention(normed, self.attention.keys_values(normed), bias)
        return self.add_mlp(x + self.dropout(attended))


class DecoderBlock(_Block):
    """Block in which a path's tokens attend to earlier ones, then to the history, then an MLP.

    Example:
        >>> import torch
        >>> from recops_models.generative.tiger import DecoderBlock, TIGERConfig
        >>> block = DecoderBlock(TIGERConfig(width=8, heads=2, hidden=8))
        >>> x, bias = torch.randn(3, 2, 8), torch.zeros(2, 2, 2)
        >>> block.add_self_attention(x, block.path_keys_values(x), bias).shape
        torch.Size([3, 2, 8])
    """

    def __init__(self, config: TIGERConfig) -> None:
        super().__init__(config)
        self.history_norm = RMSNorm(config.width)
        self.history = Attention(config.width, config.heads)

    def path_keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the self-attention's keys and values of path tokens ``x [P, Q, d]``."""
        return self.attention.keys_values(self.attention_norm(x))

    def add_self_attention(
        self, x: Tensor, keys_values: tuple[Tensor, Tensor], bias: Tensor
    ) -> Tensor:
        """Return ``x + attention(RMSNorm(x))``.

        Args:
            x: ``[P, Q, d]``.
            keys_values: from :meth:`path_keys_values`.
            bias: added to the attention scores.
        """
        attended = self.attention(self.attention_norm(x), keys_values, bias)
        out: Tensor = x + self.dropout(attended)
        return out


class EncodedHistory(NamedTuple):
    """Tensors that the decoder reads of R histories.

    Example:
        >>> import torch
        >>> from recops_models.generative.tiger import TIGER, TIGERConfig
        >>> config = TIGERConfig(width=8, heads=2, hidden=8, encoder_layers=1, decoder_layers=1)
        >>> model = TIGER(torch.tensor([[0, 0], [0, 1], [1, 0]]), (2, 2), torch.ones(3), config)
        >>> encoded = model.encode(torch.tensor([[1, 2, 0]]), known=torch.tensor([[2]]))
        >>> encoded.bias.shape  # one query, 3 events of 2 tokens
        torch.Size([1, 2, 1, 6])
    """

    keys_values: list[tuple[Tensor, Tensor]]
    """``[R, heads, T · L, d / heads]`` each, per decoder block."""
    bias: Tensor
    """``[R or 1, heads, Q, T · L]``, by the number of events between a query and a token; −inf for
    events that the query must not read."""


class TIGER(PathRanker):
    """TIGER; see the module. Items and tokens count from 1; 0 is padding.

    Args:
        paths: ``[N, L]`` integers, tokens of each item, from 0.
        vocab_sizes: number of tokens at each of the L positions.
        prior: ``[N]``, number of training events per item. Among items with one path, higher ranks
            first.
        config: sizes.

    Example:
        >>> import torch
        >>> from recops_models.generative.tiger import TIGER, TIGERConfig
        >>> paths = torch.tensor([[0, 0], [0, 1], [1, 0]])  # semantic IDs of three items
        >>> config = TIGERConfig(width=8, heads=2, hidden=8, encoder_layers=1, decoder_layers=1)
        >>> model = TIGER(paths, (2, 2), torch.ones(3), config)
        >>> history, target = torch.tensor([[1, 2, 0]]), torch.tensor([[2, 3, 0]])
        >>> model.loss(history, target).backward()
        >>> sorted(model.eval().decode(history, torch.tensor([2]), k=3).items[0].tolist())
        [0, 1, 2]
    """

    def __init__(
        self, paths: Tensor, vocab_sizes: Sequence[int], prior: Tensor, config: TIGERConfig
    ) -> None:
        super().__init__()
        self.config, self.vocab_sizes = config, tuple(vocab_sizes)
        self.num_items, self.steps = len(paths), len(self.vocab_sizes)
        self.trie = recops.SidTrie.from_sids(paths, vocab_sizes=self.vocab_sizes)
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
        """T, the number of events that are read."""
        return self.config.history

    @property
    def beams(self) -> int:
        """Beams per request; a request for more items uses more."""
        return self.config.beams

    def item_vectors(self) -> Tensor:
        """See :meth:`Ranker.item_vectors`; these are the concatenated token embeddings."""
        paths = self.paths[1:]
        vectors = [self._embed(level, paths[:, level]) for level in range(self.steps)]
        return torch.cat(vectors, -1).detach()

    def with_paths(self, rows: Tensor, paths: Tensor, *, prior: Tensor | None = None) -> TIGER:
        """See :meth:`PathRanker.with_paths`."""
        from recops_models.training.device import to_host  # Loading a model needs no training code.

        prior = rows_or(self.prior, rows, 0) if prior is None else prior
        with torch.random.fork_rng(devices=[]):
            model = TIGER(to_host(paths), self.vocab_sizes, to_host(prior), self.config)
        model = model.to(self.paths.device)
        new = model.state_dict()
        model.load_state_dict({**self.state_dict(), "paths": new["paths"], "prior": new["prior"]})
        return model.train(self.training)

    def _embed(self, level: int, tokens: Tensor) -> Tensor:
        out: Tensor = self.token[level](tokens) * self.config.width**0.5
        return out

    def encode(self, history: Tensor, known: Tensor) -> EncodedHistory:
        """Encode histories for queries that each read a number of first events.

        Args:
            history: ``[R, T]`` i64, 1-based items, right-padded with 0.
            known: ``[R or 1, Q]`` i64, number of first events that each query reads. With
                ``reading="whole"`` all queries of a history read equally many.
        """
        levels, device = self.steps, history.device
        paths = self.paths[history]  # (R, T, L)
        x = torch.stack([self._embed(i, paths[..., i]) for i in range(levels)], 2).flatten(1, 2)
        position = torch.arange(x.shape[1], device=device)
        event = position // levels
        if self.config.reading == "causal":
            visible = (event <= event[:, None])[None]
        else:
            visible = event < known[:, :1, None]
        bias = self.history_bias(position[:, None] - position)
        bias = bias.masked_fill(~visible[:, None], -torch.inf)
        x = self.dropout(x)
        for block in self.encoder:
            x = block(x, bias)
        x = self.dropout(self.encoder_norm(x))
        age = known[..., None] - 1 - event  # (R or 1, Q, T · L), 0: the last event
        recency = self.recency_bias(age).masked_fill(age[:, None] < 0, -torch.inf)
        return EncodedHistory([block.history.keys_values(x) for block in self._blocks()], recency)

    def _blocks(self) -> list[DecoderBlock]:
        return [block for block in self.decoder if isinstance(block, DecoderBlock)]

    def _logits(self, step: int, x: Tensor) -> Tensor:
        """Return ``[..., V_step]``, with the token embeddings as output weights."""
        table = self.token[step]
        assert isinstance(table, nn.Embedding)
        return F.linear(self.dropout(self.decoder_norm(x)), table.weight[1:])

    def _decode_targets(
        self, history: Tensor, target: Tensor, rows: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return the decoder's output at each token of the targets, teacher-forced.

        Returns:
            the output ``[targets, L, d]``, and the tokens ``[targets, L]``, from 1.
        """
        steps, length = self.steps, history.shape[1]
        rows = target_rows(target) if rows is None else rows
        known = torch.arange(1, length + 1, device=history.device)[None]  # (1, T)
        if self.config.reading == "whole":
            history, target = history[rows // length], at_rows(target, rows)[:, None]
            known = known[0, rows % length, None]
            rows = torch.arange(len(rows), device=history.device)
        encoded = self.encode(history, known.repeat_interleave(steps, 1))
        paths = self.paths[at_rows(target, rows)]  # (targets, L)
        start = self.start.expand(len(paths), -1)
        x = torch.stack(
            [start, *(self._embed(i, paths[:, i]) for i in range(steps - 1))], 1
        )  # (targets, L, d)
        x = self.dropout(x)
        position = torch.arange(steps, device=x.device)
        distance = position[:, None] - position
        bias = self.path_bias(distance).masked_fill(distance < 0, -torch.inf)
        for block, keys_values in zip(self._blocks(), encoded.keys_values, strict=True):
            x = block.add_self_attention(x, block.path_keys_values(x), bias)
            # Queries as [R, T · L, d]: the targets of a history share its keys without a copy.
            queries = x.new_zeros(target.numel(), *x.shape[1:])
            queries = queries.index_copy(0, rows, block.history_norm(x))
            queries = queries.view(len(history), -1, x.shape[-1])  # (R, T · L, d)
            read = block.history(queries, keys_values, encoded.bias)
            x = block.add_mlp(x + block.dropout(at_rows(read.unflatten(1, (-1, steps)), rows)))
        return x, paths

    def loss(self, history: Tensor, target: Tensor, *, rows: Tensor | None = None) -> Tensor:
        """Return the mean of ``−Σ_t log p(x_t | x_<t, history)`` over targets."""
        x, paths = self._decode_targets(history, target, rows)
        losses = [
            F.cross_entropy(self._logits(step, x[:, step]), paths[:, step] - 1, reduction="none")
            for step in range(self.steps)
        ]
        return workers.share_of_mean(torch.stack(losses).sum(0))

    def path_log_probs(
        self,
        history: Tensor,
        target: Tensor,
        task: int | Tensor = 0,
        *,
        user: Tensor | None = None,
        scope: GradScope = "all",
        rows: Tensor | None = None,
    ) -> Tensor:
        """See :meth:`PathRanker.path_log_probs`; TIGER reads no task and no user.

        Raises:
            ValueError: ``task`` is not 0, or ``user`` is not None.
        """
        _check_history_only(task, user)
        x, paths = self._decode_targets(history, target, rows)
        if scope == "last_head":
            x = x.detach()
        log_probs = []
        for step in range(self.steps):
            logits = self._logits(step, x[:, step])
            log_prob = -F.cross_entropy(logits, paths[:, step] - 1, reduction="none")
            is_trained = scope == "all" or step == self.steps - 1
            log_probs.append(log_prob if is_trained else log_prob.detach())
        return torch.stack(log_probs, -1)

    def encode_requests(
        self,
        history: Tensor,
        lengths: Tensor,
        task: int | Tensor = 0,
        *,
        user: Tensor | None = None,
    ) -> list[Tensor]:
        """See :meth:`PathRanker.encode_requests`; TIGER reads no task and no user.

        Returns:
            keys and values per decoder block, then the bias ``[B, heads, 1, T · L]``.

        Raises:
            ValueError: ``task`` is not 0, or ``user`` is not None.
        """
        _check_history_only(task, user)
        keys_values, bias = self.encode(history, lengths[:, None])
        return [*(tensor for pair in keys_values for tensor in pair), bias]

    def next_token_logits(
        self,
        encoded: Sequence[Tensor],
        state: Sequence[Tensor],
        tokens: Tensor | None,
        parents: Tensor | None,
    ) -> tuple[Tensor, list[Tensor]]:
        """See :meth:`PathRanker.next_token_logits`.

        The state holds the keys and values of each beam's tokens, ``[B, M, heads, t, d / heads]``
        each, per decoder block.
        """
        *keys_values, bias = encoded
        if tokens is None or parents is None:
            # torch.export would trace len() as a constant.
            step, x = 0, self.start.expand(bias.shape[0], 1, -1)
            state = []
        else:
            step = state[0].shape[-2]
            x = self._embed(step - 1, tokens.long().clamp(min=0) + 1)  # (B, M, d)
            state = [gather_beams(tensor, parents) for tensor in state]
        distance = step - torch.arange(step + 1, device=x.device)
        path_bias = self.path_bias(distance[None])  # (heads, 1, step + 1)
        new_state: list[Tensor] = []
        for i, block in enumerate(self._blocks()):
            flat = x.flatten(0, 1)[:, None]  # (B · M, 1, d)
            pair = [tensor.unflatten(0, x.shape[:2]) for tensor in block.path_keys_values(flat)]
            if state:
                pair = [
                    torch.cat([old, new], -2)
                    for old, new in zip(state[2 * i : 2 * i + 2], pair, strict=True)
                ]
            new_state += pair
            keys, values = (tensor.flatten(0, 1) for tensor in pair)
            x = block.add_self_attention(flat, (keys, values), path_bias).view_as(x)
            query = block.history_norm(x)
            x = x + block.history(query, (keys_values[2 * i], keys_values[2 * i + 1]), bias)
            x = block.add_mlp(x)
        return self._logits(step, x), new_state


def _check_history_only(task: int | Tensor, user: Tensor | None) -> None:
    if isinstance(task, Tensor) or task != 0 or user is not None:
        raise ValueError("TIGER: task must be 0 and user None, because TIGER reads only histories")
