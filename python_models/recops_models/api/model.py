"""Trained model of the Python interface."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from recops._hub import FolderOrRepo, HubApi, local_folder
from recops.files import read_json
from recops_models.recipes.files import load_model
from recops_models.settings import JsonObject
from recops_models.training.device import AUTO, resolve_device

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from recops_models.api.temporary_folder import TemporaryFolder
    from recops_models.data.dataset import Dataset
    from recops_models.data.frames import Frame, IdsLike
    from recops_models.recipes.job import Job
    from recops_models.recipes.stage import Data

CONFIG, METRICS, WEIGHTS = "config.json", "metrics.json", "model.safetensors"


class Model:
    """Trained model with its catalogue: evaluates, recommends and scores.

    All models have this interface; :func:`recops_models.train` and :func:`recops_models.load`
    return it. Frames may be of any library that implements the Arrow PyCapsule protocol, or dicts
    of arrays. Results are frames of the caller's library: that of the frame given to the call, else
    that of the training data. IdsLike are those of the training data.

    Args:
        folder: folder of a training, or of :meth:`save_pretrained`.
        owner: temporary folder to keep while the model is in use; None: the folder stays.
        device: where the model works, by the names of :func:`recops_models.train`.
        data: the current users, items and events; None: those of the training.

    Attributes:
        module: the trained torch module, in evaluation mode.
        folder: the model's files.
        device: where the model works.

    Raises:
        CorruptFileError: a file is damaged, or of an incompatible version.
        FileNotFoundError: the folder holds no finished training.
        ValueError: unknown or missing device.

    Example:
        >>> import recops_models as rm
        >>> log = {"user_id": list("aaabbb"), "item_id": [1, 2, 3, 2, 3, 4]}
        >>> log["timestamp"] = [0, 1, 2, 0, 1, 2]
        >>> model = rm.train("popularity", rm.Dataset.from_frames(log))
        >>> model.recommend(["a"], k=1)["item_id"].tolist()
        [4]
        >>> model.score({"user_id": ["a", "b"], "item_id": [4, 1]}).shape
        (2,)
        >>> {"validation", "test", "baselines"} <= model.evaluate().keys()
        True
    """

    def __init__(
        self,
        folder: Path,
        owner: TemporaryFolder | None = None,
        *,
        device: str | torch.device = AUTO,
        data: Dataset | str | Path | None = None,
    ) -> None:
        if not (folder / WEIGHTS).exists():
            raise FileNotFoundError(f"load: {folder} holds no finished model: no {WEIGHTS}")
        self.folder = folder
        self.device = resolve_device(device)
        self.module: nn.Module = load_model(folder / WEIGHTS).to(self.device)
        self._owner, self._data = owner, data

    @classmethod
    def from_pretrained(
        cls,
        folder_or_repo: FolderOrRepo,
        *,
        device: str = AUTO,
        data: Dataset | str | Path | None = None,
    ) -> Model:
        """Load a model; see :func:`recops_models.load`."""
        folder = local_folder(folder_or_repo, "Model.from_pretrained")
        return cls(folder, device=device, data=data)

    def __repr__(self) -> str:
        return f"Model({self.config['model']!r}, {str(self.folder)!r})"

    @cached_property
    def config(self) -> JsonObject:
        """Model, data, seed, split and settings, the content of ``config.json``."""
        from recops_models.out_folder import TRAINING_KIND

        return _without_format(read_json(self.folder / CONFIG, kind=TRAINING_KIND))

    @cached_property
    def metrics(self) -> JsonObject:
        """Metrics at the end of training, the content of ``metrics.json``; {} without a test."""
        path = self.folder / METRICS
        return _without_format(read_json(path, kind="metrics")) if path.exists() else {}

    @cached_property
    def job(self) -> Job:
        """The job that was trained: its recipe and its settings by part."""
        from recops_models.recipes.job import load_job

        return load_job(self.folder)

    @cached_property
    def data(self) -> Dataset:
        """The current data set: that of :func:`recops_models.load`, or that of the training.

        Raises:
            DataError: the data has been moved, or does not fit the model.
            ValueError: the model was trained on examples, which have no catalogue.
        """
        from recops_models.data.dataset import Dataset

        opened = self._opened
        if not isinstance(opened, Dataset):
            raise ValueError(f"{opened.name} has examples, but no catalogue to recommend from")
        return self.job.recipe.catalogue(opened, self.job.parts)

    @cached_property
    def matched(self) -> nn.Module:
        """The module for the items and users of :attr:`data`, which are matched by id.

        It is :attr:`module` itself if these are known to the model. Otherwise a warning says how
        the model serves the new ones.
        """
        from recops_models.recipes.matching import match_model

        matched = match_model(self.folder, self.job, self.module, self._opened)
        if matched.notes:
            warnings.warn("; ".join(matched.notes), stacklevel=2)
        return matched.module

    @cached_property
    def _opened(self) -> Data:
        from recops_models.recipes.trained import newer_data, open_data

        if self._data is None:
            return open_data(self.job, self.module, self.folder)
        return newer_data(self.folder, self.job, self.module, self._data)

    def evaluate(self, data: Dataset | None = None) -> dict[str, JsonObject]:
        """Evaluate the model on the held-out parts of the data.

        Args:
            data: newer data, also with new items and users; None: that of :attr:`data`.

        Returns:
            ``"validation"`` and ``"test"``: metrics by name, None if undefined, the same as those
            of ``recops evaluate``. ``"baselines"``: test metrics of simple baselines by name, among
            them ``"popularity"`` and, for rankers, ``"co-occurrence"``. ``"groups"``: accuracy by
            item popularity and by history length, per part; see
            :mod:`recops_models.evaluation.beyond_accuracy` for rankers and
            :mod:`recops_models.evaluation.click_groups` for click models. Rankers also have
            ``"beyond_accuracy"``: novelty and popularity lift per part.

        Raises:
            DataError: the data does not fit the model.
        """
        from recops_models.api.evaluation import evaluate

        if data is not None:
            return Model(self.folder, device=self.device, data=data).evaluate()
        return evaluate(self.job, self.matched, self._opened)

    def recommend(
        self,
        users: IdsLike | None = None,
        *,
        histories: Frame | None = None,
        k: int = 10,
        allowed: IdsLike | None = None,
        banned: IdsLike | None = None,
        candidates: Frame | None = None,
        where: str | None = None,
        exclude_seen: bool | None = None,
        explore: str | Mapping[str, object] | None = None,
        seed: int = 0,
        log: str | Path | None = None,
        log_time: float | None = None,
        label: str | Mapping[str, float] | None = None,
        context: Frame | None = None,
        offers: Frame | None = None,
    ) -> Frame:
        """Return the ``k`` best items of each user.

        Generative models search among the permitted items only; other models score them all. A
        list shorter than ``k`` gives a warning that states why.

        Args:
            users: ids, or a frame with ``user_id``; None: the users of ``histories`` or of
                ``candidates``, else all users with events.
            histories: frame of events with ``user_id``, ``item_id`` and optionally ``timestamp``
                (else in row order) and the event columns of the training data. They replace the
                events of these users, whom training need not know. Unknown items are skipped.
            k: number of items.
            allowed: ids of the only items to recommend, or a frame of ``user_id`` and ``item_id``.
            banned: ids of items not to recommend, or a frame of ``user_id`` and ``item_id``.
            candidates: frame of ``user_id`` and ``item_id``: the items to rank for each user.
            where: condition on item columns, such as ``"category = 'shoes' and in_stock"``; see
                :mod:`recops_models.data.where`.
            exclude_seen: leave out the items of the user's history; None: unless the data keeps
                repeats.
            explore: exploration, such as ``"epsilon=0.1"`` or ``{"softmax": 0.05}``, see
                :class:`~recops_models.exploration.explore_config.ExploreConfig`; None: none, also
                for an AGE model.
            seed: seed of the exploration; use a different one for every visit of a user.
            log: folder to which the lists are added before they are returned, see
                :mod:`recops_models.data.impressions`.
            log_time: time of the impressions in seconds since the epoch; None: now.
            label: label of a click model with several heads by whose probability items are ranked,
                such as ``"purchase"``; or label → weight of a product of probabilities,
                ``{"click": 1, "purchase": 0.5}``. None: the click.
            context: event columns at the moment of the request that a click model reads, such as
                ``{"device": "app"}``; or a frame with ``user_id`` and a row per user. None, and for
                other users: the values of the user's last event. A missing value is an unknown one.
            offers: frame of ``item_id``, and optionally ``user_id``, with event columns that differ
                between items, such as today's ``price``. None, and for other items: the values of
                the item's last event.

        Returns:
            Frame with ``user_id``, ``rank`` i64 from 1, ``item_id`` and ``score`` f32. The score of
            a click model is a probability, that of a generative model a log-probability. With
            ``explore`` also ``plain_score`` f32, the model's score, and ``explored``, whether the
            item is not among the k best. ``propensity`` f64 is the probability of the item given
            the earlier ones of its list; it is missing if a policy with random scores always takes
            the best one.

        Raises:
            DataError: a column is missing, an id is unknown or unreadable, a condition is unfit, or
                the model does not read a column of ``context`` or ``offers``.
            OSError: the log cannot be written; it then has no impression of this call.
            ValueError: ``k`` is below 1, an exploration is invalid or does not fit the model,
                ``log`` has no propensities to write, or the model predicts no such label; or a user
                has no events, and the model is a ranker other than popularity.
        """
        from recops_models.api.recommending import recommend

        return recommend(
            self,
            users,
            histories=histories,
            k=k,
            allowed=allowed,
            banned=banned,
            candidates=candidates,
            where=where,
            exclude_seen=exclude_seen,
            explore=explore,
            seed=seed,
            log=log,
            log_time=log_time,
            label=label,
            context=context,
            offers=offers,
        )

    def score(
        self,
        frame: Frame,
        *,
        histories: Frame | None = None,
        label: str | Mapping[str, float] | None = None,
    ) -> NDArray[np.float32]:
        """Return the score ``[n]`` of each row of a frame, on the scale of :meth:`recommend`.

        Args:
            frame: pairs of ``user_id`` and ``item_id``; or, for a click model, rows with the
                features and histories of its schema. Pairs may also have the event columns that a
                click model reads at a request, such as ``device`` and ``price``. Without these
                columns, each is the value of the user's or of the item's last event.
            histories: see :meth:`recommend`.
            label: see :meth:`recommend`.

        Raises:
            DataError: a column is missing or unreadable, or an item is unknown.
            ValueError: the model predicts no such label; or a user has no events, and the model is
                a ranker other than popularity.
        """
        from recops_models.api.recommending import score

        return score(self, frame, histories=histories, label=label)

    def off_policy(
        self,
        policy: str | Mapping[str, object],
        data: Dataset | None = None,
        *,
        max_weight: float | None = None,
    ) -> JsonObject:
        """Estimate the clicks per impression if this click model chose the logged items.

        See :func:`~recops_models.recipes.off_policy.off_policy_values`.

        Args:
            policy: ``"epsilon=0.1"``, ``"softmax=0.05"``, or values by name; see
                :class:`~recops_models.exploration.explore_config.ExploreConfig`.
            data: impressions of :meth:`Dataset.from_impressions`, whose test part is used; None:
                the data of the training.
            max_weight: bound of the weights; None: no bound.

        Returns:
            ``"logged"``, the clicks per impression of the log; ``"impressions"``, their number;
            and for each of ``"ips"``, ``"snips"``, ``"direct"`` and ``"dr"`` a dict of ``"value"``,
            the 95 % interval ``"low"`` and ``"high"``, and the ``"effective"`` sample size.

        Raises:
            DataError: the data has no labels or propensities, or too many impressions.
            ValueError: the model is no click model, or the policy is invalid.
        """
        from recops_models.exploration.explore_config import ExploreConfig
        from recops_models.recipes.off_policy import off_policy_values

        dataset = self.data if data is None else data
        config = ExploreConfig.of(policy)
        values = off_policy_values(self.job, self.module, dataset, config, max_weight=max_weight)
        return values.to_dict()

    def similar_items(self, items: IdsLike, k: int = 10) -> Frame:
        """Return the ``k`` most similar other items of each item, by the cosine of item vectors.

        Args:
            items: ids, or a frame with ``item_id``.
            k: number of items.

        Returns:
            Frame with ``item_id``, ``rank`` i64 from 1, ``similar_item_id`` and ``score`` f32.

        Raises:
            DataError: an item is unknown.
            NotImplementedError: the model has no item vectors, as ``rates``.
            ValueError: ``k`` is below 1.
        """
        from recops_models.api.recommending import similar

        return similar(self, items, k)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write the model with its catalogue and its users' events to a folder.

        :func:`recops_models.load` reads it from any place, and so do ``recops recommend`` and the
        other commands.

        Args:
            folder: created if missing; its model is replaced.

        Raises:
            OSError: the folder cannot be written.
        """
        from recops_models.api.saving import save_pretrained

        save_pretrained(self.folder, self.module, Path(folder))

    def push_to_hub(self, repo: str, *, private: bool = True, api: HubApi | None = None) -> str:
        """Upload the model with a model card to a Hugging Face repository; return its address.

        Events of users are not uploaded: after :func:`recops_models.load` of the repository,
        :meth:`recommend` needs ``histories``. Requires ``pip install 'recops[hf]'``.

        Args:
            repo: ``"owner/name"``; created if missing.
            private: whether a new repository is private.
            api: a ``huggingface_hub.HfApi``; None: one with the stored token.
        """
        from recops_models.api.saving import push_to_hub

        return push_to_hub(
            self.folder, self.module, dict(self.metrics), repo, private=private, api=api
        )


def _without_format(content: JsonObject) -> JsonObject:
    return {key: value for key, value in content.items() if key != "format"}
