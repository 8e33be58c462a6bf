"""The catalogue's sections: how the semantic IDs spread, and the trie they make."""

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
    """What the tokens are, and what to look for in their use."""
    names = [level.name for level in catalogue.levels[: catalogue.num_attributes]]
    codes = len(catalogue.levels) - catalogue.num_attributes
    before = f" Before them stands the item's {' and '.join(names)}." if names else ""
    return escape(
        f"Residual k-means turns an item's vector into {codes} codes, each one refining what the "
        f"codes before it left over.{before} An even spread (dashed) makes the best use of a "
        "level; a steep start means that a few tokens carry most items."
    )


def usage(catalogue: CatalogueFigures) -> str:
    """A figure for each level."""
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
    """Usage in numbers: perplexity is the number of equally used tokens of the same entropy."""
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
    head = ["Level", "Tokens", "In use", "Perplexity", "Trie nodes"]
    return table(rows, head=head, name="facts")


def collisions_text(catalogue: CatalogueFigures) -> str:
    """How many items share their semantic ID with another one."""
    _, sizes = np.unique(catalogue.paths, axis=0, return_counts=True)
    shared = sizes[sizes > 1]
    if not len(shared):
        return f"Each of the {sizes.sum():,} items has a semantic ID of its own."
    return (
        f"{shared.sum():,} of the {sizes.sum():,} items share their semantic ID with another one "
        f"({len(shared):,} shared IDs, at most {shared.max()} items on one); the beam search "
        "returns every item of an ID it reaches."
    )


def trie_text() -> str:
    """How to read the rings."""
    return (
        "Every real path from the root (centre) to an item (rim). A sector's angle is its share of "
        f"the items; its shade {ramp_swatches()} how often they were "
        "chosen, in fifths of a ring's sectors. The beam search walks these paths and no others."
    )


def branches(catalogue: CatalogueFigures) -> str:
    """The most-chosen branches that share the first code, each with its most-chosen items."""
    prefixes, branch = np.unique(
        catalogue.paths[:, : catalogue.num_attributes + 1], axis=0, return_inverse=True
    )
    branch = branch.reshape(-1)
    demand = np.bincount(branch, weights=catalogue.interactions)
    tables = []
    for index in np.argsort(-demand, kind="stable")[:_BRANCHES]:
        members = np.flatnonzero(branch == index)
        chosen = members[np.argsort(-catalogue.interactions[members], kind="stable")]
        rows = [
            f"<tr><td>{escape(_path(catalogue, item, catalogue.num_attributes))}</td>"
            f"<td>{escape(catalogue.titles[item])}</td>"
            f"<td>{catalogue.interactions[item]:,}</td></tr>"
            for item in _in_path_order(catalogue, chosen[:_BRANCH_ITEMS])
        ]
        name = _path(catalogue, members[0], 0, prefixes.shape[1])
        tables.append(table(rows, head=[escape(name), "", f"{len(members):,} items"]))
    return "\n".join(tables)


def _in_path_order(catalogue: CatalogueFigures, items: np.ndarray) -> Iterable[int]:
    return (int(item) for item in items[np.lexsort(catalogue.paths[items].T[::-1])])


def _path(catalogue: CatalogueFigures, item: int, start: int, stop: int | None = None) -> str:
    """Part of an item's path, in the tokens' own names."""
    steps = zip(catalogue.levels, catalogue.paths[item], strict=True)
    return " · ".join([level.tokens[token] for level, token in steps][start:stop])
