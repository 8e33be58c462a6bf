"""Claims of the papers, one file per paper; its stem is the name for ``recops reproduce``.

Files with a leading underscore are shared by several papers or are parts of a long file.
"""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Sequence

from recops_evidence.harness.claim import Claim


def papers() -> list[str]:
    """Return the names of papers with claims, as ``recops reproduce`` takes them."""
    names = [module.name for module in pkgutil.iter_modules(__path__)]
    return sorted(name.replace("_", "-") for name in names if not name.startswith("_"))


def claims_of(paper: str, ids: Sequence[str] = (), *, quick: bool = False) -> tuple[Claim, ...]:
    """Return the claims of ``paper``, or those with ``ids``, in the order of its file.

    Args:
        paper: one of :func:`papers`.
        ids: ids of claims or names of groups.
        quick: without ``ids``, return only the claims of the small version.

    Raises:
        ValueError: unknown paper, claim or group.
    """
    if paper not in papers():
        raise ValueError(f"no claims of {paper!r}; available: {', '.join(papers())}")
    module = importlib.import_module(f"{__name__}.{paper.replace('-', '_')}")
    claims: tuple[Claim, ...] = module.CLAIMS
    groups = dict.fromkeys(claim.group for claim in claims if claim.group)
    known = [*groups, *(claim.id for claim in claims)]
    for name in ids:
        if name not in known:
            raise ValueError(f"{paper} has no claim {name!r}; it has {', '.join(known)}")
    if not ids:
        return tuple(claim for claim in claims if claim.in_quick or not quick)
    return tuple(claim for claim in claims if {claim.id, claim.group} & {*ids})


def chosen_claims(
    paper: str, ids: Sequence[str] = (), *, data: Sequence[str] = (), quick: bool = False
) -> tuple[Claim, ...]:
    """Return the claims of :func:`claims_of` that can be measured on some data sets.

    Each claim is restricted to those of its data sets that ``data`` names. If no claim is about any
    of them, all claims whose experiments accept them are returned.

    Args:
        paper: see :func:`claims_of`.
        ids: see :func:`claims_of`.
        data: names of data sets; empty: all.
        quick: see :func:`claims_of`.

    Raises:
        ValueError: unknown paper, claim or group, or no claim can be measured on ``data``.
    """
    claims = claims_of(paper, ids, quick=quick)
    names = list(dict.fromkeys(data))
    if not names:
        return claims
    own = [(claim, tuple(name for name in claim.data if name in names)) for claim in claims]
    if not any(chosen for _, chosen in own):
        own = [(c, tuple(name for name in names if c.experiment.takes(name))) for c in claims]
    chosen = tuple(dataclasses.replace(claim, data=sets) for claim, sets in own if sets)
    if not chosen:
        raise ValueError(f"none of these claims can be measured on {', '.join(names)}")
    return chosen
