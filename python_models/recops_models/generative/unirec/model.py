"""UniRec put together: log-probabilities of paths to learn from, beams of paths to recommend."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import recops
from recops_models.generative.path_ranker import GradScope, PathRanker
from recops_models.generative.ranker import Ranking, check_lengths
from recops_models.generative.speller import of_beams, search
from recops_models.generative.told import Told
from recops_models.generative.unirec.config import UniRecConfig
from recops_models.generative.unirec.decoder import PathDecoder
from recops_models.generative.unirec.history import HistoryEncoder, Read, event_std
from recops_models.generative.unirec.item_scores import ItemScores
from recops_models.generative.unirec.prefix import Prefix
from recops_models.generative.unirec.start import TaskStart
from recops_models.generative.unirec.static import UserFields
from recops_models.generative.unirec.trie_check import check_trie
from recops_models.layers.dropout import Dropout
from recops_models.layers.rank_head import RankHead

_USER_FIELD_WIDTH = 16
_STATE = 2
"""Where :meth:`UniRec.read` has the state."""


class UniRec(PathRanker):
    """See the package. Inside, items, tokens and users count from 1, and 0 is padding.

    Args:
        paths: ``[N, m + L]`` integers, each item's tokens, from 0.
        vocab_sizes: how many tokens each of the m + L positions has.
        prior: ``[N]``, each item's training events: of items of one path the first has the most.
            What has none begins at zero, and has no score of its own.
        config: sizes.
        users: ``[1 + U, F]`` i64, fields of users, see :class:`UserFields`; None: nothing is known
            of them.

    Raises:
        ValueError: paths, sizes, prior or attributes that do not fit each other.
    """

    def __init__(
        self,
        paths: Tensor,
        vocab_sizes: Sequence[int],
        prior: Tensor,
        config: UniRecConfig,
        users: Tensor | None = None,
    ) -> None:
        super().__init__()
        _check(paths, vocab_sizes, prior, config)
        self.config, self.vocab_sizes = config, tuple(vocab_sizes)
        self.num_items, self.steps = len(paths), len(self.vocab_sizes)
        self.trie = recops.SidTrie.from_sids(paths, vocab_sizes=self.vocab_sizes)
        self.paths: Tensor
        self.prior: Tensor
        self.register_buffer("paths", F.pad(paths.long() + 1, (0, 0, 1, 0)))  # (1 + N, m + L)
        self.register_buffer("prior", prior.float())

        d = config.width
        self.item = nn.Embedding(1 + self.num_items, d, padding_idx=0)
        self.prefix = Prefix(self.vocab_sizes, config)
        self.user = None if users is None else UserFields(users, _USER_FIELD_WIDTH)
        static = 0 if self.user is None else self.user.width
        self.history = HistoryEncoder(self.steps - config.num_attributes, static, config)
        self.start = TaskStart(config)
        self.position = nn.Parameter(torch.empty(self.steps, d))
        self.decoder = PathDecoder(config)
        self.head = nn.ModuleList(
            RankHead(
                [d, *self.prefix.widths(step), 2 * d + static],
                config.head_hidden,
                self.vocab_sizes[step],
                config.dropout,
            )
            for step in range(self.steps)
        )
        self.scores = ItemScores(self.prior, config) if config.item_scores else None
        self.dropout = Dropout(config.dropout)
        nn.init.normal_(self.item.weight, std=event_std(config))
        with torch.no_grad():  # A row that no event teaches says nothing, rather than anything.
            self.item.weight[F.pad(self.prior, (1, 0)) == 0] = 0
        nn.init.normal_(self.position, std=d**-0.5)

    @property
    def window(self) -> int:
        """T."""
        return self.config.history

    @property
    def beams(self) -> int:
        """Paths that a request follows, unless more items are asked for."""
        return self.config.beams

    @property
    def told(self) -> Told:
        """The tasks that have a start of their own, and the users whose fields it has."""
        tasks = self.start.apart
        users = 0 if self.user is None else len(self.user.values) - 1
        return Told(tasks if tasks > 1 else 0, users)

    def encode(self, history: Tensor, user: Tensor | None = None) -> Read:
        """Read ``history [B, T]``, 1-based and right-padded with 0, of users ``[B]``, 1-based; None
        is nobody.
        """
        static = None
        if self.user is not None:
            nobody = torch.zeros(history.shape[0], dtype=torch.int64, device=history.device)
            static = self.user(nobody if user is None else user)
        tokens = self.prefix.embed_all(self.paths[history])  # (B, T, d) each
        known = history.where(history < self.item.num_embeddings, 0)
        read: Read = self.history(self.item(known), tokens, static)
        return read

    def over(self, paths: Tensor, prior: Tensor, trie: recops.SidTrie) -> UniRec:
        """The same network, weights shared, over another catalogue of items.

        An item that has no row in the item table, as its index is past those of training, is zero
        there: of such an event the history tells the tokens alone, its attributes and its codes.

        Args:
            paths: ``[N', m + L]`` integers, from 0: of items by index, those of training first.
            prior: ``[N']``, by index.
            trie: whose item ids are such indices, all of them or some.

        Raises:
            ValueError: a trie of other paths or items (of many items some are looked up), paths
                outside the model's vocabularies, or another length of prior.
        """
        _check(paths, self.vocab_sizes, prior, self.config)
        check_trie(trie, paths, self.vocab_sizes)
        view = copy.copy(self)
        view._buffers = dict(self._buffers)
        view.paths = F.pad(paths.long() + 1, (0, 0, 1, 0))
        view.prior = prior.new_empty(trie.num_items, dtype=torch.float32)
        view.prior[trie.item_rows.long()] = prior.float()[trie.item_ids]
        view.num_items, view.trie = len(paths), trie
        return view

    def loss(
        self,
        history: Tensor,
        target: Tensor,
        task: int | Tensor = 0,
        *,
        user: Tensor | None = None,
    ) -> Tensor:
        """Mean over targets of ``−Σ_t log p(x_t | x_<t, history)``, teacher-forced, and beside it
        ``config.item_loss`` times the loss of :class:`~.item_scores.ItemScores`.

        Every prefix of a window is an example: target ``[B, T]`` item t follows history items up to
        t.
        """
        return -self.target_log_probs(history, target, task, user=user).mean()

    def target_log_probs(
        self,
        history: Tensor,
        target: Tensor,
        task: int | Tensor = 0,
        *,
        user: Tensor | None = None,
    ) -> Tensor:
        """See :meth:`PathRanker.target_log_probs`; the history is read once for both losses."""
        read = self.encode(history, user)
        paths = self._path_log_probs(read, target, task, "all").sum(-1)
        if self.scores is None:
            return paths
        there = target > 0
        own = self.scores.loss(read.state[there], target[there], self.item)
        return paths - self.config.item_loss * own

    def path_log_probs(
        self,
        history: Tensor,
        target: Tensor,
        task: int | Tensor = 0,
        *,
        user: Tensor | None = None,
        scope: GradScope = "all",
    ) -> Tensor:
        """See :meth:`PathRanker.path_log_probs`."""
        return self._path_log_probs(self.encode(history, user), target, task, scope)

    def _path_log_probs(
        self, read: Read, target: Tensor, task: int | Tensor, scope: GradScope
    ) -> Tensor:
        width, steps = target.shape[1], self.steps
        paths = self.paths[target]  # (B, T, S)
        inputs = [
            self.start(task, target.shape),
            *(self.prefix.embed(step, paths[..., step]) for step in range(steps - 1)),
        ]
        place = self.history.place[:width, None]
        queries = torch.stack(inputs, 2) + self.position + place  # (B, T, S, d)
        seen = torch.ones(width, width, dtype=torch.bool, device=target.device).tril()
        decoded = self.decoder(
            self.dropout(queries).flatten(1, 2),
            self.decoder.keys_values(read.events, read.content),
            seen.repeat_interleave(steps, 0),
        )
        there = target > 0
        decoded = decoded.unflatten(1, (width, steps))[there]  # (targets, S, d)
        paths, aggregate = paths[there], read.aggregate[there]
        found = []
        for step in range(steps):
            fields = self._head_inputs(step, decoded[:, step], paths, aggregate)
            if scope == "last_head":
                fields = [field.detach() for field in fields]
            logits = self._logits(step, fields)
            log_prob = -F.cross_entropy(logits, paths[:, step] - 1, reduction="none")
            found.append(log_prob if scope == "all" or step == steps - 1 else log_prob.detach())
        return torch.stack(found, -1)

    def decode(
        self,
        history: Tensor,
        lengths: Tensor,
        k: int,
        met: Sequence[Tensor] | None = None,
        task: int | Tensor = 0,
        *,
        user: Tensor | None = None,
    ) -> Ranking:
        """The ``k`` best of the items that beam search finds.

        Scores are log p(path), plus ``config.item_scores`` times those of
        :class:`~.item_scores.ItemScores`.

        Args:
            history: see :meth:`Ranker.decode`, as for ``lengths``, ``k`` and ``met``.
            task: of all, or ``[B]``.
            user: ``[B]`` i64, 1-based; 0 or None: nobody.

        Raises:
            ValueError: a history is empty; there is no such task.
        """
        check_lengths("UniRec", lengths)
        read = self.read(history, lengths, task, user=user)
        found = search(self, read, beams=max(k, self.beams), banned=met)
        return Ranking(found.item_ids[:, :k], found.scores[:, :k])

    def read(
        self,
        history: Tensor,
        lengths: Tensor,
        task: int | Tensor = 0,
        *,
        user: Tensor | None = None,
    ) -> list[Tensor]:
        """What the decoder reads of requests, computed once and shared by all beams.

        The first query, place and the state of the history ``[B, 1, d]`` each, h_agg
        ``[B, 1, ·]``, the events known ``[B, 1, 1, T]``, and keys and values a layer
        ``[B, heads, 2T, d / heads]``.
        """
        read = self.encode(history, user)
        requests = history.shape[0]  # len() would trace as a constant.
        row, last = torch.arange(requests, device=history.device), lengths - 1
        seen = torch.arange(history.shape[1], device=history.device) < lengths[:, None]
        memory = self.decoder.keys_values(read.events, read.content)
        return [
            self.start(task, torch.Size((requests, 1))),
            self.history.place[last][:, None],
            read.state[row, last][:, None],
            read.aggregate[row, last][:, None],
            seen[:, None, None],
            *(tensor for pair in memory for tensor in pair),
        ]

    def spell(
        self,
        read: Sequence[Tensor],
        kept: Sequence[Tensor],
        tokens: Tensor | None,
        parents: Tensor | None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Logits ``[B, M, V]`` of each beam's next token, and its prefix ``[B, M, t]``.

        Args:
            read: of :meth:`read`.
            kept: the prefixes that the step before gave; empty at first.
            tokens: ``[B, M]`` i32, by which each beam grew; −1: the beam is dead, and decodes on as
                some other one, which the search ignores. None at first.
            parents: ``[B, M]`` i32, which of the step before's beams it was.
        """
        start, place, _, aggregate, seen, *flat = read
        if tokens is None or parents is None:
            prefix = torch.zeros(start.shape[0], 1, 0, dtype=torch.int64, device=start.device)
            last = start
        else:
            prefix = torch.cat(
                [of_beams(kept[0], parents), tokens.long().clamp(min=0)[..., None] + 1], -1
            )
            last = self.prefix.embed(prefix.shape[-1] - 1, prefix[..., -1])
        step, beams = prefix.shape[-1], prefix.shape[1]
        memory = list(zip(flat[::2], flat[1::2], strict=True))
        query = self.decoder(last + self.position[step] + place, memory, seen)
        fields = self._head_inputs(step, query, prefix, aggregate.expand(-1, beams, -1))
        return self._logits(step, fields), [prefix]

    def rescore(self, read: Sequence[Tensor], items: Tensor) -> Tensor:
        """``config.item_scores`` times :class:`~.item_scores.ItemScores` of ``items [B, k]``; see
        :meth:`~recops_models.generative.speller.Rescorer.rescore`.
        """
        state = read[_STATE][:, 0]
        if self.scores is None:
            return state.new_zeros(items.shape)
        own: Tensor = self.scores(state, items + 1, self.item)
        return self.config.item_scores * own

    def _head_inputs(
        self, step: int, query: Tensor, prefix: Tensor, aggregate: Tensor
    ) -> list[Tensor]:
        """What the rank head of a step reads: ``[q ⊕ e_prefix ⊕ c ⊕ h_agg]``, field by field."""
        return [query, *self.prefix.fields(step, prefix), aggregate]

    def _logits(self, step: int, fields: list[Tensor]) -> Tensor:
        """``[.., V_step]``, by the step's own head."""
        out: Tensor = self.head[step](fields)
        return out


def _check(paths: Tensor, vocab_sizes: Sequence[int], prior: Tensor, config: UniRecConfig) -> None:
    if paths.ndim != 2 or paths.shape[1] != len(vocab_sizes):
        raise ValueError(
            f"UniRec: paths must be [N, {len(vocab_sizes)}], a token for each of vocab_sizes, got "
            f"{list(paths.shape)}"
        )
    if config.num_attributes >= len(vocab_sizes):
        raise ValueError(
            f"UniRec: num_attributes must leave a code in paths of {len(vocab_sizes)} tokens, got "
            f"{config.num_attributes}"
        )
    if prior.shape != paths.shape[:1]:
        raise ValueError(f"UniRec: prior must be [{len(paths)}], got {list(prior.shape)}")
