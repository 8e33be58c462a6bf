"""The decoder of UniRec: the first query of a task, tokens of a path, and layers over a history."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import TypeAlias

import torch
from torch import Tensor, nn

from recops._host import reads_are_free
from recops_models.generative.unirec.config import UniRecConfig
from recops_models.layers.attention import Attention
from recops_models.layers.content_summary import ContentSummary
from recops_models.layers.dropout import Dropout
from recops_models.layers.experts import ExpertMixture
from recops_models.layers.padded_rows import draw_rows
from recops_models.layers.rms_norm import RMSNorm

KeysValues: TypeAlias = tuple[Tensor, Tensor]
"""Keys and values of ``H = [H_seq; H_mm]``, ``[B, heads, 2T, d / heads]`` each."""


class TaskStart(nn.Module):
    """Task-conditioned BOS (UniRec §5.1): ``e_BOS(task)``, task = objective · scenes + scene.

    ``config.bos`` selects the form: one row per task, as in the paper; ``E_obj[objective] +
    E_scene[scene]``, which also covers pairs without training data [I]; or one row for all tasks,
    an ablation.

    Example:
        >>> import torch
        >>> from recops_models.generative.unirec.config import UniRecConfig
        >>> from recops_models.generative.unirec.decoder import TaskStart
        >>> start = TaskStart(UniRecConfig(width=8, objectives=2))
        >>> start(1, torch.Size([3, 5])).shape
        torch.Size([3, 5, 8])
    """

    def __init__(self, config: UniRecConfig) -> None:
        super().__init__()
        self.tasks, self.scenes = config.tasks, config.scenes
        rows = {
            "table": [config.tasks],
            "factorised": [config.objectives, config.scenes],
            "shared": [1],
        }[config.bos]
        self.bos = config.bos
        self.tables = nn.ModuleList(nn.Embedding(count, config.width) for count in rows)
        for table in self.tables:
            assert isinstance(table, nn.Embedding)
            nn.init.normal_(table.weight, std=(config.width * len(rows)) ** -0.5)

    @property
    def distinct(self) -> int:
        """Number of tasks with different first queries."""
        return 1 if self.bos == "shared" else self.tasks

    def forward(self, task: int | Tensor, shape: torch.Size) -> Tensor:
        """Return the first queries ``[B, T, d]``.

        Args:
            task: one task for all, or ``[B]``, or ``[B, T]``.
            shape: (B, T).

        Raises:
            ValueError: ``task`` has another shape, or is out of range. The range of a tensor is
                checked on the CPU only, and not in compiled and exported programs.
        """
        first = self.tables[0]
        assert isinstance(first, nn.Embedding)
        device = first.weight.device
        tasks = task.to(device) if isinstance(task, Tensor) else torch.full((), task, device=device)
        if tasks.shape not in (torch.Size(), shape[:1], shape):
            raise ValueError(
                f"UniRec: task must be a number, {list(shape[:1])} or {list(shape)}, "
                f"got shape {list(tasks.shape)}"
            )
        if isinstance(task, int) or reads_are_free(tasks):
            self._check_range(task, tasks)
        tasks = (tasks[:, None] if tasks.dim() == 1 else tasks).expand(shape)
        rows = {
            "table": [tasks],
            "factorised": [tasks // self.scenes, tasks % self.scenes],
            "shared": [torch.zeros_like(tasks)],
        }[self.bos]
        parts = [table(row) for table, row in zip(self.tables, rows, strict=True)]
        out: Tensor = torch.stack(parts).sum(0)
        return out

    def _check_range(self, task: int | Tensor, tasks: Tensor) -> None:
        if not tasks.numel():
            return
        bounds = (task, task) if isinstance(task, int) else (tasks.min(), tasks.max())
        low, high = map(int, bounds)
        if low < 0 or high >= self.tasks:
            wrong = low if low < 0 else high
            raise ValueError(f"UniRec: task must be from 0 to {self.tasks - 1}, got {wrong}")


class PathTokens(nn.Module):
    """Token embeddings, and a step's inputs from the tokens before it (UniRec §5.2).

    A step reads the embedding of each earlier token (e_prefix), and the content summary c_t of each
    pair (attribute, code) or (code, code) among them. The paper has zeros for pairs that are not
    decoded yet; here a step has no input for them [I]. Tokens count from 1; 0 is padding.

    Args:
        vocab_sizes: number of tokens per position.
        config: sizes.

    Example:
        >>> import torch
        >>> from recops_models.generative.unirec.config import UniRecConfig
        >>> from recops_models.generative.unirec.decoder import PathTokens
        >>> tokens = PathTokens((4, 8, 8), UniRecConfig(width=8, hash_width=2))
        >>> prefix = torch.tensor([[1, 3]])  # an attribute and a code
        >>> [field.shape for field in tokens.fields(2, prefix)]  # two tokens and their summary
        [torch.Size([1, 8]), torch.Size([1, 8]), torch.Size([1, 6])]
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
        self.pairs: list[tuple[int, int]] = []
        if config.hash_width:
            earlier = combinations(range(len(vocab_sizes) - 1), 2)
            self.pairs = [(i, j) for i, j in earlier if j >= config.num_attributes]
        self.summary = nn.ModuleList(
            ContentSummary((vocab_sizes[i], vocab_sizes[j]), config.hash_width)
            for i, j in self.pairs
        )

    def embed(self, step: int, tokens: Tensor) -> Tensor:
        """Return embeddings ``[…, d]`` of tokens ``[…]`` at position ``step``."""
        out: Tensor = self.token[step](tokens)
        return out

    def embed_all(self, paths: Tensor) -> list[Tensor]:
        """Return embeddings ``[…, d]`` per position, for paths ``[…, S]``."""
        return [self.embed(step, paths[..., step]) for step in range(len(self.token))]

    def fields(self, step: int, prefix: Tensor) -> list[Tensor]:
        """Return e_prefix and c_t of a step, one tensor per token and per pair.

        Args:
            step: t.
            prefix: tokens ``[…, ≥ step]``.
        """
        fields = [self.embed(i, prefix[..., i]) for i in range(step)]
        for (i, j), summary in zip(self.pairs, self.summary, strict=True):
            if j < step:
                fields.append(summary(prefix[..., i], prefix[..., j]))
        return fields

    def widths(self, step: int) -> list[int]:
        """Return the widths of :meth:`fields`."""
        return [self.width] * step + [self.summary_width] * sum(j < step for _, j in self.pairs)


class DecoderLayer(nn.Module):
    """``x += γ · attention(RMSNorm(x), H)``, then ``x += experts(RMSNorm(x))``.

    Queries do not attend to each other. γ is a parameter that starts at 1 [I]. Attention scores are
    divided by √(d / heads); the sources print √d.

    Example:
        >>> import torch
        >>> from recops_models.generative.unirec.config import UniRecConfig
        >>> from recops_models.generative.unirec.decoder import DecoderLayer
        >>> layer = DecoderLayer(UniRecConfig(width=8, heads=2))
        >>> keys_values = layer.attention.keys_values(torch.randn(3, 10, 8))
        >>> layer(torch.randn(3, 1, 8), keys_values, torch.ones(1, 10, dtype=torch.bool)).shape
        torch.Size([3, 1, 8])
    """

    def __init__(self, config: UniRecConfig) -> None:
        super().__init__()
        self.attention_norm, self.expert_norm = RMSNorm(config.width), RMSNorm(config.width)
        self.attention = Attention(config.width, config.heads)
        self.gamma = nn.Parameter(torch.ones(()))
        self.experts = ExpertMixture(config.width, config.expert_hidden, config.experts)
        self.dropout = Dropout(config.dropout)

    def forward(self, x: Tensor, keys_values: KeysValues, visible: Tensor) -> Tensor:
        attended = self.attention(self.attention_norm(x), keys_values, visible)
        x = x + self.gamma * self.dropout(attended)
        out: Tensor = x + self.dropout(self.experts(self.expert_norm(x)))
        return out  # (B, Q, d)


class PathDecoder(nn.Module):
    """Stack of ``config.layers`` decoder layers over one encoded history.

    Example:
        >>> import torch
        >>> from recops_models.generative.unirec.config import UniRecConfig
        >>> from recops_models.generative.unirec.decoder import PathDecoder
        >>> decoder = PathDecoder(UniRecConfig(width=8, heads=2))
        >>> memory = decoder.keys_values(events=torch.randn(3, 5, 8), content=torch.randn(3, 5, 8))
        >>> decoder(torch.randn(3, 1, 8), memory, torch.ones(1, 5, dtype=torch.bool)).shape
        torch.Size([3, 1, 8])
    """

    def __init__(self, config: UniRecConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(config.layers))

    def keys_values(self, events: Tensor, content: Tensor) -> list[KeysValues]:
        """Return each layer's keys and values of H_seq and H_mm ``[B, T, d]``.

        They are computed once per request and shared by all its beams.
        """
        memory = torch.cat([events, content], 1)  # (B, 2T, d)
        pairs = []
        for layer in self.layers:
            assert isinstance(layer, DecoderLayer)
            pairs.append(layer.attention.keys_values(memory))
        return pairs

    def forward(self, queries: Tensor, memory: Sequence[KeysValues], visible: Tensor) -> Tensor:
        """Decode queries ``[B, Q, d]``.

        Args:
            queries: ``[B, Q, d]``.
            memory: keys and values per layer.
            visible: ``[.., Q, T]`` bool, events that each query may read.
        """
        both = torch.cat([visible, visible], -1)  # once for H_seq, once for H_mm
        for layer, keys_values in zip(self.layers, memory, strict=True):
            queries = layer(queries, keys_values, both)
        return queries
