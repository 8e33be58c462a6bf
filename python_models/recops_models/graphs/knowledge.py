"""What an extractor knows of users and items, at rest under their ids.

After KEEP (Zhang et al., CIKM 2022, arXiv 2208.10174), of which the abstract, the introduction and
others' summaries were read. That there is knowledge of users, of items and of their interaction is
confirmed; how it is stored, named, versioned and guarded is ours.
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
    """Knowledge that does not fit: of another version or model, or of nobody who is asked about."""


class LeakageError(KnowledgeError):
    """Knowledge that was learnt from what is still to come."""


@dataclass(frozen=True)
class Window:
    """Which events taught an extractor.

    Attributes:
        first: the time of the first one.
        last: that of the last one.
        seconds: whether these are seconds since the epoch; else they are places in an order of
            each user's own, which no clock can be held against.
    """

    first: int
    last: int
    seconds: bool

    def __str__(self) -> str:
        return f"{self.moment(self.first)} to {self.moment(self.last)}"

    def moment(self, time: int) -> str:
        """A time of this window's kind in words."""
        if not self.seconds:
            return f"place {time}"
        return datetime.fromtimestamp(time, timezone.utc).isoformat(" ").removesuffix("+00:00")


@dataclass(frozen=True, eq=False)
class Knowledge:
    """``K_u [U + 2, d]`` and ``K_i [I + 2, d]``, and the small net that makes ``K_ui`` of both.

    Rows 0 (padding) and 1 (the unknown) are zero. ``version`` names the extractor's weights: tables
    of one version are in one basis, and a plug-in network reads no other. The same extractor may be
    asked again later, of a longer window: that keeps the version.

    Attributes:
        lookups: of ``"user"`` and ``"item"``: from ids to rows.
        tables: of the same two.
        pair: the weights of :class:`~recops_models.layers.pair_knowledge.PairKnowledge`, by name.
        version: of the extractor, 12 hexadecimal digits; see :func:`version_of`.
        source: the data set that taught it.
        tasks: what it was taught.
        window: when.
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
        """d."""
        return self.tables["user"].values.shape[1]

    @property
    def nbytes(self) -> int:
        """Of both tables."""
        return sum(table.nbytes for table in self.tables.values())

    def coded(self, coding: Coding) -> Knowledge:
        """The same in another coding."""
        tables = {
            name: CodedRows.of(table.decoded(), coding) for name, table in self.tables.items()
        }
        return dataclasses.replace(self, tables=tables)

    def shuffled(self, seed: int) -> Knowledge:
        """Everybody's knowledge given to somebody else: a control that keeps all but the meaning.

        The rows of the known are permuted; who is unknown stays so.
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
        """The same, its rows in the places that ``lookups`` give; ids that they lack are left out.

        O((U + I) · d).

        Raises:
            KnowledgeError: they have an id of which nothing is known here.
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
                    f"keep: knowledge must be of all {len(ids):,} {name}s that this model knows, "
                    f"got that of {self.source}, which lacks {absent:,}"
                )
            place = torch.cat([torch.arange(UNKNOWN + 1), torch.from_numpy(rows)])
            scale = None if table.scale is None else table.scale[place]
            tables[name] = CodedRows(table.values[place], scale)
        return dataclasses.replace(self, lookups=dict(lookups), tables=tables)

    def check_before(self, first: int, *, data: str, seconds: bool) -> None:
        """Refuse knowledge that was learnt from events at or behind the first example.

        Args:
            first: the time of the first event that is an example.
            data: the data set's name, for the text.
            seconds: whether ``first`` is in seconds since the epoch.

        Raises:
            LeakageError: the window does not end before ``first``, or one of both is not of the
                clock, so that nobody can tell.
        """
        if not (seconds and self.window.seconds):
            raise LeakageError(
                f"keep: knowledge of {self.source} and examples of {data} must both have times, so "
                "that it can be told which came first; cut=order leaves that to you"
            )
        if self.window.last >= first:
            raise LeakageError(
                f"keep: knowledge must be of events before {data}'s first example at "
                f"{self.window.moment(first)}, got that of {self.source}, {self.window}"
            )

    def save(self, path: Path) -> None:
        """Write all of it as one sealed file.

        Raises:
            OSError: no room; a file that was there stays.
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
        """What :meth:`save` wrote.

        Raises:
            CorruptFileError: damaged, truncated, no knowledge, or written by a newer recops.
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
            raise CorruptFileError(f"{path}: no knowledge that this recops knows") from error


def version_of(weights: Mapping[str, Tensor], *told: Any) -> str:
    """12 hexadecimal digits of an extractor's weights and whatever else makes its basis.

    Args:
        weights: by name.
        told: JSON-like; its ``repr`` counts.
    """
    digest = hashlib.sha256(repr(told).encode())
    for name in sorted(weights):
        value = weights[name].detach().contiguous()
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.cpu().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]
