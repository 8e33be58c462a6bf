"""Lists that explore: drawn from scores, with the probability of each item."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import pyarrow as pa
import torch
from torch import Tensor

from recops_models.click.age import Age
from recops_models.click.age_scores import AgeScores
from recops_models.click.model import ClickModel, ClickScorer
from recops_models.examples.batch import Batch
from recops_models.examples.candidates import Candidates
from recops_models.exploration.drawing import draw_lists
from recops_models.exploration.explore_config import ExploreConfig
from recops_models.exploration.policy import Policy, named_policy
from recops_models.generative.ranker import Ranking, top_unseen
from recops_models.layers.counter_random import keys_of, uniform
from recops_models.recipes.answers import Answers, RequestItems
from recops_models.recipes.click_answers import CANDIDATES, ClickAnswers
from recops_models.recipes.ranking_table import ranking_table
from recops_models.recipes.request_events import RequestEvents
from recops_models.training.device import device_of, to_device, to_host


class ExploringLists(NamedTuple):
    """Lists of k items for U users, in the order of display.

    Attributes:
        items: ``[U, k]`` i64, item indices; −1 where there are no more.
        scores: ``[U, k]`` f32, the scores that the lists are drawn from; −inf where there are no
            more items.
        plain_scores: ``[U, k]`` f32, the model's scores without exploration.
        explored: ``[U, k]`` bool, whether the item is not among the k best plain scores.
        propensity: ``[U, k]`` f64, the probability of the item given the earlier ones of the list;
            0 where there are no more items.
    """

    items: Tensor
    scores: Tensor
    plain_scores: Tensor
    explored: Tensor
    propensity: Tensor

    @property
    def ranking(self) -> Ranking:
        """Items and scores."""
        return Ranking(self.items, self.scores)

    @classmethod
    def empty(cls, users: int, k: int) -> ExploringLists:
        """Return lists without items."""
        items = torch.full((users, k), -1, dtype=torch.int64)
        scores, plain_scores = torch.full((2, users, k), -torch.inf)
        propensity = torch.zeros(users, k, dtype=torch.float64)
        return cls(items, scores, plain_scores, torch.zeros(users, k, dtype=torch.bool), propensity)

    @classmethod
    def concatenate(cls, parts: list[ExploringLists], k: int) -> ExploringLists:
        """Concatenate the lists of several groups of users."""
        return cls(*map(torch.cat, zip(cls.empty(0, k), *parts, strict=True)))


class Explorer:
    """Exploration of a model's lists.

    Args:
        answers: answers of the model.
        config: see the attribute.
        seed: seed of all draws; use a different one for every visit of a user.

    Attributes:
        config: the exploration.
        has_propensities: whether propensities are those of the exploration, and positive. They are
            not if scores are random and the selection always takes the highest one.

    Raises:
        ValueError: the policy does not fit the model.
    """

    def __init__(self, answers: Answers, config: ExploreConfig, seed: int) -> None:
        self._answers, self._seed = answers, seed
        self.config = config
        self._age_scores: list[AgeScores] = []
        self._policy = self._named_policy()
        is_random = self._policy is not None and self._policy.scoring.drawn
        self.has_propensities = not is_random or config.epsilon > 0 or config.softmax is not None

    def lists(
        self, events: RequestEvents, items: RequestItems, k: int, *, num_items: int
    ) -> Iterator[ExploringLists]:
        """Yield the lists of all requests, in order and in groups.

        Args:
            events: the requests.
            items: the items of each request.
            k: length of a list.
            num_items: number of items in the catalogue, with new ones.
        """
        if self._policy is None:
            pool = min(num_items, max(k, self.config.pool or num_items))
            yield from self._from_rankings(events, items, k, pool)
            return
        assert isinstance(self._answers, ClickAnswers)
        candidates = self._answers.candidates(events)
        excluded = items.excluded(events.dataset.items.num_rows)
        for user, others in zip(events.users.tolist(), excluded, strict=True):
            yield self._from_policy(self._policy, candidates, user, others, k)

    def table(
        self,
        events: RequestEvents,
        items: RequestItems,
        k: int,
        item_ids: pa.ChunkedArray,
        *,
        answered: Callable[[int], None] = lambda count: None,
    ) -> tuple[Ranking, pa.Table]:
        """Return the lists of all requests, and their table.

        The columns are those of :func:`~.ranking_table.ranking_table`, ``plain_score`` f32,
        ``explored`` bool and, with :attr:`has_propensities`, ``propensity`` f64.

        Args:
            events: see :meth:`lists`.
            items: see :meth:`lists`.
            k: see :meth:`lists`.
            item_ids: ids of all items, by index.
            answered: receives the number of users of each finished group.
        """
        parts = []
        for part in self.lists(events, items, k, num_items=len(item_ids)):
            parts.append(part)
            answered(len(part.items))
        lists = ExploringLists.concatenate(parts, k)
        is_item = lists.items >= 0
        table = ranking_table(lists.ranking, events.keys, item_ids)
        columns = {"plain_score": lists.plain_scores, "explored": lists.explored}
        if self.has_propensities:
            columns["propensity"] = lists.propensity.double()
        for name, values in columns.items():
            table = table.append_column(name, pa.array(values[is_item].numpy()))
        return lists.ranking, table

    def _from_rankings(
        self, events: RequestEvents, items: RequestItems, k: int, pool: int
    ) -> Iterator[ExploringLists]:
        """Draw lists from the ``pool`` best items by the model's own scores."""
        user_ids = torch.from_numpy(events.dataset.user_vocabulary.ids[events.users])
        start = 0
        for batch in self._answers.batches(events, items, pool):
            ranking = Ranking(*to_host(tuple(batch)))
            users = user_ids[start : start + len(ranking.items)]
            start += len(users)
            draws = uniform(keys_of(self._seed, users, users, users), k)
            available = ranking.items >= 0
            drawn, propensity = draw_lists(self.config.selection, ranking.scores, available, draws)
            is_item, at = drawn >= 0, drawn.clamp(min=0)
            chosen = ranking.items.gather(1, at).masked_fill(~is_item, -1)
            scores = ranking.scores.float().gather(1, at).masked_fill(~is_item, -torch.inf)
            yield ExploringLists(chosen, scores, scores, drawn >= k, propensity)

    def _from_policy(
        self, policy: Policy, candidates: Candidates, user: int, excluded: Tensor, k: int
    ) -> ExploringLists:
        """Draw one list from a policy.

        An item's number of events counts as its impressions, so AGE keeps the plain scores of
        well-known items (``max_impressions``).
        """
        assert isinstance(self._answers, ClickAnswers)
        model = self._answers.model
        device, batch = device_of(model), candidates.shown_to(user)
        is_available = torch.ones(len(batch.group), dtype=torch.bool)
        is_available[excluded] = False
        lists = ExploringLists.empty(1, k)
        length = min(k, int(is_available.sum()))
        if not length:
            return lists
        batch, available = to_device((batch, is_available), device)
        impressions = candidates.item_counts().to(device)
        self._age_scores.clear()
        choice = policy.choose(
            batch, seed=self._seed, k=length, available=available, impressions=impressions
        )
        plain = self._age_scores[0].y if self._age_scores else _probabilities(model, batch)
        propensity = choice.propensity
        if self.has_propensities and not choice.exact:
            propensity = policy.list_propensities(
                batch,
                choice.items,
                seed=self._seed,
                draws=self.config.draws,
                available=available,
                impressions=impressions,
            )
        items, scores, plain, propensity = to_host(
            (choice.items[0], choice.scores[0], plain, propensity[0])
        )
        best, _ = top_unseen(plain[None], [excluded], length)
        lists.items[0, :length] = items
        lists.scores[0, :length] = scores[items]
        lists.plain_scores[0, :length] = plain[items]
        lists.explored[0, :length] = ~torch.isin(items, best[0])
        lists.propensity[0, :length] = propensity
        return lists

    def _named_policy(self) -> Policy | None:
        """Return the policy of a click model; None: lists are drawn from the model's own scores."""
        config, answers = self.config, self._answers
        name: str = config.policy
        model = answers.model if isinstance(answers, ClickAnswers) else None
        if name == "model" and isinstance(model, Age):
            name = f"age-{model.config.uncertainty}"
        if name in ("model", "greedy"):
            return None
        if not isinstance(model, ClickModel):
            raise ValueError(f"explore: policy {name} needs a click model with a network")
        return named_policy(
            name, model, selection=config.selection, on_scores=self._age_scores.append
        )


@torch.no_grad()
def _probabilities(model: ClickScorer, batch: Batch) -> Tensor:
    return torch.cat([model(part).sigmoid() for part in batch.split(CANDIDATES)])
