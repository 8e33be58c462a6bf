"""Roles of the columns of a user's own tables, in a file that the user can edit.

::

    event:
      device: category
      price: {role: number, per: item}
      dwell_time: {role: number, known: after}
    item:
      title: text
      category_id: category
      tags: list
      internal_note: skip

Sections are ``event``, ``item`` and ``user``. The file is YAML, of which only such lines, comments
and quoted names are read. A column that is not listed keeps the role that its type and values give.

A column of the events that is listed as one of the items or users becomes theirs: a log often
repeats the category of the item in every row. Each item gets the value of its last event.

A section ``labels`` names labels of the events; see :mod:`recops_models.data.labels`.

Click models read the categories, numbers and lists that are listed under ``event``; see
:class:`~recops_models.data.event_columns.EventColumn` for ``known`` and ``per``.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, cast, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recops.files import read_bounded
from recops_models.data.column_roles import column_role, is_list
from recops_models.data.columns import as_text, parse_numbers
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.event_columns import EventColumn, Known, Per
from recops_models.data.labels import with_labels

Role = Literal["category", "number", "list", "text", "skip"]

_FEATURES = ("category", "number", "list")
"""Roles of event columns that click models read."""

SCHEMA_FILE = "schema.yaml"
"""Name of the file in a folder of own tables."""

_TABLES = {"event": "interactions", "item": "items", "user": "users"}
_LABELS = "labels"
_OWN = {
    "interactions": (
        *("user_id", "item_id", "timestamp", "rating", "label", "feedback", "weight"),
        *("position", "propensity", "domain", "scene"),
    ),
    "items": ("item_id", "item_key"),
    "users": ("user_id", "user_key", "held_out"),
}
"""Columns with a fixed meaning."""

_LINE = re.compile(
    r"""(?P<indent>\s*)(?P<name>"(?:[^"\\]|\\.)*"|[^\s"#:][^:#]*):\s*(?P<value>.*)$"""
)
_EVENT_OPTIONS: dict[str, tuple[str, ...]] = {
    "role": get_args(Role),
    "known": get_args(Known),
    "per": get_args(Per),
}
"""Keys and values of a column of the events in braces."""


@dataclass(frozen=True)
class ColumnSchema:
    """Roles of columns by table and name.

    Attributes:
        roles: table (``"interactions"``, ``"items"`` or ``"users"``) → column → role.
        events: columns of the events that are known after the event, or differ between items.
        labels: label → condition, the weakest label first.

    Example:
        >>> import recops_models as rm
        >>> log = {"user_id": [1, 1], "item_id": [5, 6], "timestamp": [0, 1]}
        >>> items = {"item_id": [5, 6], "title": ["Up", "Heat"], "price": [9, 7]}
        >>> print(ColumnSchema.of(rm.Dataset.from_frames(log, items)).text())
        item:
          title: text
          price: number
    """

    roles: Mapping[str, Mapping[str, Role]]
    events: Mapping[str, EventColumn] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, dataset: Dataset) -> ColumnSchema:
        """Return the roles that the columns of a data set have.

        A column of the events that no schema lists is described by its name: see
        :meth:`~recops_models.data.event_columns.EventColumn.suggested`.
        """
        roles: dict[str, dict[str, Role]] = {}
        for table, own in _OWN.items():
            columns: pa.Table = getattr(dataset, table)
            others = [name for name in columns.column_names if name not in own]
            roles[table] = {name: _role(columns[name]) for name in others}
        listed = {column.name: column for column in dataset.event_columns}
        columns_of_events = [
            listed.get(name) or EventColumn.suggested(name)
            for name, role in roles["interactions"].items()
            if role in _FEATURES
        ]
        return cls(roles, _with_options(columns_of_events))

    @classmethod
    def read(cls, path: Path) -> ColumnSchema:
        """Read a file of roles.

        Raises:
            DataError: the file cannot be read; the message names the line.
        """
        try:
            lines = read_bounded(path).decode("utf-8-sig").splitlines()
        except FileNotFoundError:
            raise DataError(f"{path}: no such file") from None
        except (OSError, ValueError) as error:
            raise DataError(f"{path}: not readable as text ({error})") from error
        roles: dict[str, dict[str, Role]] = {}
        events: list[EventColumn] = []
        labels: dict[str, str] = {}
        table: str | None = None
        known = ", ".join((*_TABLES, _LABELS))
        for number, line in enumerate(lines, 1):
            content = re.sub(r"(^|\s)#.*$", "", line).rstrip()
            if not content:
                continue
            match = _LINE.fullmatch(content)
            where = f"{path}, line {number}"
            if match is None:
                raise DataError(f"{where}: must be `name: role`, got {content!r}")
            name, value = match["name"].strip(), match["value"].strip()
            name = json.loads(name) if name.startswith('"') else name
            if not match["indent"]:
                if name not in (*_TABLES, _LABELS) or value:
                    raise DataError(f"{where}: must be {known}, got {content!r}")
                table = _TABLES.get(name, name)
                if table != _LABELS:
                    roles.setdefault(table, {})
                continue
            if table == _LABELS:
                if not value or not name.isidentifier():
                    raise DataError(f"{where}: must be `label: condition`, got {content!r}")
                labels[name] = _unquoted(value)
                continue
            options = _options(value, where) if table == "interactions" else {"role": value}
            if options["role"] not in get_args(Role):
                raise DataError(
                    f"{where}: role must be {', '.join(get_args(Role))}, got {options['role']!r}"
                )
            if table is None:
                raise DataError(f"{where}: a column must follow {known}")
            roles[table][name] = cast(Role, options["role"])
            if table == "interactions":
                events.append(_event_column(name, options))
        return cls(roles, _with_options(events), labels)

    def text(self) -> str:
        """Return the content of a file for :meth:`read`."""
        lines = []
        for section, table in _TABLES.items():
            columns = self.roles.get(table, {})
            lines += [f"{section}:"] if columns else []
            for name, role in columns.items():
                is_plain = re.fullmatch(r"\w[\w ./-]*\w|\w", name)
                value: str = role
                if table == "interactions" and name in self.events:
                    value = _event_value(role, self.events[name])
                lines.append(f"  {name if is_plain else json.dumps(name)}: {value}")
        lines += [f"{_LABELS}:"] if self.labels else []
        lines += [f"  {name}: {condition}" for name, condition in self.labels.items()]
        return "\n".join(lines)

    def applied(self, dataset: Dataset) -> Dataset:
        """Return ``dataset`` with columns of these roles, and one note on skipped columns.

        Columns of the events that are listed under items or users move there. Those that are listed
        as categories, numbers or lists of the events become features of click models.

        Raises:
            DataError: a column is missing, has a fixed meaning, or does not fit its role.
        """
        tables, skipped = {}, []
        chosen = tuple(f"{table}: {name}: " for table in self.roles for name in self.roles[table])
        notes = [note for note in dataset.report.notes if not note.startswith(chosen)]
        for table, columns in self.roles.items():
            moved = [name for name in columns if _belongs_elsewhere(dataset, table, name)]
            for name in moved:
                dataset, different = _moved(dataset, table, name)
                if different:
                    values = f"{different:,} {table} have events with different values"
                    notes.append(f"{table}: {name}: {values}; the last one is used")
        for table, columns in self.roles.items():
            content: pa.Table = getattr(dataset, table)
            for name, role in columns.items():
                if name in _OWN[table]:
                    raise DataError(f"schema: column {name!r} of {table} has a fixed meaning")
                if name not in content.column_names:
                    if role == "skip":
                        continue
                    present = ", ".join(content.column_names)
                    raise DataError(
                        f"schema: {table} have no column {name!r} (columns: {present}); events "
                        "keep columns of numbers and of repeated text only"
                    )
                index = content.column_names.index(name)
                if role == "skip":
                    content = content.remove_column(index)
                    skipped.append(f"{name} ({table})")
                else:
                    column, unfit = _converted(content[name], role, f"{table}: {name}")
                    if table == "interactions" and role == "category":
                        column = column.cast(pa.string())
                    content = content.set_column(index, name, column)
                    if unfit:
                        notes.append(
                            f"{table}: {name}: {unfit:,} values are no numbers; set to null"
                        )
            tables[table] = content
        if skipped:
            notes.append(f"skipped by the schema: {', '.join(skipped)}")
        report = dataclasses.replace(dataset.report, notes=tuple(notes))
        read = tuple(
            self.events.get(name) or EventColumn(name)
            for name, role in self.roles.get("interactions", {}).items()
            if role in _FEATURES
        )
        dataset = dataclasses.replace(dataset, **tables, report=report, event_columns=read)
        return with_labels(dataset, self.labels)


def _unquoted(value: str) -> str:
    """Return a condition without the double quotes of YAML around it."""
    is_quoted = len(value) > 1 and value.startswith('"') and value.endswith('"')
    return str(json.loads(value)) if is_quoted else value


def _options(value: str, where: str) -> dict[str, str]:
    """Parse the role of a column of the events, alone or in braces with ``known`` and ``per``."""
    if not value.startswith("{"):
        return {"role": value}
    expected = "{role: number, known: after, per: item}"
    options = {}
    for part in value.removeprefix("{").removesuffix("}").split(","):
        key, _, choice = (text.strip() for text in part.partition(":"))
        if key not in _EVENT_OPTIONS or key in options:
            raise DataError(f"{where}: must be like {expected}, got {value!r}")
        if choice not in _EVENT_OPTIONS[key]:
            allowed = ", ".join(_EVENT_OPTIONS[key])
            raise DataError(f"{where}: {key} must be {allowed}, got {choice!r}")
        options[key] = choice
    if "role" not in options or not value.endswith("}"):
        raise DataError(f"{where}: must be like {expected}, got {value!r}")
    if options.get("known") == "after" and options.get("per") == "item":
        raise DataError(f"{where}: per: item needs a value that is known before, got {value!r}")
    return options


def _event_column(name: str, options: Mapping[str, str]) -> EventColumn:
    known, per = options.get("known", "before"), options.get("per", "request")
    return EventColumn(name, cast(Known, known), cast(Per, per))


def _event_value(role: str, column: EventColumn) -> str:
    options = f", known: {column.known}" if column.known == "after" else ""
    options += f", per: {column.per}" if column.per == "item" else ""
    return f"{{role: {role}{options}}}" if options else role


def _with_options(columns: list[EventColumn]) -> dict[str, EventColumn]:
    """Return the columns whose use differs from that of a column without options, by name."""
    return {each.name: each for each in columns if each != EventColumn(each.name)}


def list_advice(dataset: Dataset) -> list[str]:
    """Return a note on each column of categories whose values look like lists, as ``red|blue``."""
    notes, roles = [], ColumnSchema.of(dataset).roles
    for section, table in _TABLES.items():
        columns = getattr(dataset, table)
        for name, role in roles.get(table, {}).items():
            if role != "category" or pa.types.is_boolean(columns[name].type):
                continue
            values = as_text(columns[name])
            values = values.filter(pc.not_equal(values, ""))
            has_bar = pc.match_substring(values, "|")
            if len(values) and 2 * pc.sum(has_bar).as_py() > len(values):
                example = values.filter(has_bar)[0].as_py()
                notes.append(
                    f"{section}: {name}: values such as {example} look like lists; the role `list` "
                    "splits them"
                )
    return notes


def _belongs_elsewhere(dataset: Dataset, table: str, name: str) -> bool:
    """Return whether a column of the items or users is in the events only."""
    return (
        table != "interactions"
        and name not in getattr(dataset, table).column_names
        and name in dataset.interactions.column_names
        and name not in _OWN["interactions"]
    )


def _moved(dataset: Dataset, table: str, name: str) -> tuple[Dataset, int]:
    """Move a column of the events to items or users.

    Returns:
        the data set, and the number of items or users with events of different values.
    """
    events, owners = dataset.interactions, getattr(dataset, table)
    is_items = table == "items"
    vocabulary = dataset.item_vocabulary if is_items else dataset.user_vocabulary
    owner = vocabulary.index(events["item_id" if is_items else "user_id"].to_numpy())
    last = np.full(len(vocabulary), -1)
    np.maximum.at(last, owner, np.arange(len(owner)))  # Events are in time order.
    values = events[name].combine_chunks()
    codes = values.dictionary_encode().indices.fill_null(-1).to_numpy()
    different = np.unique(owner[codes != codes[last[owner]]])
    column = values.take(pa.array(last, mask=last < 0))
    moved = {table: owners.append_column(name, column), "interactions": events.drop_columns([name])}
    return dataclasses.replace(dataset, **moved), len(different)


def _role(column: pa.ChunkedArray) -> Role:
    role = column_role(column)
    if role == "attribute":
        return "list" if is_list(column.type) else "category"
    return role or "skip"


def _converted(column: pa.ChunkedArray, role: Role, name: str) -> tuple[pa.ChunkedArray, int]:
    """Return a column of a role, and the number of its values that became null."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column, kind = column.cast(kind.value_type), kind.value_type
    if is_list(kind):
        if role == "list":
            return column, 0
        raise DataError(f"schema: {name} must have the role list or skip, got {role}")
    if pa.types.is_nested(kind) or "binary" in str(kind):
        raise DataError(f"schema: {name} must have the role skip, because it holds {kind}")
    if role == "category":
        return (column if pa.types.is_boolean(kind) else _whole(column).dictionary_encode()), 0
    if role == "number":
        if pa.types.is_integer(kind) or pa.types.is_floating(kind):
            return column, 0
        values, faults = parse_numbers(column, name)
        is_bad = np.any([rows for _, rows in faults], axis=0)
        missing = faults[0][1]
        return pa.chunked_array([pa.array(values, mask=is_bad)]), int((is_bad & ~missing).sum())
    text = as_text(column)
    text = pc.if_else(pc.equal(text, ""), None, text)
    if role == "text":
        return text.cast(pa.large_string()), 0
    return pc.split_pattern_regex(text, rf"\s*{re.escape(_separator(text))}\s*"), 0


def _whole(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return floats with integer values as integers; other columns unchanged."""
    if not pa.types.is_floating(column.type):
        return column
    column = pc.if_else(pc.is_nan(column), None, column)
    try:
        return column.cast(pa.int64())
    except pa.ArrowInvalid:
        return column.cast(pa.string())


def _separator(text: pa.ChunkedArray) -> str:
    """Return the character that separates the values of lists in text: the most frequent one."""
    counts = {mark: pc.sum(pc.count_substring(text, mark)).as_py() or 0 for mark in "|;,"}
    return max(counts, key=lambda mark: counts[mark])
