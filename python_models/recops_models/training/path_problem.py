"""Which item comes next, asked in the scene of each event, and how much the event says."""

from __future__ import annotations

import copy
from functools import cached_property

import pyarrow as pa
import torch

from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.histories import Histories
from recops_models.data.splits import Examples, SplitName
from recops_models.evaluation.metrics import evaluate
from recops_models.examples.engagement import Engagement, EngagementConfig, levels_of
from recops_models.examples.scenes import SceneConfig, Scenes
from recops_models.generative.path_losses import check_reward_weights
from recops_models.generative.path_ranker import PathRanker, Requests
from recops_models.generative.ranker import Ranking, Recommender
from recops_models.training.alignment_task import AlignmentConfig
from recops_models.training.path_task import AskedEvents, PathEvents
from recops_models.training.problem import Measured
from recops_models.training.ranking_problem import RankingProblem, met


class PathProblem(RankingProblem):
    """:class:`RankingProblem` of a ranker that is told of scenes and learns by engagement.

    Args:
        dataset: the data.
        engagement: which column tells how much an event says.
        scenes: which column tells where it happened.
        alignment: what is learnt behind next tokens.
        split: how it is cut, if not as usual.
        validation_users: at most so many choose the best epoch; None: all.

    Raises:
        DataError: a column is not there, or unfit; nothing to learn rewards or preferences from.
        ValueError: no user has three events; settings that do not fit each other.
    """

    def __init__(
        self,
        dataset: Dataset,
        engagement: EngagementConfig,
        scenes: SceneConfig,
        alignment: AlignmentConfig,
        split: SplitName | None = None,
        validation_users: int | None = None,
    ) -> None:
        check_reward_weights(alignment.strength, alignment.reward_clip)
        super().__init__(dataset, split, validation_users)
        self.scenes, self.alignment = Scenes.of(dataset, scenes), alignment
        self._engagement = engagement
        self._scene: int | None = None
        for weight, column in ((alignment.strength, "reward"), (alignment.preferences, "level")):
            if weight and len(getattr(self.events, column).unique()) < 2:
                raise DataError(
                    f"{dataset.name}: align={alignment.align} must have events of more than one "
                    f"{column}; name their column by engagement, or set align=none"
                )

    @cached_property
    def events(self) -> PathEvents:
        """What is known of the training events, in the order of ``train``."""
        table, rows = self.parts.train, self.train.rows
        said = Engagement.of(table, self._engagement, name=self.name)
        columns = (said.weight, said.reward, said.level, self.scenes.of_events(table))
        return PathEvents(*(torch.from_numpy(column[rows]) for column in columns))

    def asked(self, part: str) -> AskedEvents:
        """The questions of a part, and what is known of their answers."""
        return self.told(self._examples(part), part)

    def told(self, examples: Examples, part: str) -> AskedEvents:
        """Some questions of a part, and what is known of their answers."""
        table = getattr(self.parts, part)
        rows = examples.targets.rows
        level, levels = levels_of(table, self._engagement, name=self.name)
        return AskedEvents(
            examples,
            torch.from_numpy(self.scenes.of_events(table)[rows]),
            torch.from_numpy(level[rows]),
            levels,
        )

    def measure(self, model: Recommender, part: str) -> Measured:
        """With ``hr@10_engaged``, and each target's level, where there are levels."""
        assert isinstance(model, PathRanker)
        asked = self.asked(part)
        examples = asked.examples
        found = evaluate(asked.of(model), examples, self.num_items)
        users = self.dataset.user_vocabulary.ids[examples.users]
        table = pa.table({"user": users, "rank": found.ranks.numpy()})
        if asked.levels > 1:
            table = table.append_column("level", pa.array(asked.level.numpy()))
        return Measured({**found.metrics, **asked.engaged(found.ranks)}, table)

    def asked_in(self, task: str) -> PathProblem:
        """This problem, whose :meth:`recommend` is asked in a scene by its name.

        Raises:
            ValueError: there is no such scene.
        """
        asked = copy.copy(self)
        asked._scene = self.scenes.index(task)
        return asked

    def recommend(self, model: Recommender, user: int, k: int) -> Ranking:
        """In the scene of the user's last event, unless :meth:`asked_in` another one."""
        assert isinstance(model, PathRanker)
        histories = met(self.dataset, user)
        return self.request(model, user, histories).recommend(histories, k)

    def request(self, model: PathRanker, user: int, histories: Histories) -> Requests:
        """``model``, told as in :meth:`recommend` who asks, an index, and where.

        Args:
            model: what answers.
            user: who asks.
            histories: all that this user met.
        """
        scene = self._last_scene(histories) if self._scene is None else self._scene
        return Requests(model, torch.tensor([scene]), torch.tensor([user + 1]))

    def _last_scene(self, histories: Histories) -> int:
        row = int(histories.rows[-1])
        return int(self.scenes.of_events(self.dataset.interactions.slice(row, 1))[0])
