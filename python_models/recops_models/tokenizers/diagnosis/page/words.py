"""Texts of the page: headline, summary and the meaning of each metric."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from recops_models.tokenizers.diagnosis.content import (
    DiagnosisFigures,
    FlipRates,
    NoiseFigures,
    PathFigures,
)

HEADLINE_RHO = 0.25

_UnderNoise = TypeVar("_UnderNoise", NoiseFigures, FlipRates)


def headline(diagnosis: DiagnosisFigures) -> str:
    """Return the number of IDs and items."""
    return f"{diagnosis['paths']['unique_sid']:,} semantic IDs for {diagnosis['items']:,} items"


def lead(diagnosis: DiagnosisFigures) -> str:
    """Return a summary in a few sentences."""
    paths, first = diagnosis["paths"], diagnosis["levels"][0]
    sentences = [
        f"{paths['uniquely_identified_item_rate']:.1%} of the items have a unique ID; the "
        f"fullest ID holds {paths['max_collision']:,} items.",
        f"Level 0 uses {first['active']:,} of its {first['codes']:,} codes; their perplexity is "
        f"{first['perplexity']:,.0f}.",
    ]
    noise = at_headline(first.get("noise", []))
    if noise is not None:
        sentences.append(
            "Under noise of a quarter of the input's spread, their effective capacity is "
            f"{noise['k_eff']:,.0f} codes."
        )
    if "error_share" in diagnosis:
        sentences.append(
            f"The codes leave {diagnosis['error_share']:.1%} of the variance unexplained."
        )
    return " ".join(sentences)


def at_headline(entries: Iterable[_UnderNoise]) -> _UnderNoise | None:
    """Return the entry at ρ = ¼; None if there is none."""
    return next((entry for entry in entries if entry["rho"] == HEADLINE_RHO), None)


def meanings(diagnosis: DiagnosisFigures) -> Iterator[tuple[str, str, str]]:
    """Yield the name, value and meaning of each metric."""
    paths = diagnosis["paths"]
    yield (
        "no_collision_rate",
        f"{paths['no_collision_rate']:.1%}",
        "number of IDs over number of items; 100 % if all IDs are unique",
    )
    yield (
        "uniquely_identified_item_rate",
        f"{paths['uniquely_identified_item_rate']:.1%}",
        "share of items with a unique ID, which identifies the item",
    )
    yield (
        "max_collision",
        f"{paths['max_collision']:,}",
        "items on the fullest ID; a decoder cannot distinguish them",
    )
    yield (
        "path capacity",
        f"{paths['capacity']:,.0f}",
        "1/Σπ² over IDs: number of equally full IDs with the same chance that two items share one",
    )
    yield (
        "entropy_ratio",
        f"{paths['entropy_ratio']:.2f}",
        "entropy of the IDs over its maximum for all possible paths; low if most are empty",
    )
    yield _top_shares("items", paths, "share of items on the fullest IDs in use")
    if "exposure" in diagnosis:
        meaning = "share of training events on the most exposed IDs"
        yield _top_shares("exposure", diagnosis["exposure"]["paths"], meaning)
    yield from _robustness(diagnosis)
    yield from _behaviour(diagnosis)


def _top_shares(name: str, paths: PathFigures, meaning: str) -> tuple[str, str, str]:
    shares = " / ".join(f"{100 * share:.0f}" for share in paths["top_share"].values())
    return f"{name}, top 1 / 5 / 10 %", f"{shares} %", meaning


def _robustness(diagnosis: DiagnosisFigures) -> Iterator[tuple[str, str, str]]:
    noise = at_headline(diagnosis["levels"][0].get("noise", []))
    if noise is not None:
        yield (
            "overlap O_π, level 0",
            f"{noise['overlap']:.4f}",
            "chance that noise of ρ = ¼ confuses the codes of two random items",
        )
        yield (
            "K_eff, level 0",
            f"{noise['k_eff']:,.1f}",
            "1/O_π: number of equally used, disjoint codes with the same overlap",
        )
        yield (
            "distribution penalty",
            f"{noise['distribution_penalty']:.2f}",
            "loss of ln K from uneven use; balanced codes reduce it",
        )
        yield (
            "geometry penalty",
            f"{noise['geometry_penalty']:.2f}",
            "loss of ln K from close codewords; fewer codes or a wider latent space reduce it",
        )
    flips = at_headline(diagnosis.get("flips", []))
    if flips is not None:
        yield (
            "flip rate, whole path",
            f"{flips['path']:.1%}",
            "share of items with a changed code under that noise; a collapsed codebook never "
            "flips, so compare it with K_eff",
        )
    if "greedy_share" in diagnosis:
        yield (
            "greedy share",
            f"{diagnosis['greedy_share']:.1%}",
            "share of items with the nearest codewords; balancing or collisions moved others",
        )


def _behaviour(diagnosis: DiagnosisFigures) -> Iterator[tuple[str, str, str]]:
    behaviour = diagnosis.get("behaviour")
    if behaviour is None:
        return
    for cutoff, rates in behaviour["hit_rate"].items():
        if rates["retention"] is not None:
            yield (
                f"retention@{cutoff}",
                f"{rates['retention']:.3f}",
                f"hit rate of item-to-item search with decoded vectors, {rates['decoded']:.2%}, "
                f"over that with the originals, {rates['vectors']:.2%}",
            )
    yield (
        "SID embedding AUC",
        f"{behaviour['sid_auc']:.3f}",
        "AUC of held-out pairs against random pairs by the cosine of summed codewords; "
        f"of the vectors: {behaviour['vector_auc']:.3f}",
    )
