"""Features that hold the rows of an example's user and item in external knowledge."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from recops_models.examples.features import Categorical, FittedSchema
from recops_models.examples.lookup import Lookup

KNOWN = {"user": "knowledge:user", "item": "knowledge:item"}
"""Features with the source's ids of an example's user and item, which are looked up in external
knowledge. Only schemas of models that read such knowledge have them."""


def with_knowledge(fitted: FittedSchema, lookups: Mapping[str, Lookup]) -> FittedSchema:
    """Add the features :data:`KNOWN`.

    Args:
        fitted: fitted schema, with or without these features.
        lookups: maps from the source's ids to rows of the knowledge, for ``"user"`` and ``"item"``.

    Example:
        >>> from recops_models.examples.knowledge_features import with_knowledge
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> from recops_models.graphs.tiny import tiny_knowledge
        >>> schema, _ = tiny_click_data()
        >>> fitted = with_knowledge(schema, tiny_knowledge().lookups)
        >>> [feature.name for feature in fitted.schema.features[-2:]]
        ['knowledge:user', 'knowledge:item']
    """
    features = tuple(Categorical(KNOWN[name]) for name in KNOWN)
    declared = dataclasses.replace(
        fitted.schema, features=(*without_knowledge(fitted).schema.features, *features)
    )
    known = {KNOWN[name]: lookups[name] for name in KNOWN}
    return FittedSchema(declared, {**fitted.lookups, **known}, fitted.moments)


def without_knowledge(fitted: FittedSchema) -> FittedSchema:
    """Remove the features that :func:`with_knowledge` adds.

    Example:
        >>> from recops_models.examples.knowledge_features import with_knowledge, without_knowledge
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> from recops_models.graphs.tiny import tiny_knowledge
        >>> schema, _ = tiny_click_data()
        >>> fitted = with_knowledge(schema, tiny_knowledge().lookups)
        >>> without_knowledge(fitted).schema == schema.schema
        True
    """
    names = set(KNOWN.values())
    features = tuple(feature for feature in fitted.schema.features if feature.name not in names)
    lookups = {name: lookup for name, lookup in fitted.lookups.items() if name not in names}
    declared = dataclasses.replace(fitted.schema, features=features)
    return FittedSchema(declared, lookups, fitted.moments)
