"""Stored knowledge of users and items, extracted from a super-domain.

After KEEP (Zhang et al., CIKM 2022, arXiv 2208.10174), of which the abstract, the introduction and
summaries by others were read. Confirmed: there is knowledge of users, of items and of their
interaction. Storage, names, versions and the leakage check are the project's own.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recops.files import CorruptFileError, load_tensors, save_tensors
from recops_models.data.errors import DataError
from recops_models.data.vocabulary import Vocabulary
from recops_models.dotted import below
from recops_models.examples.lookup import UNKNOWN, Lookup
from recops_models.graphs.coded_rows import CodedRows, Coding

KIND = "knowledge"

ENTITIES = ("user", "item")


class KnowledgeError(ValueError):
    """Knowledge of another version or model, or that covers no user or item of the data."""


class LeakageError(KnowledgeError):
    """Knowledge that was learnt from events as late as the examples."""


@dataclass(frozen=True)
class Window:
    """Period of the events that an extractor was trained on.

    Attributes:
        first: the time of the first event.
        last: the time of the last event.
        seconds: whether times are seconds since the epoch. Otherwise they are positions in each
            user's order, which cannot be compared with a clock.
    """

    first: int
    last: int
    seconds: bool

    def __str__(self) -> str:
        return f"{self.moment(self.first)} to {self.moment(self.last)}"

    def moment(self, time: int) -> str:
        """Return a time of this window's kind as text."""
        if not self.seconds:
            return f"place {time}"
        return datetime.fromtimestamp(time, timezone.utc).isoformat(" ").removesuffix("+00:00")


@dataclass(frozen=True, eq=False)
class Knowledge:
    """Vectors ``K_u [U + 2, d]`` and ``K_i [I + 2, d]``, and a small net for ``K_ui`` of both.

    Rows 0 (padding) and 1 (unknown) are zero. ``version`` identifies the extractor's weights:
    tables of one version have a common basis, and a plug reads only the version that it was trained
    with. Extracting a longer window with the same extractor keeps the version.

    Attributes:
        lookups: maps from ids to rows of the tables, for ``"user"`` and ``"item"``.
        tables: tables of ``"user"`` and ``"item"``.
        pair: the weights of :class:`~recops_models.layers.pair_knowledge.PairKnowledge`, by name.
        version: version of the extractor, 12 hexadecimal digits; see :func:`version_of`.
        source: the data set that the extractor was trained on.
        tasks: the extractor's tasks.
        window: the period of its events.
    """

    lookups: Mapping[str, Lookup]
    tables: Mapping[str, CodedRows]
    pair: Mapping[str, Tensor]
    version: str
    source: str
    tasks: tuple[str, ...]
    window: Window

    @property
    def width(self) -> int:
        """d, the width of a knowledge vector."""
        return self.tables["user"].values.shape[1]

    @property
    def nbytes(self) -> int:
        """Number of bytes of both tables."""
        return sum(table.nbytes for table in self.tables.values())

    def coded(self, coding: Coding) -> Knowledge:
        """Return the same knowledge in another coding."""
        tables = {
            name: CodedRows.of(table.decoded(), coding) for name, table in self.tables.items()
        }
        return dataclasses.replace(self, tables=tables)

    def shuffled(self, seed: int) -> Knowledge:
        """Return a control: the rows of known users, and of known items, are permuted at random.

        Unknown users and items keep their zero rows.
        """
        generator = torch.Generator().manual_seed(seed)
        tables = {}
        for name, table in self.tables.items():
            order = torch.arange(len(table.values))
            known = torch.randperm(len(order) - UNKNOWN - 1, generator=generator)
            order[UNKNOWN + 1 :] = UNKNOWN + 1 + known
            scale = None if table.scale is None else table.scale[order]
            tables[name] = CodedRows(table.values[order], scale)
        return dataclasses.replace(self, tables=tables)

    def at(self, lookups: Mapping[str, Lookup]) -> Knowledge:
        """Return the knowledge with its rows in the order of ``lookups``, without all other ids.

        O((U + I) · d).

        Raises:
            KnowledgeError: ``lookups`` have an id that this knowledge lacks.
        """
        tables = {}
        for name, table in self.tables.items():
            ids = lookups[name].keys
            try:
                rows = self.lookups[name].rows(ids.ids if isinstance(ids, Vocabulary) else ids)
            except DataError as error:
                raise KnowledgeError(f"keep: {name}s of {self.source}: {error}") from error
            if absent := int((rows == UNKNOWN).sum()):
                raise KnowledgeError(
                    f"keep: knowledge must cover all {len(ids):,} {name}s that this model knows, "
                    f"but that of {self.source} lacks {absent:,}"
                )
            index = torch.cat([torch.arange(UNKNOWN + 1), torch.from_numpy(rows)])
            scale = None if table.scale is None else table.scale[index]
            tables[name] = CodedRows(table.values[index], scale)
        return dataclasses.replace(self, lookups=dict(lookups), tables=tables)

    def check_before(self, first: int, *, data: str, seconds: bool) -> None:
        """Check that the knowledge was learnt from events before the first example.

        Args:
            first: the time of the first event that is an example.
            data: the data set's name, for messages.
            seconds: whether ``first`` is in seconds since the epoch.

        Raises:
            LeakageError: the window does not end before ``first``, or one of both has no clock
                time, so that the order is unknown.
        """
        if not (seconds and self.window.seconds):
            raise LeakageError(
                f"keep: knowledge of {self.source} and examples of {data} must both have times, to "
                "rule out leakage; with cut=order, you must rule it out yourself"
            )
        if self.window.last >= first:
            raise LeakageError(
                f"keep: knowledge must come from events before {data}'s first example at "
                f"{self.window.moment(first)}, got that of {self.source}, {self.window}"
            )

    def save(self, path: Path) -> None:
        """Write the knowledge to one sealed file.

        Raises:
            OSError: no space; an existing file is unchanged.
        """
        tensors = {f"pair.{name}": value for name, value in self.pair.items()}
        for name in ENTITIES:
            lookup = self.lookups[name].state()
            tensors |= {f"{name}.lookup.{part}": value for part, value in lookup.items()}
            tensors[f"{name}.values"] = self.tables[name].values
            scale = self.tables[name].scale
            if scale is not None:
                tensors[f"{name}.scale"] = scale
        meta = {
            "version": self.version,
            "source": self.source,
            "tasks": list(self.tasks),
            "window": dataclasses.asdict(self.window),
        }
        save_tensors(path, tensors, kind=KIND, meta=meta)

    @classmethod
    def load(cls, path: Path) -> Knowledge:
        """Return the knowledge that :meth:`save` wrote.

        Raises:
            CorruptFileError: the file is damaged, truncated, of another kind, or written by a newer
                version.
            FileNotFoundError: no such file.
        """
        tensors, meta = load_tensors(path, kind=KIND)
        try:
            return cls(
                {name: Lookup.from_state(below(f"{name}.lookup.", tensors)) for name in ENTITIES},
                {
                    name: CodedRows(tensors[f"{name}.values"], tensors.get(f"{name}.scale"))
                    for name in ENTITIES
                },
                below("pair.", tensors),
                meta["version"],
                meta["source"],
                tuple(meta["tasks"]),
                Window(**meta["window"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptFileError(f"{path}: not a valid knowledge file") from error


def version_of(weights: Mapping[str, Tensor], *settings: Any) -> str:
    """Return 12 hexadecimal digits that identify an extractor's weights and settings.

    Args:
        weights: the extractor's weights, by name.
        settings: JSON-like values; their ``repr`` counts.
    """
    from recops_models.training.device import array  # Loading a model computes no digest.

    digest = hashlib.sha256(repr(settings).encode())
    for name in sorted(weights):
        value = weights[name].detach().contiguous()
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        digest.update(array(value.view(-1).view(torch.uint8)).tobytes())
    return digest.hexdigest()[:12]
