"""UniRec: an autoregressive decoder from a history to an item, attributes first, then its SID.

``p(item | history) = Π_t p(x_t | x_<t, history)`` along the item's path ``x = (a_1 … a_m, s_1 …
s_L)``, attributes coarse to fine and then codes (chain of attribute). The paths of the catalogue
form a trie, and beam search walks it, so that whatever is decoded is an item.

Source: arXiv 2604.12234, §4 to §6; next-token prediction alone. [I] marks what is inferred or added
here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import recops
from recops_models.generative.ranker import Ranker, Ranking
from recops_models.layers.attention import Attention, CausalBlock
from recops_models.layers.content_summary import ContentSummary
from recops_models.layers.experts import ExpertMixture
from recops_models.layers.rank_head import RankHead
from recops_models.layers.rms_norm import RMSNorm

GradScope: TypeAlias = Literal["all", "last_step", "last_head"]
"""What the gradient of a path's log-probabilities reaches: everything; what the last step's comes
from, the other steps being constants; the head of the last step alone, its inputs constants too."""


@dataclass(frozen=True)
class UniRecConfig:
    """Sizes. The paper's: d 256, 8 heads, 3 layers, 4 experts of 4d, d_hash 64.

    Attributes:
        attributes: m: the first m tokens of a path are attributes, the others codes; 0 is allowed.
        history: T, the most recent events that are read.
        width: d.
        heads: of every attention; divides ``width``.
        history_layers: causal self-attention over the events before the decoder reads them [I]; 0
            is the paper's encoder, where events meet only in the decoder.
        layers: of the decoder.
        experts: in each decoder layer.
        expert_hidden: an expert's hidden width.
        head_hidden: width of MaskNet's bottleneck and output.
        hash_width: d_hash; 0 leaves the content summary out.
        tasks: rows of the BOS table, objective · |scenes| + scene.
        dropout: on embeddings, residual branches and before the logits [I].
        beams: decoded paths per request.
    """

    attributes: int = 1
    history: int = 50
    width: int = 64
    heads: int = 4
    history_layers: int = 1
    layers: int = 1
    experts: int = 2
    expert_hidden: int = 64
    head_hidden: int = 64
    hash_width: int = 8
    tasks: int = 1
    dropout: float = 0.3
    beams: int = 50


class Memory(NamedTuple):
    """What the decoder reads of a history; made once a request, whatever the number of beams."""

    keys_values: list[tuple[Tensor, Tensor]]
    """Per decoder layer, of ``H = [H_seq; H_mm]``: ``[B, heads, 2T, d / heads]`` each."""
    aggregate: Tensor
    """h_agg ``[B, T, 2d]``; row t knows the events up to t."""


class DecoderLayer(nn.Module):
    """``x += γ · MHA(RMSNorm(x), H)``, then ``x += experts(RMSNorm(x))``; queries stay apart."""

    def __init__(self, config: UniRecConfig) -> None:
        super().__init__()
        self.attention_norm, self.expert_norm = RMSNorm(config.width), RMSNorm(config.width)
        self.attention = Attention(config.width, config.heads)
        self.gamma = nn.Parameter(torch.ones(()))
        self.experts = ExpertMixture(config.width, config.expert_hidden, config.experts)
        self.dropout = nn.Dropout(config.dropout)

    def keys_values(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """Of ``H [B, 2T, d]``, once a request."""
        return self.attention.keys_values(memory)

    def forward(self, x: Tensor, keys_values: tuple[Tensor, Tensor], seen: Tensor) -> Tensor:
        attended = self.attention(self.attention_norm(x), keys_values, seen)
        x = x + self.gamma * self.dropout(attended)
        out: Tensor = x + self.dropout(self.experts(self.expert_norm(x)))
        return out  # (B, Q, d)


class UniRec(Ranker):
    """See the module. Inside, items and tokens count from 1, and 0 is padding.

    Args:
        paths: ``[N, m + L]`` integers, each item's tokens, from 0.
        vocab_sizes: how many tokens each of the m + L positions has.
        prior: ``[N]``, decides between items of one path: their training events.
        config: sizes.
    """

    def __init__(
        self, paths: Tensor, vocab_sizes: Sequence[int], prior: Tensor, config: UniRecConfig
    ) -> None:
        super().__init__()
        self.config, self.vocab_sizes = config, tuple(vocab_sizes)
        self.num_items, self.steps = len(paths), len(self.vocab_sizes)
        self.trie = recops.SidTrie.from_sids(paths, vocab_sizes=self.vocab_sizes)
        self.paths: Tensor
        self.prior: Tensor
        self.register_buffer("paths", F.pad(paths.long() + 1, (0, 0, 1, 0)))  # (1 + N, m + L)
        self.register_buffer("prior", prior.float())

        d, m = config.width, config.attributes
        self.item = nn.Embedding(1 + self.num_items, d, padding_idx=0)
        self.token = nn.ModuleList(
            nn.Embedding(1 + size, d, padding_idx=0) for size in self.vocab_sizes
        )
        self.place = nn.Parameter(torch.empty(config.history, d))
        self.event = nn.Sequential(RMSNorm((1 + m) * d), nn.Linear((1 + m) * d, d))
        self.history = nn.ModuleList(
            CausalBlock(d, config.heads, config.dropout) for _ in range(config.history_layers)
        )
        self.history_norm = RMSNorm(d)
        self.content = nn.Sequential(nn.Linear((self.steps - m) * d, d), RMSNorm(d))
        self.aggregate_norm = RMSNorm(2 * d)

        self.task = nn.Embedding(config.tasks, d)
        self.position = nn.Parameter(torch.empty(self.steps, d))
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.layers))
        self.pairs = _summary_pairs(m, self.steps) if config.hash_width else []
        self.summary = nn.ModuleList(
            ContentSummary((self.vocab_sizes[i], self.vocab_sizes[j]), config.hash_width)
            for i, j in self.pairs
        )
        self.head = nn.ModuleList(self._rank_head(step) for step in range(self.steps))
        self.dropout = nn.Dropout(config.dropout)
        for table in (self.item, *self.token, self.task):
            nn.init.normal_(table.weight, std=d**-0.5)
        for weight in (self.place, self.position):
            nn.init.normal_(weight, std=d**-0.5)

    @property
    def window(self) -> int:
        """T."""
        return self.config.history

    def _rank_head(self, step: int) -> RankHead:
        d, config = self.config.width, self.config
        summaries = sum(j < step for _, j in self.pairs)
        fields = [d] * (1 + step) + [3 * config.hash_width] * summaries + [2 * d]
        return RankHead(fields, config.head_hidden, self.vocab_sizes[step], config.dropout)

    def encode(self, history: Tensor) -> Memory:
        """Read ``history [B, T]``, 1-based and right-padded with 0.

        ``h_i = Linear(RMSNorm([e_item ⊕ e_attributes])) + place``, then ``history_layers`` causal
        blocks; ``h_mm = RMSNorm(Linear([e_code ⊕ …]))``. Place embeddings are [I]. The pooling
        behind h_agg is, [I], the latest event beside the mean of all.
        """
        m, paths = self.config.attributes, self.paths[history]
        tokens = [table(paths[..., i]) for i, table in enumerate(self.token)]  # (B, T, d) each
        place = self.place[: history.shape[1]]
        events = self.dropout(self.event(torch.cat([self.item(history), *tokens[:m]], -1)) + place)
        for block in self.history:
            events = block(events)
        events = self.history_norm(events)
        content = self.dropout(self.content(torch.cat(tokens[m:], -1)))

        count = torch.arange(1, history.shape[1] + 1, device=history.device)[:, None]
        mean = (events + content).cumsum(1) / count
        aggregate = self.aggregate_norm(torch.cat([events, mean], -1))  # (B, T, 2d)
        memory = torch.cat([events, content], 1)  # (B, 2T, d)
        return Memory([layer.keys_values(memory) for layer in self._decoder_layers()], aggregate)

    def _decoder_layers(self) -> list[DecoderLayer]:
        return [layer for layer in self.layers if isinstance(layer, DecoderLayer)]

    def _decode(self, queries: Tensor, memory: Memory, seen: Tensor) -> Tensor:
        """Queries ``[B, Q, d]`` through the decoder; ``seen [.., Q, T]`` of H_seq and of H_mm."""
        both = torch.cat([seen, seen], -1)
        for layer, keys_values in zip(self.layers, memory.keys_values, strict=True):
            queries = layer(queries, keys_values, both)
        return queries

    def _head_inputs(
        self, step: int, query: Tensor, prefix: Tensor, aggregate: Tensor
    ) -> list[Tensor]:
        """What the rank head of a step reads: ``[q ⊕ e_prefix ⊕ c ⊕ h_agg]``, field by field.

        The summary's pairs are those of two tokens already decoded; a head has no input for others.
        """
        fields = [query, *(self.token[i](prefix[..., i]) for i in range(step))]
        for (i, j), summary in zip(self.pairs, self.summary, strict=True):
            if j < step:
                fields.append(summary(prefix[..., i], prefix[..., j]))
        return [*fields, aggregate]

    def _logits(self, step: int, query: Tensor, prefix: Tensor, aggregate: Tensor) -> Tensor:
        """``[.., V_step]``, by the step's own head."""
        out: Tensor = self.head[step](self._head_inputs(step, query, prefix, aggregate))
        return out

    def loss(self, history: Tensor, target: Tensor, task: int | Tensor = 0) -> Tensor:
        """Mean over targets of ``−Σ_t log p(x_t | x_<t, history)``, teacher-forced.

        Every prefix of a window is an example: target ``[B, T]`` item t follows history items up to
        t.
        """
        return -self.path_log_probs(history, target, task).sum(-1).mean()

    def path_log_probs(
        self, history: Tensor, target: Tensor, task: int | Tensor = 0, *, scope: GradScope = "all"
    ) -> Tensor:
        """``log p(x_t | x_<t, history, task)`` of given items, ``[targets, m + L]``.

        Row i is the i-th entry of ``target`` that is not 0, in row-major order; the sum of a row is
        ``log p(item)``, what beam search scores by.

        Args:
            history: ``[B, T]`` i64, 1-based items, right-padded with 0.
            target: ``[B, T]`` i64; target t is asked about after history items up to t; 0: nothing
                is asked.
            task: of all, ``[B]`` or ``[B, T]``.
            scope: what a gradient reaches; the values are the same.

        Raises:
            ValueError: there is no such task, or ``task`` has another shape.
        """
        memory = self.encode(history)
        width, steps = history.shape[1], self.steps
        paths = self.paths[target]  # (B, T, S)
        start = self._start(task, target.shape)
        inputs = [start, *(self.token[i](paths[..., i]) for i in range(steps - 1))]
        queries = torch.stack(inputs, 2) + self.position + self.place[:width, None]  # (B, T, S, d)
        seen = torch.ones(width, width, dtype=torch.bool, device=history.device).tril()
        decoded = self._decode(
            self.dropout(queries).flatten(1, 2), memory, seen.repeat_interleave(steps, 0)
        )
        there = target > 0
        decoded = decoded.unflatten(1, (width, steps))[there]  # (targets, S, d)
        paths, aggregate = paths[there], memory.aggregate[there]
        found = []
        for t in range(steps):
            inputs = self._head_inputs(t, decoded[:, t], paths, aggregate)
            if scope == "last_head":
                inputs = [field.detach() for field in inputs]
            logits: Tensor = self.head[t](inputs)
            log_prob = -F.cross_entropy(logits, paths[:, t] - 1, reduction="none")
            found.append(log_prob if scope == "all" or t == steps - 1 else log_prob.detach())
        return torch.stack(found, -1)

    def _start(self, task: int | Tensor, shape: torch.Size) -> Tensor:
        """BOS ``[B, T, d]`` of a task, of ``[B]`` tasks or of ``[B, T]``."""
        tasks = torch.as_tensor(task, device=self.position.device)
        if tasks.shape not in (torch.Size(), shape[:1], shape):
            raise ValueError(
                f"UniRec: task must be a number, {list(shape[:1])} or {list(shape)}, "
                f"got shape {list(tasks.shape)}"
            )
        rows = self.task.num_embeddings
        if tasks.numel() and not 0 <= int(tasks.min()) <= int(tasks.max()) < rows:
            worst = int(tasks.min()) if int(tasks.min()) < 0 else int(tasks.max())
            raise ValueError(f"UniRec: task must be from 0 to {rows - 1}, got {worst}")
        rows_of = tasks[:, None] if tasks.dim() == 1 else tasks
        out: Tensor = self.task(rows_of.expand(shape))
        return out

    def decode(
        self,
        history: Tensor,
        lengths: Tensor,
        k: int,
        met: Sequence[Tensor] | None = None,
        task: int | Tensor = 0,
    ) -> Ranking:
        """The ``k`` best items that beam search finds; scores are log p(path).

        ``task``: of all, or ``[B]``.
        """
        memory = self.encode(history)
        row = torch.arange(len(history))
        aggregate = memory.aggregate[row, lengths - 1][:, None]  # (B, 1, 2d)
        place = self.place[lengths - 1][:, None]  # (B, 1, d)
        seen = (torch.arange(history.shape[1]) < lengths[:, None])[:, None, None]  # (B, 1, 1, T)
        prefix = torch.zeros(len(history), 1, 0, dtype=torch.int64)
        start = self._start(task, torch.Size((len(history), 1)))

        def step(tokens: Tensor | None, parents: Tensor | None) -> Tensor:
            nonlocal prefix
            if tokens is None or parents is None:
                last = start
            else:  # A dead beam decodes on as some other one; the search ignores what it says.
                kept = prefix.take_along_dim(parents.long().clamp(min=0)[..., None], 1)
                prefix = torch.cat([kept, tokens.long().clamp(min=0)[..., None] + 1], -1)
                last = self.token[prefix.shape[-1] - 1](prefix[..., -1])
            t, beams = prefix.shape[-1], prefix.shape[1]
            query = self._decode(last + self.position[t] + place, memory, seen)
            return self._logits(t, query, prefix, aggregate.expand(-1, beams, -1))

        found = recops.constrained_beam_search(
            step,
            self.trie,
            batch_size=len(history),
            num_beams=max(k, self.config.beams),
            allowed=None if met is None else self.trie.mask(drop=list(met)),
            item_prior=self.prior,
        )
        return Ranking(found.item_ids[:, :k], found.scores[:, :k])


def _summary_pairs(attributes: int, steps: int) -> list[tuple[int, int]]:
    """Pairs (attribute, code) and (code, code) that are both decoded before the last step."""
    return [(i, j) for i, j in combinations(range(steps - 1), 2) if j >= attributes]
