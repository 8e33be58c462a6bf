"""Importer of the Open Bandit Dataset: logs of two policies, ``{random,bts}/{all,men,women}``.

A row is an impression: time, item, position on the page, click, and the policy's probability of
showing the item there (propensity). The logs have no user ids: users with the same four features
count as one user. Each campaign has separate items.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from recops_models.data import columns
from recops_models.data.assemble import assemble
from recops_models.data.checks import RawTable
from recops_models.data.dataset import Dataset
from recops_models.data.errors import DataError
from recops_models.data.importers.text_files import read_delimited

POLICIES = ("random", "bts")
CAMPAIGNS = ("all", "men", "women")

_LOGS = [(policy, campaign) for policy in POLICIES for campaign in CAMPAIGNS]
_USER = tuple(f"user_feature_{index}" for index in range(4))
_ITEM = ("item_id", *(f"item_feature_{index}" for index in range(4)))
_LOG = ("timestamp", "item_id", "position", "click", "propensity_score", *_USER)


def read_open_bandit(folder: Path, *, name: str = "open-bandit") -> Dataset:
    """Read the six logs in ``folder``.

    ``interactions`` has ``label`` (the click), ``position``, ``propensity``, ``policy`` and
    ``campaign``. ``items`` has an ``item_key`` such as ``men/7``, ``campaign``, the number
    ``item_feature_0`` (from the random policy's file) and three categories. ``users`` has four
    categories.

    Raises:
        DataError: a file is missing, or lacks a column.
    """
    logs = [
        _read(folder, f"{policy}/{campaign}/{campaign}.csv", _LOG) for policy, campaign in _LOGS
    ]
    events = pa.concat_tables(
        [
            _events(raw.table, policy, campaign)
            for raw, (policy, campaign) in zip(logs, _LOGS, strict=True)
        ]
    )
    users = events.group_by("user_id", use_threads=False).aggregate(
        [(feature, "first") for feature in _USER]
    )
    catalogues = [_read(folder, f"random/{name}/item_context.csv", _ITEM) for name in CAMPAIGNS]
    items = pa.concat_tables(
        [_items(raw.table, name) for raw, name in zip(catalogues, CAMPAIGNS, strict=True)]
    )
    malformed = [row for raw in (*logs, *catalogues) for row in raw.malformed]
    if malformed:
        raise DataError(f"{folder}: row {malformed[0][0]} of a file cannot be split")
    return assemble(
        name,
        RawTable("{random,bts}/*/*.csv", events.drop_columns(list(_USER))),
        RawTable("random/*/item_context.csv", _categories(items, ("campaign", *_ITEM[2:]))),
        RawTable("users", _categories(users.rename_columns(["user_id", *_USER]), _USER)),
        source=str(folder),
        ids="string",
        extra_columns=("policy", "campaign"),
        drop_duplicates=False,
        notes=(
            "the logs have no user ids: users with the same four features count as one user",
            "the affinities of users and items are not used",
        ),
    )


def _read(folder: Path, file: str, needed: tuple[str, ...]) -> RawTable:
    raw = read_delimited(folder / file, text=needed)
    for name in needed:
        if name not in raw.table.column_names:
            raise DataError(f"{folder / file}: no column {name!r}")
    return raw


def _events(log: pa.Table, policy: str, campaign: str) -> pa.Table:
    return pa.table(
        {
            "user_id": pc.binary_join_element_wise(*(log[name] for name in _USER), "|"),
            "item_id": pc.binary_join_element_wise(campaign, log["item_id"], "/"),
            "timestamp": log["timestamp"],
            "label": log["click"],
            "position": log["position"],
            "propensity": log["propensity_score"],
            "policy": pa.repeat(policy, log.num_rows).dictionary_encode(),
            "campaign": pa.repeat(campaign, log.num_rows).dictionary_encode(),
            **{name: log[name] for name in _USER},
        }
    )


def _items(context: pa.Table, campaign: str) -> pa.Table:
    number, _ = columns.parse_numbers(context["item_feature_0"], "item_feature_0")
    return pa.table(
        {
            "item_id": pc.binary_join_element_wise(campaign, context["item_id"], "/"),
            "campaign": pa.repeat(campaign, context.num_rows),
            "item_feature_0": number,
            **{name: context[name] for name in _ITEM[2:]},
        }
    )


def _categories(table: pa.Table, names: tuple[str, ...]) -> pa.Table:
    for name in names:
        index = table.column_names.index(name)
        encoded = table[name].combine_chunks().dictionary_encode()
        table = table.set_column(index, name, encoded)
    return table
