"""Tiny knowledge, to build a model that reads knowledge without extracting it."""

from __future__ import annotations

import torch

from recops_models.examples.tiny import tiny_click_data
from recops_models.graphs.coded_rows import CodedRows
from recops_models.graphs.knowledge import ENTITIES, Knowledge, Window

_WIDTH = 4


def tiny_knowledge() -> Knowledge:
    """Return knowledge of width 4 about all users and items of :func:`tiny_click_data`.

    Row r of each table holds the number r in every column, and zeros for padding and the unknown
    value. The pair net returns the product ``K_u ∘ K_i``.

    Example:
        >>> from recops_models.graphs.tiny import tiny_knowledge
        >>> knowledge = tiny_knowledge()
        >>> knowledge.width, knowledge.tables["user"].take(torch.tensor([1, 3]))[:, 0].tolist()
        (4, [0.0, 3.0])
    """
    schema, _ = tiny_click_data()
    lookups = {name: schema.lookup(name) for name in ENTITIES}
    tables = {}
    for name, lookup in lookups.items():
        rows = torch.arange(lookup.cardinality).float()[:, None].repeat(1, _WIDTH)
        rows[1] = 0
        tables[name] = CodedRows.of(rows, "float32")
    pair = {
        "first.weight": torch.zeros(_WIDTH, 3 * _WIDTH),
        "first.bias": torch.zeros(_WIDTH),
        "activation.weight": torch.full((_WIDTH,), 0.25),
        "second.weight": torch.zeros(_WIDTH, _WIDTH),
        "second.bias": torch.zeros(_WIDTH),
    }
    window = Window(first=0, last=9, seconds=True)
    return Knowledge(lookups, tables, pair, "0123456789ab", "tiny", ("click",), window)
