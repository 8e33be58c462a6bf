"""What the figures say, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from recops_models.tokenizers.diagnosis.content import (
    Diagnosis,
    FlipRates,
    NoiseFigures,
    PathFigures,
)

HEADLINE_RHO = 0.25

_UnderNoise = TypeVar("_UnderNoise", NoiseFigures, FlipRates)


def headline(found: Diagnosis) -> str:
    """How many IDs for how many items."""
    return f"{found['paths']['unique_sid']:,} semantic IDs for {found['items']:,} items"


def lead(found: Diagnosis) -> str:
    """The state of the codes in a few sentences."""
    paths, first = found["paths"], found["levels"][0]
    said = [
        f"{paths['uniquely_identified_item_rate']:.1%} of the items have an ID of their own; "
        f"the fullest holds {paths['max_collision']:,}.",
        f"Level 0 uses {first['active']:,} of its {first['codes']:,} codes, as evenly as "
        f"{first['perplexity']:,.0f} equally used ones.",
    ]
    noise = at_headline(first.get("noise", []))
    if noise is not None:
        said.append(
            "Seen through noise of a quarter of the input's spread they are worth "
            f"{noise['k_eff']:,.0f}."
        )
    if "error_share" in found:
        said.append(f"The codes leave {found['error_share']:.1%} of the variance unexplained.")
    return " ".join(said)


def at_headline(entries: Iterable[_UnderNoise]) -> _UnderNoise | None:
    """Of figures under noise those at ρ = ¼, where they are there."""
    return next((entry for entry in entries if entry["rho"] == HEADLINE_RHO), None)


def meanings(found: Diagnosis) -> Iterator[tuple[str, str, str]]:
    """Each figure's name, value and meaning."""
    paths = found["paths"]
    yield (
        "no_collision_rate",
        f"{paths['no_collision_rate']:.1%}",
        "different IDs over items; 100 % if every item has its own",
    )
    yield (
        "uniquely_identified_item_rate",
        f"{paths['uniquely_identified_item_rate']:.1%}",
        "items whose ID is theirs alone: decoding one names the item",
    )
    yield (
        "max_collision",
        f"{paths['max_collision']:,}",
        "items on the fullest ID; a decoder cannot tell them apart",
    )
    yield (
        "path capacity",
        f"{paths['capacity']:,.0f}",
        "1/Σπ² over IDs: equally full IDs on which two items meet as often as on these",
    )
    yield (
        "entropy_ratio",
        f"{paths['entropy_ratio']:.2f}",
        "entropy of the IDs over that of all possible ones; low where most paths are empty",
    )
    yield _top_shares("items", paths, "share on the fullest IDs in use")
    if "exposure" in found:
        meaning = "share of the training events whose items lie on the most exposed IDs"
        yield _top_shares("exposure", found["exposure"]["paths"], meaning)
    yield from _robustness(found)
    yield from _behaviour(found)


def _top_shares(name: str, paths: PathFigures, meaning: str) -> tuple[str, str, str]:
    shares = " / ".join(f"{100 * share:.0f}" for share in paths["top_share"].values())
    return f"{name}, top 1 / 5 / 10 %", f"{shares} %", meaning


def _robustness(found: Diagnosis) -> Iterator[tuple[str, str, str]]:
    noise = at_headline(found["levels"][0].get("noise", []))
    if noise is not None:
        yield (
            "overlap O_π, level 0",
            f"{noise['overlap']:.4f}",
            "chance that noise of ρ = ¼ confuses the codes of two random items",
        )
        yield (
            "K_eff, level 0",
            f"{noise['k_eff']:,.1f}",
            "1/O_π: the even and disjoint codes that would be confused as rarely",
        )
        yield (
            "distribution penalty",
            f"{noise['distribution_penalty']:.2f}",
            "ln K lost to uneven use; the cure is balance",
        )
        yield (
            "geometry penalty",
            f"{noise['geometry_penalty']:.2f}",
            "ln K lost to codewords that lie close; fewer codes or a wider latent space help",
        )
    flips = at_headline(found.get("flips", []))
    if flips is not None:
        yield (
            "flip rate, whole path",
            f"{flips['path']:.1%}",
            "items of which any code changes under that noise; a collapsed codebook never flips, "
            "so read it beside K_eff",
        )
    if "greedy_share" in found:
        yield (
            "greedy share",
            f"{found['greedy_share']:.1%}",
            "items on their nearest codewords; the rest were moved, to balance or to part them",
        )


def _behaviour(found: Diagnosis) -> Iterator[tuple[str, str, str]]:
    behaviour = found.get("behaviour")
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
        "how well sums of codewords tell held-out pairs from random ones; "
        f"the vectors themselves: {behaviour['vector_auc']:.3f}",
    )
