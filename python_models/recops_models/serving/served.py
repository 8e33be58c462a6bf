"""A trained model, ready to write and read the states of a store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recops import HpmnState, MimnState
from recops_models.click.memory import MemoryModel
from recops_models.data.dataset import Dataset
from recops_models.data.sets import load
from recops_models.examples.batch import Batch
from recops_models.examples.click_schema import SIGN
from recops_models.examples.click_stream import is_click_folder
from recops_models.examples.features import FeatureSchema
from recops_models.examples.feedback import feedback_of
from recops_models.examples.running_rates import RATES
from recops_models.recipes.catalogue import check_catalogue
from recops_models.recipes.job import Job
from recops_models.recipes.run import MODEL, load_trained
from recops_models.serving.described import described_items, described_users
from recops_models.serving.errors import ModelVersionError
from recops_models.serving.event_encoder import EncodedEvents, EventEncoder
from recops_models.serving.layout import StateLayout
from recops_models.serving.record import UserRecord
from recops_models.serving.request_encoder import RequestEncoder
from recops_models.training.example_config import ExampleConfig

_VERSION_BYTES = 16


@dataclass(frozen=True, eq=False)
class ServedModel:
    """A model with all that it takes to serve it.

    Attributes:
        folder: of its training.
        version: 16 bytes, the beginning of the SHA-256 of ``model.safetensors``. A state belongs to
            the weights that wrote it.
        model: in evaluation.
        layout: of its states.
        events: encodes them.
        requests: encodes them.
    """

    folder: Path
    version: bytes
    model: MemoryModel[Any]
    layout: StateLayout[Any]
    events: EventEncoder
    requests: RequestEncoder

    @classmethod
    def load(
        cls, folder: Path, *, data: Dataset | Callable[[], Dataset] | None = None
    ) -> ServedModel:
        """What ``recops train mimn|hpmn`` left in ``folder``, with the tables of its data set.

        Args:
            folder: of the training.
            data: the data set, with users and items as they are by now, or what loads it; None: the
                training's own.

        Raises:
            FileNotFoundError: there is no training.
            CorruptFileError: a file is damaged.
            DataError: the data set of the training is not there; or its ids are text, and it has
                others than at the training.
            ModelVersionError: another kind of model, or one with a quirk that states cannot
                reproduce; or it was replaced while it was read.
        """
        job, model, version = _loaded(folder)
        if not isinstance(model, MemoryModel):
            raise ModelVersionError(f"{folder}: must hold a mimn or hpmn, got a {job.model}")
        if (quirk := model.unservable_quirk) is not None:
            raise ModelVersionError(
                f"{folder}: was trained with compat={quirk}, which a stored state cannot reproduce"
            )
        model.requires_grad_(False)
        dataset = data if data is None or isinstance(data, Dataset) else data()
        if dataset is None and not is_click_folder(Path(job.data)):
            dataset = load(job.data)
        examples = job.parts["examples"]
        assert isinstance(examples, ExampleConfig)
        fitted, history = model.schema, model.embedding.apart[0]
        explicit, items, users = False, None, None
        if dataset is not None:
            check_catalogue(folder, job, dataset)
            explicit = _explicit(examples, fitted.schema, dataset)
            items, users = described_items(dataset, fitted), described_users(dataset, fitted)
        events = EventEncoder(fitted, history, items, explicit=explicit, positive=examples.positive)
        requests = RequestEncoder(fitted, history, items, users)
        return cls(folder, version, model, StateLayout(model), events, requests)

    @property
    def version_text(self) -> str:
        """The version in hexadecimal digits."""
        return self.version.hex()

    def new_record(self, floor: int = 0) -> UserRecord:
        """Of a user before any event."""
        return UserRecord(self.version, self.layout.empty, floor=floor)

    @torch.no_grad()
    def advance(
        self, records: Sequence[UserRecord], rows: Tensor, events: EncodedEvents, chosen: Tensor
    ) -> list[tuple[bytes, int]]:
        """The states of users after events.

        Args:
            records: n of them.
            rows: ``[E]`` i64, the record that each event moves.
            events: encoded.
            chosen: ``[E]`` i64, which of them, in order.

        Returns:
            n states and their counters.
        """
        pool = self._pool(records)
        ids = {name: values[chosen] for name, values in events.ids.items()}
        self.model.advance_(pool, rows, self.model.embedding.events(ids))
        return self.layout.pack(pool)

    @torch.no_grad()
    def logits(self, record: UserRecord, batch: Batch) -> Tensor:
        """``[B]``: of candidates, beside one user's state."""
        return self.model.logits(self.model.upon(self._pool([record]), batch))

    def state(self, record: UserRecord) -> MimnState | HpmnState:
        """A user's, of one row."""
        found: MimnState | HpmnState = self._pool([record])
        return found

    def _pool(self, records: Sequence[UserRecord]) -> Any:
        return self.layout.unpack([(record.state, record.count) for record in records])


def version_of(folder: Path) -> bytes:
    """Of the model in a training's folder.

    Raises:
        FileNotFoundError: there is none.
    """
    return hashlib.sha256((folder / MODEL).read_bytes()).digest()[:_VERSION_BYTES]


def holds_version(folder: Path, version: bytes) -> bool:
    """Whether the model of this version is in a training's folder."""
    return (folder / MODEL).is_file() and version_of(folder) == version


def _explicit(examples: ExampleConfig, schema: FeatureSchema, dataset: Dataset) -> bool:
    """Whether events say what was liked, as those of the training did, by its settings or its
    features; where neither tells, as those of ``dataset`` do.
    """
    if examples.feedback is not None:
        return examples.feedback == "explicit"
    names = {feature.name for feature in schema.features}
    if examples.signed:
        return SIGN in names
    if examples.running_rates is None:
        return RATES[0] in names
    return feedback_of(dataset) == "explicit"


def _loaded(folder: Path) -> tuple[Job, nn.Module, bytes]:
    """A training's job and model, and the version of the very weights that were read."""
    before = version_of(folder) if (folder / MODEL).is_file() else None
    job, model = load_trained(folder)
    version = version_of(folder)
    if version != before:
        raise ModelVersionError(f"{folder}: {MODEL} was replaced while it was read: try again")
    return job, model, version
