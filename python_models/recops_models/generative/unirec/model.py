"""The UniRec network: log-probabilities of paths for training, encoded requests for decoding.

A path has S = m + L tokens. The history is encoded once per request::

    events [B, T] ──► item table, token tables     fields [B, F] ──► UserFields
                               ▼                                         ▼
                         HistoryEncoder ──────────────► h_agg [B, T, 2d + static]
                               ▼ H_seq, H_mm [B, T, d]

         keys and values per decoder layer [B, heads, 2T, d / heads]

Step t of S predicts token x_t from the tokens before it::

    t = 1: task ────► TaskStart ────┐
    t > 1: x_{t-1} ──► token table ─┴─► query (+ positions of t and of the last event, + root)
                                          ▼
                keys and values ────► PathDecoder
                                          ▼ q_t

                h_agg ─► RankHead t: [q_t ⊕ e_prefix ⊕ c_t ⊕ h_agg] ─► logits [V_t]

Beam search follows the trie of all paths. :class:`~.item_scores.ItemScores` then rescores the items
that it found, with the last state of the history. ``candidates`` adds the items with the highest
item scores, and those of an item-kNN.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import recops
from recops_models import workers
from recops_models.generative.candidates import with_candidates
from recops_models.generative.item_rows import rows_or, with_padding
from recops_models.generative.path_ranker import (
    GradScope,
    PathRanker,
    RequestInputs,
    gather_beams,
)
from recops_models.generative.ranker import Ranking, top_unseen
from recops_models.generative.trie_check import check_trie
from recops_models.generative.unirec.config import UniRecConfig
from recops_models.generative.unirec.decoder import KeysValues, PathDecoder, PathTokens, TaskStart
from recops_models.generative.unirec.history import (
    HistoryEncoder,
    HistoryEncoding,
    UserFields,
    event_std,
)
from recops_models.generative.unirec.item_scores import ItemScores
from recops_models.generative.unirec.item_table import ItemTable, checked_content
from recops_models.generative.unirec.roots import Roots, marginal_log_probs
from recops_models.generative.windows import at_rows, target_rows
from recops_models.layers.dropout import Dropout
from recops_models.layers.rank_head import RankHead

if TYPE_CHECKING:
    from recops_models.generative.item_knn import ItemKNN

_USER_FIELD_WIDTH = 16
_OF_THE_DATA = ("paths", "prior", "user.values", "item.content")
"""Stored values that are not learned."""


class EncodedRequests(NamedTuple):
    """Tensors that decoding reads of B requests.

    Example:
        >>> import torch
        >>> from recops_models.generative.unirec import UniRec, UniRecConfig
        >>> from recops_models.generative.unirec.model import EncodedRequests
        >>> config = UniRecConfig(num_attributes=0, history=4, width=8, heads=2)
        >>> model = UniRec(torch.tensor([[0, 0], [0, 1]]), (2, 2), torch.ones(2), config)
        >>> tensors = model.encode_requests(torch.tensor([[1, 2, 0, 0]]), torch.tensor([2]))
        >>> EncodedRequests.from_tensors(tensors).state.shape
        torch.Size([1, 1, 8])
    """

    start: Tensor
    """First query ``[B, 1, d]``, before positions are added."""
    position: Tensor
    """Position embedding of the last event, ``[B, 1, d]``."""
    state: Tensor
    """State of the history after its last event, ``[B, 1, d]``."""
    aggregate: Tensor
    """h_agg after the last event, ``[B, 1, 2d + static]``."""
    visible: Tensor
    """``[B, 1, 1, T]`` bool, False for padding."""
    memory: list[KeysValues]
    """Keys and values per decoder layer."""
    history: Tensor | None = None
    """``[B, T]`` i64, if item-kNN reads it."""

    def tensors(self) -> list[Tensor]:
        """Return the tensors in order, at the end the keys and values, and the history if any."""
        start, position, state, aggregate, visible, memory, history = self
        last = [] if history is None else [history]
        pairs = (x for pair in memory for x in pair)
        return [start, position, state, aggregate, visible, *pairs, *last]

    @classmethod
    def from_tensors(cls, tensors: Sequence[Tensor]) -> EncodedRequests:
        """Return the encoded requests with these :meth:`tensors`."""
        start, position, state, aggregate, visible, *others = tensors
        history = others.pop() if len(others) % 2 else None  # Keys and values are an even number.
        pairs = list(zip(others[::2], others[1::2], strict=True))
        return cls(start, position, state, aggregate, visible, pairs, history)


class UniRec(PathRanker):
    """Decoder of attributes and codes; see the module. Items, tokens and users count from 1.

    Args:
        paths: ``[N, m + L]`` integers, tokens of each item, from 0.
        vocab_sizes: number of tokens at each of the m + L positions.
        prior: ``[N]``, number of training events per item. Among items with one path, higher ranks
            first. An item with 0 starts from a zero embedding and has no item score.
        config: sizes.
        users: ``[1 + U, F]`` i64, fields of users, see :class:`UserFields`; None: no fields.
        field_sizes: number of values of each field; None: the largest in ``users``.
        item_knn: item-kNN of the N items, if ``config.candidates`` names it.
        content: ``[N, D]``, content vectors of the items; read with ``config.item_content`` only.

    Raises:
        ValueError: paths, vocabulary sizes, prior and number of attributes do not fit each other;
            ``item_knn`` is missing, superfluous, or of another number of items; ``content`` is
            missing, or of another shape.

    Example:
        >>> import torch
        >>> from recops_models.generative.unirec import UniRec, UniRecConfig
        >>> paths = torch.tensor([[0, 0, 1], [0, 1, 0], [1, 1, 1]])  # an attribute, two codes
        >>> config = UniRecConfig(num_attributes=1, history=4, width=8, heads=2)
        >>> model = UniRec(paths, (2, 2, 2), torch.ones(3), config)
        >>> history, target = torch.tensor([[1, 2, 0, 0]]), torch.tensor([[2, 3, 0, 0]])
        >>> model.loss(history, target).backward()
        >>> sorted(model.eval().decode(history, torch.tensor([2]), k=3).items[0].tolist())
        [0, 1, 2]
    """

    rescores: ClassVar[bool] = True

    def __init__(
        self,
        paths: Tensor,
        vocab_sizes: Sequence[int],
        prior: Tensor,
        config: UniRecConfig,
        users: Tensor | None = None,
        field_sizes: Sequence[int] | None = None,
        item_knn: ItemKNN | None = None,
        content: Tensor | None = None,
    ) -> None:
        super().__init__()
        _check(paths, vocab_sizes, prior, config)
        content = checked_content("UniRec", content, len(paths)) if config.item_content else None
        _check_item_knn(item_knn, len(paths), config)
        self.config, self.vocab_sizes = config, tuple(vocab_sizes)
        self.num_items, self.steps = len(paths), len(self.vocab_sizes)
        self.trie = recops.SidTrie.from_sids(paths, vocab_sizes=self.vocab_sizes)
        self.register_buffer("paths", F.pad(paths.long() + 1, (0, 0, 1, 0)))  # (1 + N, m + L)
        self.register_buffer("prior", prior.float())

        d = config.width
        self.item = ItemTable(self.num_items, d, content)
        self.prefix = PathTokens(self.vocab_sizes, config)
        self.user = None
        if users is not None:
            self.user = UserFields(users, _USER_FIELD_WIDTH, field_sizes)
        static = 0 if self.user is None else self.user.width
        self.history = HistoryEncoder(self.steps - config.num_attributes, static, config)
        self.start = TaskStart(config)
        self.position = nn.Parameter(torch.empty(self.steps, d))
        self.decoder = PathDecoder(config)
        self.roots = Roots(config.roots, d, 2 * d + static) if config.roots > 1 else None
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
        self.item_knn = item_knn
        self.dropout = Dropout(config.dropout)
        nn.init.normal_(self.item.weight, std=event_std(config))
        with torch.no_grad():  # Without training events a random row would be noise.
            self.item.weight[F.pad(self.prior, (1, 0)) == 0] = 0
        nn.init.normal_(self.position, std=d**-0.5)

    @property
    def window(self) -> int:
        """T, the number of events that are read."""
        return self.config.history

    def item_vectors(self) -> Tensor:
        """See :meth:`Ranker.item_vectors`; item and token embeddings, concatenated."""
        tokens = self.prefix.embed_all(self.paths[1:])
        return torch.cat([self.item.all_items(), *tokens], -1).detach()

    @property
    def beams(self) -> int:
        """Beams per request; a request for more items uses more."""
        return self.config.beams

    @property
    def ranks_beams_only(self) -> bool:
        """See :attr:`PathRanker.ranks_beams_only`."""
        return self.config.candidates == "beams"

    @property
    def inputs(self) -> RequestInputs:
        """Tasks with different first queries, and users with fields."""
        tasks = self.start.distinct
        users = 0 if self.user is None else len(self.user.values) - 1
        return RequestInputs(tasks if tasks > 1 else 0, users)

    def encode(self, history: Tensor, user: Tensor | None = None) -> HistoryEncoding:
        """Encode histories.

        Args:
            history: ``[B, T]`` i64, 1-based items, right-padded with 0. Items that were added after
                training have tokens, and the item embedding of their content, or else zero.
            user: ``[B]`` i64, 1-based; 0 or None: unknown.
        """
        static = None
        if self.user is not None:
            unknown = torch.zeros(history.shape[0], dtype=torch.int64, device=history.device)
            static = self.user(unknown if user is None else user)
        tokens = self.prefix.embed_all(self.paths[history])  # (B, T, d) each
        encoded: HistoryEncoding = self.history(self.item(history), tokens, static)
        return encoded

    def with_catalogue(
        self,
        paths: Tensor,
        prior: Tensor,
        trie: recops.SidTrie,
        content: Tensor | None = None,
    ) -> UniRec:
        """Return this network, with the same weights, over another catalogue.

        Items without a row in the item table, which were added after training, get the embedding of
        their content. Without ``config.item_content`` it is zero: a history reads only their
        attributes and codes.

        Args:
            paths: ``[N', m + L]`` integers, from 0, by item index; the items of training first.
            prior: ``[N']``, by item index.
            trie: its item ids are item indices, all or some of them.
            content: ``[N' − N, D]``, content vectors of the items that were added after training;
                read with ``config.item_content`` only.

        Raises:
            ValueError: the trie or the paths do not fit the model, see
                :func:`~recops_models.generative.trie_check.check_trie`; ``prior`` has another
                length; ``content`` is missing, or of another shape.
        """
        _check(paths, self.vocab_sizes, prior, self.config)
        new_items = len(paths) + 1 - self.item.num_embeddings
        device = self.paths.device
        paths, prior, trie = paths.to(device), prior.to(device), trie.to(device)
        check_trie("UniRec.with_catalogue", trie, paths, self.vocab_sizes)
        table = self.item
        if new_items and table.content is not None:
            width = table.content.shape[1]
            content = checked_content("UniRec.with_catalogue", content, new_items, width)
            table = table.with_new_items(content)
        view = copy.copy(self)
        view._modules = {**self._modules, "item": table}
        view._buffers = dict(self._buffers)  # so that new buffers do not replace those of self
        view.paths = F.pad(paths.long() + 1, (0, 0, 1, 0))
        view.prior = prior.new_empty(trie.num_items, dtype=torch.float32)
        view.prior[trie.item_rows.long()] = prior.float()[trie.item_ids]
        view.num_items, view.trie = len(paths), trie
        return view

    def with_paths(
        self,
        rows: Tensor,
        paths: Tensor,
        *,
        prior: Tensor | None = None,
        users: Tensor | None = None,
        content: Tensor | None = None,
    ) -> UniRec:
        """See :meth:`PathRanker.with_paths`; the learned row of a new item is zero.

        ``users`` are fields ``[1 + U', F]`` of the users; None: those of this model. ``content
        [N', D]`` are content vectors, which ``config.item_content`` needs.
        """
        from recops_models.training.device import to_host  # Loading a model needs no training code.

        sizes = None
        if self.user is not None:
            users = self.user.values if users is None else users
            sizes = self.user.sizes
        prior = rows_or(self.prior, rows, 0) if prior is None else prior
        fields = None if users is None else to_host(users)
        item_knn = None if self.item_knn is None else self.item_knn.with_items(rows)
        with torch.random.fork_rng(devices=[]):
            model = UniRec(
                to_host(paths),
                self.vocab_sizes,
                to_host(prior),
                self.config,
                fields,
                sizes,
                item_knn,
                None if content is None else to_host(content),
            ).to(self.paths.device)
        weights, new = self.state_dict(), model.state_dict()
        for name in ("item.weight", "scores.bias.weight"):
            if name in weights:
                weights[name] = rows_or(weights[name], with_padding(rows), 0)
        for name in weights:
            if name in _OF_THE_DATA or name.startswith("item_knn."):
                weights[name] = new[name]
        model.load_state_dict(weights)
        return model.train(self.training)

    def loss(
        self,
        history: Tensor,
        target: Tensor,
        task: int | Tensor = 0,
        *,
        user: Tensor | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """Return the mean of ``−log p(path)`` over targets, plus the loss of item scores.

        The latter is weighted by ``config.item_loss``; see :class:`~.item_scores.ItemScores`. Every
        prefix of a window is an example: ``target[b, t]`` follows ``history[b, : t + 1]``.
        """
        log_probs = self.target_log_probs(history, target, task, user=user, rows=rows)
        return -workers.share_of_mean(log_probs)

    def target_log_probs(
        self,
        history: Tensor,
        target: Tensor,
        task: int | Tensor = 0,
        *,
        user: Tensor | None = None,
        rows: Tensor | None = None,
    ) -> Tensor:
        """Return ``log p(path)`` less the weighted loss of item scores, ``[targets]``."""
        encoded = self.encode(history, user)
        rows = target_rows(target) if rows is None else rows
        paths = self._path_log_probs(encoded, target, task, "all", rows).sum(-1)
        if self.scores is None:
            return paths
        state, items = at_rows(encoded.state, rows), at_rows(target, rows)
        item_loss = self.scores.loss(state, items, self.item)
        return paths - self.config.item_loss * item_loss

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
        """See :meth:`PathRanker.path_log_probs`."""
        rows = target_rows(target) if rows is None else rows
        return self._path_log_probs(self.encode(history, user), target, task, scope, rows)

    def _path_log_probs(
        self,
        encoded: HistoryEncoding,
        target: Tensor,
        task: int | Tensor,
        scope: GradScope,
        rows: Tensor,
    ) -> Tensor:
        length, steps = target.shape[1], self.steps
        paths = self.paths[target]  # (B, T, S)
        inputs = [
            self.start(task, target.shape),
            *(self.prefix.embed(step, paths[..., step]) for step in range(steps - 1)),
        ]
        event_position = self.history.place[:length, None]
        queries = torch.stack(inputs, 2) + self.position + event_position  # (B, T, S, d)
        if self.roots is not None:
            queries = self.roots.queries(queries)  # (B, T, S, R, d)
        per_event = queries.shape[2:-1]
        visible = torch.ones(length, length, dtype=torch.bool, device=target.device).tril()
        decoded = self.decoder(
            self.dropout(queries).flatten(1, -2),
            self.decoder.keys_values(encoded.events, encoded.content),
            visible.repeat_interleave(per_event.numel(), 0),
        )
        # (targets, S, d), or (targets, S, R, d)
        decoded = at_rows(decoded.unflatten(1, (length, *per_event)), rows)
        paths, aggregate = at_rows(paths, rows), at_rows(encoded.aggregate, rows)
        log_probs = []
        for step in range(steps):
            fields = self._head_fields(step, decoded[:, step], paths, aggregate)
            if scope == "last_head":
                fields = [field.detach() for field in fields]
            logits = self._logits(step, fields)
            log_prob = _token_log_probs(logits, paths[:, step] - 1)
            is_trained = scope == "all" or step == steps - 1
            log_probs.append(log_prob if is_trained else log_prob.detach())
        if self.roots is None:
            return torch.stack(log_probs, -1)
        log_prior = self.roots.log_prior(aggregate)
        log_prior = log_prior if scope == "all" else log_prior.detach()
        return marginal_log_probs(log_prior, torch.stack(log_probs, 1))

    def encode_requests(
        self,
        history: Tensor,
        lengths: Tensor,
        task: int | Tensor = 0,
        *,
        user: Tensor | None = None,
    ) -> list[Tensor]:
        """See :meth:`PathRanker.encode_requests`; the tensors of an :class:`EncodedRequests`."""
        encoded = self.encode(history, user)
        requests = history.shape[0]  # torch.export would trace len() as a constant.
        row, last = torch.arange(requests, device=history.device), lengths - 1
        visible = torch.arange(history.shape[1], device=history.device) < lengths[:, None]
        return EncodedRequests(
            start=self.start(task, torch.Size((requests, 1))),
            position=self.history.place[last][:, None],
            state=encoded.state[row, last][:, None],
            aggregate=encoded.aggregate[row, last][:, None],
            visible=visible[:, None, None],
            memory=self.decoder.keys_values(encoded.events, encoded.content),
            history=None if self.item_knn is None else history,
        ).tensors()

    def next_token_logits(
        self,
        encoded: Sequence[Tensor],
        state: Sequence[Tensor],
        tokens: Tensor | None,
        parents: Tensor | None,
    ) -> tuple[Tensor, list[Tensor]]:
        """See :meth:`PathRanker.next_token_logits`; the state is each beam's tokens ``[B, M, t]``.

        The state counts tokens from 1. A dead beam decodes token 1, which the search ignores. With
        several roots the state also has ``ln p(r) p(x_≤t | r, h)`` of each next token, ``[B, M, V,
        R]``, and the logits are log-probabilities, marginal over the roots.
        """
        requests = EncodedRequests.from_tensors(encoded)
        start = requests.start
        if tokens is None or parents is None:
            prefix = torch.zeros(start.shape[0], 1, 0, dtype=torch.int64, device=start.device)
            last = start
        else:
            prefix = torch.cat(
                [gather_beams(state[0], parents), tokens.long().clamp(min=0)[..., None] + 1], -1
            )
            last = self.prefix.embed(prefix.shape[-1] - 1, prefix[..., -1])
        step, beams = prefix.shape[-1], prefix.shape[1]
        query = last + self.position[step] + requests.position
        aggregate = requests.aggregate.expand(-1, beams, -1)
        if self.roots is None:
            decoded = self.decoder(query, requests.memory, requests.visible)
            fields = self._head_fields(step, decoded, prefix, aggregate)
            return self._logits(step, fields), [prefix]
        queries = self.roots.queries(query)  # (B, M, R, d)
        decoded = self.decoder(queries.flatten(1, 2), requests.memory, requests.visible)
        fields = self._head_fields(step, decoded.view(queries.shape), prefix, aggregate)
        if tokens is None or parents is None:
            before = self.roots.log_prior(aggregate)  # (B, 1, R)
        else:
            before = _of_tokens(state[1], tokens, parents)
        paths = before[:, :, None] + self._logits(step, fields).log_softmax(-1).transpose(-1, -2)
        return paths.logsumexp(-1) - before.logsumexp(-1, keepdim=True), [prefix, paths]

    def rescore(self, encoded: Sequence[Tensor], items: Tensor) -> Tensor:
        """Return ``config.item_scores · s(item | history)``; see :meth:`PathRanker.rescore`."""
        state = EncodedRequests.from_tensors(encoded).state[:, 0]
        if self.scores is None:
            return state.new_zeros(items.shape)
        scores: Tensor = self.scores(state, items + 1, self.item)
        return self.config.item_scores * scores

    def rank_encoded(
        self,
        encoded: Sequence[Tensor],
        beams: int,
        excluded: Sequence[Tensor] | None,
        allowed: Sequence[Tensor] | None,
    ) -> Ranking:
        """See :meth:`PathRanker.rank_encoded`; ``config.candidates`` may add items."""
        ranking = super().rank_encoded(encoded, beams, excluded, allowed)
        for scores in self._candidate_scores(EncodedRequests.from_tensors(encoded)):
            items = torch.arange(scores.shape[1], device=scores.device)
            scores = scores.masked_fill(~torch.isin(items, self.trie.item_ids), -torch.inf)
            if allowed is not None:
                is_allowed = torch.stack([torch.isin(items, each) for each in allowed])
                scores = scores.masked_fill(~is_allowed, -torch.inf)
            best = top_unseen(scores, excluded, beams).items
            ranking = with_candidates(self, encoded, ranking, best)
        return ranking

    def _candidate_scores(self, requests: EncodedRequests) -> Iterator[Tensor]:
        """Yield the scores ``[B, N]`` of each further source of candidates."""
        if self.config.candidates in ("scores", "all"):
            assert self.scores is not None  # UniRecConfig checks it.
            yield self.scores.score_all(requests.state[:, 0], self.item)
        if self.item_knn is not None:
            assert requests.history is not None  # Set by encode_requests.
            history = requests.history
            counted = history.where(history <= self.item_knn.num_items, 0)  # Others are newer.
            yield self.item_knn.score_all(counted, requests.visible[:, 0, 0].sum(-1))

    def _head_fields(
        self, step: int, query: Tensor, prefix: Tensor, aggregate: Tensor
    ) -> list[Tensor]:
        """Return the inputs of a step's rank head: q_t, e_prefix, c_t and h_agg.

        With several roots, ``query`` and the results are ``[…, R, n]``.
        """
        fields = [*self.prefix.fields(step, prefix), aggregate]
        if self.roots is not None:
            fields = [self.roots.each(field) for field in fields]
        return [query, *fields]

    def _logits(self, step: int, fields: list[Tensor]) -> Tensor:
        out: Tensor = self.head[step](fields)
        return out  # (.., V_t)


def _token_log_probs(logits: Tensor, token: Tensor) -> Tensor:
    """Return ``ln p(token)`` ``[n, …]`` from logits ``[n, …, V]``, for tokens ``[n]``."""
    each = token.view(-1, *[1] * (logits.dim() - 2)).expand(logits.shape[:-1])
    losses = F.cross_entropy(logits.flatten(0, -2), each.flatten(), reduction="none")
    return -losses.view(each.shape)


def _of_tokens(values: Tensor, tokens: Tensor, parents: Tensor) -> Tensor:
    """Return ``values [B, M', V, R]`` of each beam's parent and token, ``[B, M, R]``."""
    beam = parents.long().clamp(min=0) * values.shape[2] + tokens.long().clamp(min=0)
    return values.flatten(1, 2).gather(1, beam[..., None].expand(-1, -1, values.shape[-1]))


def _check_item_knn(item_knn: ItemKNN | None, num_items: int, config: UniRecConfig) -> None:
    if (item_knn is None) == config.reads_item_knn:
        has = "no" if item_knn is None else "an"
        raise ValueError(
            f'UniRec: candidates "{config.candidates}" must have {"an" if has == "no" else "no"} '
            f"item_knn, got {has} item_knn"
        )
    if item_knn is not None and item_knn.num_items != num_items:
        raise ValueError(f"UniRec: item_knn must have {num_items} items, got {item_knn.num_items}")


def _check(paths: Tensor, vocab_sizes: Sequence[int], prior: Tensor, config: UniRecConfig) -> None:
    if paths.ndim != 2 or paths.shape[1] != len(vocab_sizes):
        raise ValueError(
            f"UniRec: paths must be [N, {len(vocab_sizes)}], a token for each of vocab_sizes, got "
            f"{list(paths.shape)}"
        )
    if config.num_attributes >= len(vocab_sizes):
        raise ValueError(
            f"UniRec: num_attributes must be less than the {len(vocab_sizes)} tokens of a path, "
            f"got {config.num_attributes}"
        )
    if prior.shape != paths.shape[:1]:
        raise ValueError(f"UniRec: prior must be [{len(paths)}], got {list(prior.shape)}")
