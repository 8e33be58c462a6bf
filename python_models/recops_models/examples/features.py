"""Feature schema of a click model, and its state fitted to the training part."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops_models.data.errors import DataError
from recops_models.data.histories import AnyArray
from recops_models.dotted import below
from recops_models.examples.lookup import PADDING, UNKNOWN, Lookup
from recops_models.settings import JsonObject


@dataclass(frozen=True)
class Categorical:
    """A categorical feature, looked up in an embedding table.

    Attributes:
        name: name of the feature and of its column.
        share_embedding: feature whose table is used; None: a separate table.
        min_count: values with fewer occurrences in the training part count as unknown.
        pretrained: file of vectors that initialise the table.
        rare_share: the rarest values, together at most this share of the training part, also count
            as unknown, so that the row of unknown values is trained.
        bins: number of quantile bins, for a column of numbers; None: each value is a category.
        max_values: for a column of lists: number of values of a list that are read; the mean of
            their embeddings is the feature. None: one value.
    """

    name: str
    share_embedding: str | None = None
    min_count: int = 1
    pretrained: str | None = None
    rare_share: float = 0.0
    bins: int | None = None
    max_values: int | None = None


@dataclass(frozen=True)
class Numeric:
    """A number, standardised with mean and deviation of the training part; missing is 0."""

    name: str


@dataclass(frozen=True)
class Sequence:
    """A sequence of categorical values, oldest first.

    Attributes:
        name: name of the feature and of its list column.
        max_len: maximum length; older values are dropped.
        share_embedding: feature whose table is used; a history of items shares that of ``item``.
        padding: end at which lists may be padded with nulls. Batches are always right-padded.
        min_count: as in :class:`Categorical`.
        pretrained: as in :class:`Categorical`.
        history: history that the sequence belongs to. None: "history" if it shares the table of a
            categorical feature; otherwise no history, and its embeddings are summed.
        bins: as in :class:`Categorical`; of a sequence that shares no table.
        max_values: as in :class:`Categorical`, for a sequence of lists that shares no table.
    """

    name: str
    max_len: int = 50
    share_embedding: str | None = None
    padding: Literal["post", "pre"] = "post"
    min_count: int = 1
    pretrained: str | None = None
    history: str | None = None
    bins: int | None = None
    max_values: int | None = None


@dataclass(frozen=True)
class Vector:
    """A pretrained vector of ``size`` numbers, used unchanged."""

    name: str
    size: int


Feature: TypeAlias = Categorical | Numeric | Sequence | Vector

_TYPES: dict[str, type[Feature]] = {
    "categorical": Categorical,
    "numeric": Numeric,
    "sequence": Sequence,
    "vector": Vector,
}
_JSON_TYPES: dict[str, Any] = {
    "int": int,
    "float": int | float,
    "str | None": str | None,
    "int | None": int | None,
}
_TYPE_NAMES = {kind: name for name, kind in _TYPES.items()}

_LARGEST = 1e18
"""Bound of standardised numbers: sums of squares stay below 3.4e38, the largest float32."""


@dataclass(frozen=True)
class FeatureSchema:
    """The features of a click model.

    Attributes:
        features: the features, in the order in which models concatenate them.
        label: column of clicks, 0 or 1.
        group: integer column that groups examples for gAUC; None: one group.

    Raises:
        DataError: there are no features; two have the same name; one shares the table of a feature
            without a separate table; or a size is not positive.
    """

    features: tuple[Feature, ...]
    label: str = "label"
    group: str | None = "user_id"

    def __post_init__(self) -> None:
        names = [feature.name for feature in self.features]
        if not names:
            raise DataError("FeatureSchema: no features")
        for name in names:
            if names.count(name) > 1:
                raise DataError(f"FeatureSchema: two features named {name!r}")
        for feature in self.features:
            for size in ("max_len", "min_count", "size"):
                if getattr(feature, size, 1) < 1:
                    raise DataError(f"FeatureSchema: {feature.name!r}: {size} must be 1 or more")
            if not 0 <= getattr(feature, "rare_share", 0.0) < 1:
                raise DataError(f"FeatureSchema: {feature.name!r}: rare_share must be in [0, 1)")
            owner = getattr(feature, "share_embedding", None)
            for size, least in (("bins", 2), ("max_values", 1)):
                number = getattr(feature, size, None)
                if number is not None and number < least:
                    raise DataError(
                        f"FeatureSchema: {feature.name!r}: {size} must be {least} or more"
                    )
                if number is not None and owner is not None:
                    raise DataError(
                        f"FeatureSchema: {feature.name!r}: {size} must be set on {owner!r}, whose "
                        "embedding it shares"
                    )
            if getattr(feature, "bins", None) and getattr(feature, "max_values", None):
                raise DataError(
                    f"FeatureSchema: {feature.name!r} must have bins or max_values, not both"
                )
            if owner is not None and owner not in self.tables:
                raise DataError(
                    f"FeatureSchema: {feature.name!r} shares the embedding of {owner!r}, "
                    "which has no separate embedding"
                )

    def of_type(self, kind: type[Any]) -> list[Any]:
        """Return the features of one class."""
        return [feature for feature in self.features if isinstance(feature, kind)]

    def __getitem__(self, name: str) -> Feature:
        for feature in self.features:
            if feature.name == name:
                return feature
        raise KeyError(f"FeatureSchema: no feature {name!r}")

    @property
    def tables(self) -> dict[str, Categorical | Sequence]:
        """Features with a separate embedding table, by name."""
        return {
            feature.name: feature
            for feature in self.features
            if isinstance(feature, (Categorical, Sequence)) and feature.share_embedding is None
        }

    def table(self, name: str) -> str:
        """Return the name of the feature that owns the embedding table of feature ``name``.

        Raises:
            KeyError: there is no such feature, or it has no table.
        """
        feature = self[name]
        if not isinstance(feature, (Categorical, Sequence)):
            raise KeyError(f"FeatureSchema: {name!r} has no embedding table")
        return feature.share_embedding or name

    def is_binned(self, name: str) -> bool:
        """Return whether the column of feature ``name`` holds numbers that are cut into bins."""
        feature = self[name]
        is_key = isinstance(feature, (Categorical, Sequence))
        return is_key and self.tables[self.table(name)].bins is not None

    def max_values(self, name: str) -> int | None:
        """Return the number of values of a list of feature ``name``; None: it holds no lists."""
        feature = self[name]
        is_key = isinstance(feature, (Categorical, Sequence))
        return self.tables[self.table(name)].max_values if is_key else None

    def single_valued(self) -> list[Categorical]:
        """Return the categorical features without lists."""
        return [each for each in self.of_type(Categorical) if self.max_values(each.name) is None]

    @property
    def histories(self) -> dict[str, list[Sequence]]:
        """Sequences of each history, aligned by event.

        Raises:
            DataError: sequences of one history share the same table or differ in ``max_len``; or
                none of them shares a categorical feature's table, so that no candidate can be
                compared with the history.
        """
        categorical = {feature.name for feature in self.of_type(Categorical)}
        histories: dict[str, list[Sequence]] = {}
        for feature in self.of_type(Sequence):
            shares = feature.share_embedding in categorical
            name = feature.history or ("history" if shares else None)
            if name is not None:
                histories.setdefault(name, []).append(feature)
        for name, sequences in histories.items():
            targets = [s.share_embedding for s in sequences if s.share_embedding in categorical]
            names = ", ".join(repr(sequence.name) for sequence in sequences)
            if len({sequence.max_len for sequence in sequences}) > 1 or len(set(targets)) < len(
                targets
            ):
                raise DataError(
                    f"FeatureSchema: {names} must share different embeddings and have the same "
                    "max_len, as they are one history; set `history` to separate them"
                )
            if not targets:
                raise DataError(
                    f"FeatureSchema: history {name!r}: none of {names} shares a categorical's "
                    "embedding"
                )
        return histories

    @property
    def candidate(self) -> str | None:
        """Feature of the candidate: the first categorical whose table a sequence shares.

        None if there is no history.
        """
        shared = {feature.share_embedding for feature in self.of_type(Sequence)}
        names = (feature.name for feature in self.single_valued())
        return next((name for name in names if name in shared), None)

    def to_dict(self) -> dict[str, Any]:
        """Return the schema as JSON values; default values are left out."""
        return {
            "features": [_feature_to_dict(feature) for feature in self.features],
            "label": self.label,
            "group": self.group,
        }

    @classmethod
    def from_dict(cls, content: JsonObject) -> FeatureSchema:
        """Return the schema that :meth:`to_dict` or a user wrote.

        Raises:
            DataError: a key is unknown or missing, a value has a wrong type, or a feature type is
                unknown.
        """
        unknown = set(content) - {"features", "label", "group"}
        if unknown:
            raise DataError(f"FeatureSchema: unknown key {min(unknown)!r}")
        if not isinstance(content.get("features"), list):
            raise DataError("FeatureSchema: 'features' must be a list")
        features = tuple(_feature_from_dict(entry) for entry in content["features"])
        label, group = content.get("label", "label"), content.get("group", "user_id")
        if not isinstance(label, str) or not isinstance(group, str | None):
            raise DataError("FeatureSchema: 'label' and 'group' must be column names")
        return cls(features, label, group)


@dataclass(frozen=True, eq=False)
class FittedSchema:
    """A schema with vocabularies, means and deviations of the training part.

    Attributes:
        schema: the features.
        lookups: name of a table's owner → vocabulary of the table.
        moments: numeric feature → ``(mean, standard deviation)``; the deviation is never 0.
    """

    schema: FeatureSchema
    lookups: dict[str, Lookup]
    moments: dict[str, tuple[float, float]] = field(default_factory=dict)

    def lookup(self, name: str) -> Lookup:
        """Return the vocabulary of the table of feature ``name``."""
        return self.lookups[self.schema.table(name)]

    def rows(self, name: str, values: pa.Array | pa.ChunkedArray) -> NDArray[np.int64]:
        """Return the rows ``[n]`` of a feature's values, or ``[n, max_values]`` of lists.

        Raises:
            DataError: a column holds other values than in the training part.
        """
        most = self.schema.max_values(name)
        if most is not None:
            from recops_models.examples.category_lists import list_values

            values, index = list_values(values, most)
        rows = self.lookup(name).rows(values)
        return rows if most is None else np.append([PADDING, UNKNOWN], rows)[index]

    def standardised(self, name: str, numbers: NDArray[np.float64]) -> NDArray[np.float32]:
        """Return ``(x − mean) / deviation`` of a numeric feature, clipped to ±1e18; NaN becomes 0.

        The bound keeps sums of hundreds of squares finite in float32.
        """
        mean, deviation = self.moments[name]
        numbers = ((numbers - mean) / deviation).clip(-_LARGEST, _LARGEST)
        numbers[np.isnan(numbers)] = 0
        standard: NDArray[np.float32] = numbers.astype(np.float32)
        return standard

    def encode(self, columns: Mapping[str, pa.ChunkedArray]) -> dict[str, AnyArray]:
        """Return the columns that are features: as table rows, or as standardised numbers.

        Args:
            columns: feature name → column; other columns than features are left out.

        Raises:
            DataError: a column holds strings but held integers in the training part, or the
                reverse.
        """
        return {
            feature.name: self.encoded(feature, columns[feature.name])
            for feature in self.schema.features
            if feature.name in columns and isinstance(feature, (Categorical, Numeric))
        }

    def encoded(self, feature: Feature, column: pa.Array | pa.ChunkedArray) -> AnyArray:
        """Return the column of one feature: as table rows, or as standardised numbers.

        Raises:
            DataError: as :meth:`encode`.
        """
        if isinstance(feature, Numeric):
            numbers = column.cast(pa.float64(), safe=False).to_numpy()
            return self.standardised(feature.name, numbers)
        return self.rows(feature.name, column)

    def cardinality(self, name: str) -> int:
        """Return the number of rows of a feature's table: 0 padding, 1 unknown, from 2 values."""
        return self.lookup(name).cardinality

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return tensors and JSON metadata for :func:`recops.files.save_tensors`."""
        tensors = {
            f"lookup.{name}.{part}": tensor
            for name, lookup in self.lookups.items()
            for part, tensor in lookup.state().items()
        }
        for name, moments in self.moments.items():
            tensors[f"moments.{name}"] = torch.tensor(moments, dtype=torch.float64)
        return tensors, self.schema.to_dict()

    @classmethod
    def from_state(cls, tensors: Mapping[str, Tensor], meta: JsonObject) -> FittedSchema:
        """Return the schema that :meth:`state` exported; additional tensors are ignored.

        Raises:
            DataError: ``meta`` is not a schema.
            KeyError: a tensor is missing.
        """
        schema = FeatureSchema.from_dict(meta)
        lookups = {name: _lookup(below(f"lookup.{name}.", tensors)) for name in schema.tables}
        moments = {}
        for feature in schema.of_type(Numeric):
            mean, deviation = tensors[f"moments.{feature.name}"].tolist()
            moments[feature.name] = (mean, deviation)
        return cls(schema, lookups, moments)


def _lookup(tensors: Mapping[str, Tensor]) -> Lookup:
    """Return the lookup or the bins whose ``state`` was exported."""
    if "edges" not in tensors:
        return Lookup.from_state(tensors)
    from recops_models.examples.bins import Bins

    return Bins.of(tensors["edges"].numpy())


def _feature_to_dict(feature: Feature) -> dict[str, Any]:
    content = {"name": feature.name, "type": _TYPE_NAMES[type(feature)]}
    for entry in dataclasses.fields(feature):
        value = getattr(feature, entry.name)
        if entry.name != "name" and value != entry.default:
            content[entry.name] = value
    return content


def _feature_from_dict(content: Any) -> Feature:
    if not isinstance(content, dict) or not isinstance(content.get("name"), str):
        raise DataError(f"FeatureSchema: a feature needs a 'name', got {content!r}")
    name, kind = content["name"], content.get("type")
    if kind not in _TYPES:
        raise DataError(
            f"FeatureSchema: {name!r} has type {kind!r}; available: {', '.join(_TYPES)}"
        )
    values = {key: value for key, value in content.items() if key != "type"}
    known = {entry.name: str(entry.type) for entry in dataclasses.fields(_TYPES[kind])}
    for key, value in values.items():
        if key not in known:
            raise DataError(
                f"FeatureSchema: {name!r}: unknown key {key!r}; {kind} has {', '.join(known)}"
            )
        expected = _JSON_TYPES.get(known[key], str)
        if not isinstance(value, expected) or isinstance(value, bool):
            raise DataError(f"FeatureSchema: {name!r}: {key} must be {known[key]}, got {value!r}")
    if values.get("padding", "post") not in ("post", "pre"):
        raise DataError(
            f"FeatureSchema: {name!r}: padding must be 'post' or 'pre', got {values['padding']!r}"
        )
    if kind == "vector" and "size" not in values:
        raise DataError(f"FeatureSchema: {name!r}: a vector must have a size")
    return _TYPES[kind](**values)
