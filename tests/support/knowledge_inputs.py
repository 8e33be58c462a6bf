"""Knowledge of the users and items of ``click_inputs``, and batches with rows of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from click_inputs import SIZES, batch, schema
from click_recipes import net
from recops_models.click.model import ClickModel
from recops_models.data.vocabulary import Vocabulary
from recops_models.examples.batch import Batch
from recops_models.examples.knowledge_features import KNOWN
from recops_models.examples.lookup import Lookup
from recops_models.graphs.coded_rows import CodedRows
from recops_models.graphs.knowledge import Knowledge, Window
from recops_models.layers.pair_knowledge import PairKnowledge

WIDTH = 8


def knowledge(*, version: str = "0123456789ab", last: int = 99, **changes: Any) -> Knowledge:
    """Return random knowledge of all users and items except the last two of each."""
    generator = torch.Generator().manual_seed(5)
    lookups, tables = {}, {}
    for name in ("user", "item"):
        known = SIZES[name] - 2
        rows = torch.randn(known + 2, WIDTH, generator=generator)
        rows[:2] = 0
        lookups[name] = Lookup(Vocabulary(np.arange(known)))
        tables[name] = CodedRows.of(rows, "float32")
    with torch.random.fork_rng():
        torch.manual_seed(6)
        pair = PairKnowledge(WIDTH, 5).state_dict()
    window = Window(0, last, True)
    return replace(Knowledge(lookups, tables, pair, version, "shop", ("click",), window), **changes)


def known_batch(lengths: list[int], seed: int = 0) -> Batch:
    """Return a batch with rows of :func:`knowledge`; the last two users and items are unknown."""
    return with_known_rows(batch(lengths, seed=seed))


def with_known_rows(some: Batch) -> Batch:
    """Add the rows of :func:`knowledge` to a batch of ``click_inputs``."""
    rows = {
        feature: torch.where(
            some.features[name] < SIZES[name], some.features[name], torch.ones(1, dtype=torch.int64)
        )
        for name, feature in KNOWN.items()
    }
    return some._replace(features={**some.features, **rows})


def base_net(name: str = "din", **sizes: Any) -> ClickModel:
    """Return a network for :func:`known_batch`, with large weights for more sensitive tests."""
    torch.manual_seed(0)
    model = net(name, replace(schema(), moments={"age": (3.0, 2.0)}), **{"width": 8, **sizes})
    for table in model.embedding.tables.values():
        torch.nn.init.normal_(table.weight[1:])
    return model
