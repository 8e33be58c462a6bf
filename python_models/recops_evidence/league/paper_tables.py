"""Tables of the league inside the page of a paper.

A page marks each table by two comments, and the text between them is generated::

    <!-- league headline -->
    <!-- end of league -->

``headline`` shows the outcomes of the page's claims, ``rows`` the rows that they compare, and
``ablation`` the variants of the paper's row.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from recops_evidence.harness.page.claim_tables import DISCOVERY_RATE
from recops_evidence.league.comparison import Mean
from recops_evidence.league.figures import LeagueResults, SetResult, VariantResult
from recops_evidence.league.page import (
    HEADLINE,
    claims_table,
    difference_text,
    interval_text,
    mean_of,
    table,
)
from recops_evidence.league.papers import FURTHER_ROWS, PAPERS
from recops_evidence.league.variants import VARIANTS
from recops_models.evaluation.benjamini_hochberg import benjamini_hochberg

_BLOCK = re.compile(
    r"(?P<start><!-- league (?P<kind>\w+) -->\n).*?(?P<end><!-- end of league -->)", re.DOTALL
)
_KINDS = ("headline", "rows", "ablation")


def league_blocks(page: str) -> list[str]:
    """Return the kinds of the tables that the comments of a page ask for."""
    return [match["kind"] for match in _BLOCK.finditer(page)]


def with_league_tables(page: str, paper: str, results: LeagueResults) -> str:
    """Return a page with the tables between its comments.

    Args:
        page: content of the page.
        paper: name of the page.
        results: figures of the league.

    Raises:
        ValueError: an unknown kind of table, or a paper without claims in the league.
    """

    def filled(match: re.Match[str]) -> str:
        kind = match["kind"]
        if kind not in _KINDS:
            raise ValueError(f"league tables must be among {_KINDS}, got {kind!r}")
        if paper not in PAPERS:
            raise ValueError(f"{paper} must have claims in the league: {sorted(PAPERS)}")
        write = {"headline": _headline, "rows": _rows, "ablation": _ablation}[kind]
        return f"{match['start']}\n{write(paper, results)}\n\n{match['end']}"

    return _BLOCK.sub(filled, page)


def _headline(paper: str, results: LeagueResults) -> str:
    measured = results["papers"][paper]
    compared = {(each["of_set"], each["better"], each["worse"]) for each in measured}
    missing: dict[str, list[str]] = {}
    for claim in PAPERS[paper]:
        if (claim.of_set, claim.better, claim.worse) not in compared:
            missing.setdefault(f"{claim.better} and {claim.worse}", []).append(_data(claim.of_set))
    kind = PAPERS[paper][0].of_set.partition(":")[0]
    metric = "GAUC" if kind == "clicks" else "NDCG@10"
    parts = [claims_table(measured)] if measured else []
    parts.append(
        f"Differences are in {metric}, with 95 % intervals over seeds and users. p-values are "
        "adjusted for all measured claims of this table (Holm). Trained and tuned by the "
        "[protocol](../guide/evidence.md#the-league)."
    )
    if missing:
        names = "; ".join(f"{rows} on {', '.join(sets)}" for rows, sets in missing.items())
        parts.append(f"Not measured yet: {names}.")
    return "\n\n".join(parts)


def _rows(paper: str, results: LeagueResults) -> str:
    names = {name for claim in PAPERS[paper] for name in (claim.better, claim.worse)}
    names |= {*FURTHER_ROWS.get(paper, ())}
    sets = [
        each
        for each in results["sets"]
        if any(claim.of_set == each["name"] for claim in PAPERS[paper])
        and any(row["row"] in names for row in each["rows"])
    ]
    if not sets:
        return "No row is measured yet."
    kind = sets[0]["kind"]
    further = {"clicks": ("auc", "logloss"), "ranking": ("hr@10", "hr@50")}[kind]
    titles = {"auc": "AUC", "hr@10": "HR@10", "hr@50": "HR@50"}
    header = ["set", "row", HEADLINE[kind], *(titles.get(name, name) for name in further)]
    header += ["training (core-min)", "parameters", "request (ms)", "seeds"]
    lines = [
        [
            each["data"],
            row["row"],
            f"{row['headline']['mean']:.4f}",
            *(f"{mean_of(row, metric):.4f}" for metric in further),
            f"{row['costs']['train_seconds'] / 60:.2g}",
            f"{row['costs']['parameters']:,.0f}",
            f"{row['costs']['request_ms']:.2f}",
            str(len(row["seeds"])),
        ]
        for each in sets
        for row in sorted(each["rows"], key=lambda row: -row["headline"]["mean"])
        if row["row"] in {*names, each["baseline"]}
    ]
    return table(header, lines)


def _ablation(paper: str, results: LeagueResults) -> str:
    variants = list(variants_of(paper, results))
    missing = [name for each in results["sets"] for name in each["missing_variants"].get(paper, ())]
    parts = []
    if variants:
        differences = [each["difference"] for _, each in variants]
        header = ["claim", "set", "row − variant", "difference", "users alone", "detectable", ""]
        lines = [
            [
                each["text"],
                of_set["data"],
                f"{each['of']} − {each['row']}",
                difference_text(each["difference"]),
                interval_text(each["difference"]["users"]),
                f"{each['difference']['detectable']:.4f}",
                _discovery(each["difference"], is_discovery),
            ]
            for (of_set, each), is_discovery in zip(
                variants, _discoveries(differences), strict=True
            )
        ]
        parts.append(table(header, lines))
        parts.append(
            "Exploratory: at most a tenth of the discoveries is expected to be false "
            "(Benjamini–Hochberg). A variant has the best settings of its row, and tunes its "
            "learning rate."
        )
    if missing:
        parts.append(f"Not measured yet: {'; '.join(missing)}.")
    return "\n\n".join(parts)


def variants_of(paper: str, results: LeagueResults) -> Iterator[tuple[SetResult, VariantResult]]:
    """Yield the finished variants of a page with their sets, in the order of the plan."""
    order = {variant.name: index for index, variant in enumerate(VARIANTS)}
    pairs = [
        (each, variant)
        for each in results["sets"]
        for variant in each["variants"]
        if variant["paper"] == paper
    ]
    yield from sorted(pairs, key=lambda pair: order.get(pair[1]["row"], len(order)))


def _discoveries(differences: Sequence[Mean]) -> Iterable[bool]:
    adjusted = benjamini_hochberg([each["p"] or 0.0 for each in differences])
    return [q <= DISCOVERY_RATE for q in adjusted]


def _discovery(difference: Mean, is_discovery: bool) -> str:
    if not is_discovery:
        return ""
    return "**discovery**" if difference["mean"] > 0 else "**discovery, opposite**"


def _data(of_set: str) -> str:
    return of_set.partition(":")[2]
