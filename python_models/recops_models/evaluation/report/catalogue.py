"""Sections on the catalogue: usage of the semantic IDs' tokens, and the trie."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import numpy as np

from recops_models.evaluation.drawing.markup import ramp_swatches, table
from recops_models.evaluation.drawing.token_usage import token_usage
from recops_models.evaluation.report.content import CatalogueFigures
from recops_models.evaluation.report.verdict import capitalised

_BRANCHES, _BRANCH_ITEMS = 3, 8


def tokens_text(catalogue: CatalogueFigures) -> str:
    """Return the text that explains the tokens and their usage."""
    names = [level.name for level in catalogue.levels[: catalogue.num_attributes]]
    codes = len(catalogue.levels) - catalogue.num_attributes
    before = f" The item's {' and '.join(names)} precedes the codes." if names else ""
    return escape(
        f"Residual k-means encodes an item's vector as {codes} codes; each code quantizes the "
        f"residual of the previous ones.{before} A uniform distribution of items (dashed line) "
        "makes the best use of a level; a steep start means that few tokens hold most items."
    )


def usage(catalogue: CatalogueFigures) -> str:
    """Return one chart of token usage per level."""
    return "\n".join(
        token_usage(
            np.bincount(tokens, minlength=len(level.tokens)),
            title=capitalised(level.name),
            level=capitalised(level.name),
            noun="token",
        )
        for level, tokens in zip(catalogue.levels, catalogue.paths.T, strict=True)
    )


def levels(catalogue: CatalogueFigures) -> str:
    """Return the table of token usage per level.

    Perplexity is the number of equally used tokens with the same entropy.
    """
    rows = []
    for depth, level in enumerate(catalogue.levels):
        counts = np.bincount(catalogue.paths[:, depth], minlength=len(level.tokens))
        share = counts[counts > 0] / counts.sum()
        perplexity = np.exp(-(share * np.log(share)).sum())
        prefixes = np.unique(catalogue.paths[:, : depth + 1], axis=0)
        rows.append(
            f"<tr><td>{escape(capitalised(level.name))}</td><td>{len(counts):,}</td><td>{len(share):,}</td>"
            f"<td>{perplexity:,.1f}</td><td>{len(prefixes):,}</td></tr>"
        )
    head = ["Level", "Tokens", "Used tokens", "Perplexity", "Trie nodes"]
    return table(rows, head=head, name="facts")


def collisions_text(catalogue: CatalogueFigures) -> str:
    """Return the text on items that share their semantic ID."""
    _, sizes = np.unique(catalogue.paths, axis=0, return_counts=True)
    shared = sizes[sizes > 1]
    if not len(shared):
        return f"Each of the {sizes.sum():,} items has a unique semantic ID."
    return (
        f"{shared.sum():,} of the {sizes.sum():,} items share their semantic ID with another item "
        f"({len(shared):,} shared IDs, at most {shared.max()} items per ID). The beam search "
        "returns all items of an ID."
    )


def trie_text() -> str:
    """Return the caption of the trie's chart."""
    return (
        "All paths from the root (centre) to an item (rim). The angle of a sector is its share of "
        f"the items. The shade {ramp_swatches()} is the mean number of interactions per item, in "
        "quintiles of the ring. The beam search follows only these paths."
    )


def branches(catalogue: CatalogueFigures) -> str:
    """Return tables of the branches with the most interactions, with their most frequent items.

    A branch is the set of items with the same attributes and first code.
    """
    prefixes, branch = np.unique(
        catalogue.paths[:, : catalogue.num_attributes + 1], axis=0, return_inverse=True
    )
    branch = branch.reshape(-1)
    demand = np.bincount(branch, weights=catalogue.interactions)
    tables = []
    for index in np.argsort(-demand, kind="stable")[:_BRANCHES]:
        members = np.flatnonzero(branch == index)
        by_demand = members[np.argsort(-catalogue.interactions[members], kind="stable")]
        rows = [
            f"<tr><td>{escape(_path(catalogue, item, catalogue.num_attributes))}</td>"
            f"<td>{escape(catalogue.titles[item])}</td>"
            f"<td>{catalogue.interactions[item]:,}</td></tr>"
            for item in _in_path_order(catalogue, by_demand[:_BRANCH_ITEMS])
        ]
        name = _path(catalogue, members[0], 0, prefixes.shape[1])
        tables.append(table(rows, head=[escape(name), "", f"{len(members):,} items"]))
    return "\n".join(tables)


def _in_path_order(catalogue: CatalogueFigures, items: np.ndarray) -> Iterable[int]:
    return (int(item) for item in items[np.lexsort(catalogue.paths[items].T[::-1])])


def _path(catalogue: CatalogueFigures, item: int, start: int, stop: int | None = None) -> str:
    """Return the names of the tokens ``start`` to ``stop`` of an item's path."""
    steps = zip(catalogue.levels, catalogue.paths[item], strict=True)
    return " · ".join([level.tokens[token] for level, token in steps][start:stop])
