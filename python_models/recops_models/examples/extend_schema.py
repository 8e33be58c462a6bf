"""Vocabularies of an earlier training, extended by the values of newer data."""

from __future__ import annotations

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recops_models.data.errors import DataError
from recops_models.data.vocabulary import Vocabulary
from recops_models.examples.bins import Bins
from recops_models.examples.features import Categorical, Feature, FittedSchema, Sequence
from recops_models.examples.lookup import Lookup


def extended_schema(earlier: FittedSchema, newer: FittedSchema) -> FittedSchema:
    """Return ``earlier`` with the values of both vocabularies.

    Means, deviations and bins stay those of ``earlier``, which trained weights expect, and so does
    the number of values that are read of a list.

    Raises:
        DataError: the features differ.

    Complexity:
        O(n log n) for n values.
    """
    before = {feature.name: _declared(feature) for feature in earlier.schema.features}
    after = {feature.name: _declared(feature) for feature in newer.schema.features}
    for name in dict.fromkeys([*before, *after]):
        if before.get(name) != after.get(name):
            states = {(True, False): "is missing in the data", (False, True): "is new in the data"}
            state = states.get((name in before, name in after), "has other settings or roles")
            raise DataError(
                f"feature {name!r} {state}: a training continues only with the features of the "
                "earlier one"
            )
    lookups = {
        name: _union(name, lookup, newer.lookups[name]) for name, lookup in earlier.lookups.items()
    }
    return dataclasses.replace(earlier, lookups=lookups)


def _declared(feature: Feature) -> Feature:
    if isinstance(feature, (Categorical, Sequence)):
        has_lists = None if feature.max_values is None else 1
        return dataclasses.replace(feature, pretrained=None, max_values=has_lists)
    return feature


def _union(name: str, earlier: Lookup, newer: Lookup) -> Lookup:
    if isinstance(earlier, Bins):
        return earlier
    first, second = earlier.keys, newer.keys
    if not len(second):
        return earlier
    if not len(first):
        return newer
    if isinstance(first, Vocabulary) and isinstance(second, Vocabulary):
        return Lookup(Vocabulary.of(np.concatenate([first.ids, second.ids])))
    if isinstance(first, Vocabulary) or isinstance(second, Vocabulary):
        kinds = ["integers" if isinstance(each, Vocabulary) else "text" for each in (second, first)]
        raise DataError(f"feature {name!r} holds {kinds[0]}, but held {kinds[1]} in training")
    keys = pc.unique(pa.concat_arrays([first, second]))
    return Lookup(keys.take(pc.array_sort_indices(keys)))
