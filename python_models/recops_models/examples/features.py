"""Which columns a click model reads, and what was learnt of them on the training part."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops_models.data.errors import DataError
from recops_models.dotted import below
from recops_models.examples.lookup import Lookup
from recops_models.settings import JsonObject


@dataclass(frozen=True)
class Categorical:
    """One of many values, looked up in an embedding table.

    Attributes:
        name: the feature's, and its column's.
        share_embedding: the feature whose table it uses; None has one of its own.
        min_count: values rarer than this in the training part count as unknown.
        pretrained: a file of vectors that the table starts from.
        rare_share: the rarest values count as unknown too, as long as together they are at most
            this share of the training part: what is never unknown in training trains no row that
            stands for the unknown.
    """

    name: str
    share_embedding: str | None = None
    min_count: int = 1
    pretrained: str | None = None
    rare_share: float = 0.0


@dataclass(frozen=True)
class Numeric:
    """A number, standardised by the training part's mean and deviation; a missing one is 0."""

    name: str


@dataclass(frozen=True)
class Sequence:
    """Values in order, oldest first, of which the last ``max_len`` count.

    Attributes:
        name: the feature's, and its list column's.
        max_len: longer rows lose their oldest values.
        share_embedding: the feature whose table it uses: a history of items shares ``item``'s.
        padding: the end at which a list column may be filled up with nulls. Batches are
            right-padded whatever it is.
        min_count: as of :class:`Categorical`.
        pretrained: as of :class:`Categorical`.
        history: the history whose events it tells of. None: of "history", where it shares a
            categorical's table; else of none, and its values are summed.
    """

    name: str
    max_len: int = 50
    share_embedding: str | None = None
    padding: Literal["post", "pre"] = "post"
    min_count: int = 1
    pretrained: str | None = None
    history: str | None = None


@dataclass(frozen=True)
class Vector:
    """A pretrained vector of ``size`` numbers, taken as it is."""

    name: str
    size: int


Feature: TypeAlias = Categorical | Numeric | Sequence | Vector

_TYPES: dict[str, type[Feature]] = {
    "categorical": Categorical,
    "numeric": Numeric,
    "sequence": Sequence,
    "vector": Vector,
}
_DUE: dict[str, Any] = {"int": int, "float": int | float, "str | None": str | None}
_TYPE_NAMES = {kind: name for name, kind in _TYPES.items()}

_FARTHEST = 1e18
"""From the mean, in deviations; float32 ends at 3.4e38."""


@dataclass(frozen=True)
class FeatureSchema:
    """The features of a click model.

    Attributes:
        features: in the order in which models concatenate them.
        label: the column of clicks, 0 or 1.
        group: the integer column by which gAUC groups examples; None makes one group of all.

    Raises:
        DataError: two features of one name, a table shared with a feature that has none of its
            own, or a size that is not positive.
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
            if owner is not None and owner not in self.tables:
                raise DataError(
                    f"FeatureSchema: {feature.name!r} shares the embedding of {owner!r}, "
                    "which has none of its own"
                )

    def of_type(self, kind: type[Any]) -> list[Any]:
        """The features of one class."""
        return [feature for feature in self.features if isinstance(feature, kind)]

    def __getitem__(self, name: str) -> Feature:
        for feature in self.features:
            if feature.name == name:
                return feature
        raise KeyError(f"FeatureSchema: no feature {name!r}")

    @property
    def tables(self) -> dict[str, Categorical | Sequence]:
        """The features that have an embedding table of their own."""
        return {
            feature.name: feature
            for feature in self.features
            if isinstance(feature, (Categorical, Sequence)) and feature.share_embedding is None
        }

    def table(self, name: str) -> str:
        """The feature whose embedding table ``name`` uses: itself, or the one it shares with.

        Raises:
            KeyError: no such feature, or one without a table.
        """
        feature = self[name]
        if not isinstance(feature, (Categorical, Sequence)):
            raise KeyError(f"FeatureSchema: {name!r} has no embedding table")
        return feature.share_embedding or name

    @property
    def histories(self) -> dict[str, list[Sequence]]:
        """The sequences of each history, event by event beside each other.

        Raises:
            DataError: those of one history share a table twice, differ in ``max_len``, or none of
                them shares a categorical's table, so that no candidate could be held against them.
        """
        categorical = {feature.name for feature in self.of_type(Categorical)}
        found: dict[str, list[Sequence]] = {}
        for feature in self.of_type(Sequence):
            shares = feature.share_embedding in categorical
            name = feature.history or ("history" if shares else None)
            if name is not None:
                found.setdefault(name, []).append(feature)
        for name, sequences in found.items():
            targets = [s.share_embedding for s in sequences if s.share_embedding in categorical]
            names = ", ".join(repr(sequence.name) for sequence in sequences)
            if len({sequence.max_len for sequence in sequences}) > 1 or len(set(targets)) < len(
                targets
            ):
                raise DataError(
                    f"FeatureSchema: {names} are not one history: each must share another "
                    "feature's embedding, and all have one max_len; name another by `history`"
                )
            if not targets:
                raise DataError(
                    f"FeatureSchema: history {name!r}: none of {names} shares a categorical's "
                    "embedding"
                )
        return found

    @property
    def candidate(self) -> str | None:
        """The feature that names what is shown: the first categorical that a sequence shares its
        table with; None where there is no history.
        """
        shared = {feature.share_embedding for feature in self.of_type(Sequence)}
        names = (feature.name for feature in self.of_type(Categorical))
        return next((name for name in names if name in shared), None)

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; values at their defaults are left out."""
        return {
            "features": [_feature_to_dict(feature) for feature in self.features],
            "label": self.label,
            "group": self.group,
        }

    @classmethod
    def from_dict(cls, content: JsonObject) -> FeatureSchema:
        """The schema that :meth:`to_dict` wrote, or a user did.

        Raises:
            DataError: a key that is unknown or missing, a value of a wrong type, an unknown
                feature type.
        """
        unknown = set(content) - {"features", "label", "group"}
        if unknown:
            raise DataError(f"FeatureSchema: unknown key {min(unknown)!r}")
        if not isinstance(content.get("features"), list):
            raise DataError("FeatureSchema: 'features' must be a list")
        features = tuple(_feature_from_dict(entry) for entry in content["features"])
        label, group = content.get("label", "label"), content.get("group", "user_id")
        if not isinstance(label, str) or not isinstance(group, str | None):
            raise DataError("FeatureSchema: 'label' and 'group' must name columns")
        return cls(features, label, group)


@dataclass(frozen=True, eq=False)
class FittedSchema:
    """A schema with what the training part taught: vocabularies, means and deviations.

    Attributes:
        schema: the features.
        lookups: the vocabulary of each embedding table, by its owner's name.
        moments: ``(mean, standard deviation)`` of each numeric feature; the deviation is never 0.
    """

    schema: FeatureSchema
    lookups: dict[str, Lookup]
    moments: dict[str, tuple[float, float]] = field(default_factory=dict)

    def lookup(self, name: str) -> Lookup:
        """How feature ``name``'s values become rows of its table."""
        return self.lookups[self.schema.table(name)]

    def standardised(self, name: str, numbers: NDArray[np.float64]) -> NDArray[np.float32]:
        """``(x − mean) / deviation`` of a numeric feature, at most 1e18 from 0; 0 where x is NaN.

        Squares of it, and sums of hundreds of them, are numbers in float32.
        """
        mean, deviation = self.moments[name]
        numbers = np.nan_to_num((numbers - mean) / deviation).clip(-_FARTHEST, _FARTHEST)
        standard: NDArray[np.float32] = numbers.astype(np.float32)
        return standard

    def cardinality(self, name: str) -> int:
        """The rows of feature ``name``'s table: 0 is padding, 1 unknown, known values from 2."""
        return self.lookup(name).cardinality

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors and JSON-ready meta for :func:`recops.files.save_tensors`."""
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
        """What :meth:`state` gave; other tensors may lie beside.

        Raises:
            DataError: ``meta`` is no schema.
            KeyError: a tensor is missing.
        """
        schema = FeatureSchema.from_dict(meta)
        lookups = {
            name: Lookup.from_state(below(f"lookup.{name}.", tensors)) for name in schema.tables
        }
        moments = {}
        for feature in schema.of_type(Numeric):
            mean, deviation = tensors[f"moments.{feature.name}"].tolist()
            moments[feature.name] = (mean, deviation)
        return cls(schema, lookups, moments)


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
        raise DataError(f"FeatureSchema: {name!r} has type {kind!r}; there are {', '.join(_TYPES)}")
    values = {key: value for key, value in content.items() if key != "type"}
    known = {entry.name: str(entry.type) for entry in dataclasses.fields(_TYPES[kind])}
    for key, value in values.items():
        if key not in known:
            raise DataError(
                f"FeatureSchema: {name!r}: unknown key {key!r}; {kind} has {', '.join(known)}"
            )
        due = _DUE.get(known[key], str)
        if not isinstance(value, due) or isinstance(value, bool):
            raise DataError(f"FeatureSchema: {name!r}: {key} is {value!r}, {known[key]} is due")
    if values.get("padding", "post") not in ("post", "pre"):
        raise DataError(
            f"FeatureSchema: {name!r}: padding is {values['padding']!r}, 'post' or 'pre' is due"
        )
    if kind == "vector" and "size" not in values:
        raise DataError(f"FeatureSchema: {name!r}: a vector needs its size")
    return _TYPES[kind](**values)
