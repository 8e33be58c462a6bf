"""Trained model that reads and writes the states of a store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recops import HpmnState, MimnState
from recops_models.click.age_scores import AgeScores
from recops_models.click.memory import MemoryModel
from recops_models.click.model import ClickModel
from recops_models.data.dataset import Dataset
from recops_models.data.sets import load
from recops_models.examples.batch import Batch
from recops_models.examples.click_schema import SIGN
from recops_models.examples.click_stream import is_click_folder
from recops_models.examples.features import FeatureSchema
from recops_models.examples.feedback import feedback_of
from recops_models.examples.running_rates import RATES
from recops_models.recipes.catalogue import checked_data
from recops_models.recipes.files import MODEL
from recops_models.recipes.job import Job
from recops_models.recipes.trained import load_trained
from recops_models.serving.errors import ModelVersionError
from recops_models.serving.event_encoder import EncodedEvents, EventEncoder
from recops_models.serving.feature_table import item_features, user_features
from recops_models.serving.layout import StateLayout
from recops_models.serving.memory_net import explored_from_state, logits_from_state, memory_of
from recops_models.serving.record import UserRecord
from recops_models.serving.request_encoder import RequestEncoder
from recops_models.training.device import AUTO, device_of, to_device, to_host
from recops_models.training.example_config import ExampleConfig

_VERSION_BYTES = 16


@dataclass(frozen=True, eq=False)
class ServedModel:
    """Model with its encoders and the layout of its states.

    Attributes:
        folder: training folder.
        version: first 16 bytes of the SHA-256 of ``model.safetensors``. A state is valid only for
            the weights that wrote it.
        model: the memory model in evaluation mode, whose states are stored.
        net: the model that scores: ``model``, or an AGE or KEEP around it.
        layout: byte layout of its states.
        events: encoder of events.
        requests: encoder of requests.
    """

    folder: Path
    version: bytes
    model: MemoryModel[Any]
    net: ClickModel
    layout: StateLayout[Any]
    events: EventEncoder
    requests: RequestEncoder

    @classmethod
    def load(
        cls,
        folder: Path,
        *,
        data: Dataset | Callable[[], Dataset] | None = None,
        device: str | torch.device = AUTO,
    ) -> ServedModel:
        """Load the result of ``recops train mimn|hpmn``, with the tables of its data set.

        An age or keep with such a base is loaded, too.

        Args:
            folder: training folder.
            data: data set with the current users and items, or a function that loads it; None loads
                the data set of the training.
            device: where the model runs; see
                :func:`~recops_models.training.device.resolve_device`.

        Raises:
            FileNotFoundError: the folder holds no training.
            CorruptFileError: a file is damaged.
            DataError: the data set is missing, or has text ids that differ from the training's.
            ModelVersionError: the model is of another kind, has a compatibility quirk that stored
                states cannot reproduce, or was replaced while it was read.
        """
        job, net, version = _loaded(folder, device)
        model = memory_of(net)
        if model is None:
            raise ModelVersionError(
                f"{folder}: must hold a mimn or hpmn, or an age or keep with such a base, got a "
                f"{job.model}"
            )
        assert isinstance(net, ClickModel)
        if (quirk := model.unservable_quirk) is not None:
            raise ModelVersionError(
                f"{folder}: was trained with compat={quirk}, which a stored state cannot reproduce"
            )
        net.requires_grad_(False)
        dataset = data if data is None or isinstance(data, Dataset) else data()
        if dataset is None and not is_click_folder(Path(job.data)):
            dataset = load(job.data)
        examples = job.parts["examples"]
        assert isinstance(examples, ExampleConfig)
        fitted, history = net.schema, model.embedding.separate_histories[0]
        explicit, items, users = False, None, None
        if dataset is not None:
            opened = checked_data(folder, job, dataset)
            assert isinstance(opened, Dataset)
            dataset = opened
            explicit = _explicit(examples, fitted.schema, dataset)
            items, users = item_features(dataset, fitted), user_features(dataset, fitted)
        events = EventEncoder(fitted, history, items, explicit=explicit, positive=examples.positive)
        requests = RequestEncoder(fitted, history, items, users)
        return cls(folder, version, model, net, StateLayout(model), events, requests)

    @property
    def device(self) -> torch.device:
        """Device of the model and of unpacked states."""
        return device_of(self.model)

    @property
    def version_text(self) -> str:
        """Version in hexadecimal digits."""
        return self.version.hex()

    def new_record(self, floor: int = 0) -> UserRecord:
        """Return the record of a user without events. ``floor``: highest forgotten number."""
        return UserRecord(self.version, self.layout.empty, floor=floor)

    @torch.no_grad()
    def advance(
        self, records: Sequence[UserRecord], rows: Tensor, events: EncodedEvents, indices: Tensor
    ) -> list[tuple[bytes, int]]:
        """Return the states of users after events.

        Args:
            records: n user records.
            rows: ``[E]`` i64, index of the record that each event updates.
            events: encoded events.
            indices: ``[E]`` i64, positions of the events to apply, in order.

        Returns:
            bytes and counter of the n states.
        """
        pool = self._pool(records)
        ids = {name: values[indices] for name, values in events.ids.items()}
        rows, ids = to_device((rows, ids), self.device)
        self.model.advance_(pool, rows, self.model.embedding.events(ids))
        return self.layout.pack(pool)

    @torch.no_grad()
    def logits(self, record: UserRecord, batch: Batch) -> Tensor:
        """Return the logits ``[B]`` of candidates on the host, given one user's state."""
        pool, batch = self._pool([record]), to_device(batch, self.device)
        return to_host(logits_from_state(self.net, pool, batch))

    @torch.no_grad()
    def explored(self, record: UserRecord, batch: Batch, user: str, seed: int) -> AgeScores:
        """Return AGE's exploring scores of candidates on the host, given one user's state.

        Args:
            record: record of the user.
            batch: B candidates.
            user: id of the user, which determines the masks together with ``seed`` and the item.
            seed: seed of the exploration; a new one for every visit.

        Raises:
            FieldError: the model does not explore.
        """
        group = int.from_bytes(hashlib.sha256(user.encode()).digest()[:7], "little")
        batch = batch._replace(group=torch.full_like(batch.group, group))
        pool, batch = self._pool([record]), to_device(batch, self.device)
        return AgeScores(*to_host(tuple(explored_from_state(self.net, pool, batch, seed))))

    def state(self, record: UserRecord) -> MimnState | HpmnState:
        """Return the user's state, a pool with one row on :attr:`device`."""
        state: MimnState | HpmnState = self._pool([record])
        return state

    def _pool(self, records: Sequence[UserRecord]) -> Any:
        return self.layout.unpack([(record.state, record.count) for record in records])


def version_of(folder: Path) -> bytes:
    """Return the version of the model in a training folder.

    Raises:
        FileNotFoundError: the folder holds no model.
    """
    return hashlib.sha256((folder / MODEL).read_bytes()).digest()[:_VERSION_BYTES]


def holds_version(folder: Path, version: bytes) -> bool:
    """Return whether a training folder holds the model of this version."""
    return (folder / MODEL).is_file() and version_of(folder) == version


def _explicit(examples: ExampleConfig, schema: FeatureSchema, dataset: Dataset) -> bool:
    """Return whether events carry explicit feedback.

    The settings and features of the training decide; otherwise the feedback of ``dataset``.
    """
    if examples.feedback is not None:
        return examples.feedback == "explicit"
    names = {feature.name for feature in schema.features}
    if examples.signed:
        return SIGN in names
    if examples.running_rates is None:
        return RATES[0] in names
    return feedback_of(dataset) == "explicit"


def _loaded(folder: Path, device: str | torch.device) -> tuple[Job, nn.Module, bytes]:
    """Load a training's job and model, and return the version of the loaded weights."""
    before = version_of(folder) if (folder / MODEL).is_file() else None
    job, model = load_trained(folder, device=device)
    version = version_of(folder)
    if version != before:
        raise ModelVersionError(f"{folder}: {MODEL} was replaced while it was read: try again")
    return job, model, version
