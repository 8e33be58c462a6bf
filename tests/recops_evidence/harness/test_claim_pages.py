"""Pages of papers: generated tables, the protocol, and claims recomputed by hand."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from recops_evidence.harness.page.claim_tables import Runs, blocks, with_claim_tables
from recops_evidence.harness.results import Results
from recops_evidence.harness.stored_results import read_results, read_seed_values
from recops_evidence.league.claims import CLAIMS, ClaimFigures, LeagueClaim
from recops_evidence.league.figures import LeagueResults, RowResult
from recops_evidence.league.page_faults import NO_CONTROL, page_faults
from recops_evidence.league.paper_tables import league_blocks
from recops_evidence.league.papers import PAPERS as CLAIMS_OF
from recops_evidence.league.stored import read_league

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs" / "results"
sys.path.insert(0, str(ROOT / "tools"))

CLICK_PAPERS = ["age", "can", "dien", "hpmn", "keep", "mimn", "res-embedding", "rocket"]
PAPERS = sorted([*CLICK_PAPERS, "drq", "unirec"])


def page_of(name: str) -> str:
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


OF_LEAGUE = [paper for paper in PAPERS if "headline" in league_blocks(page_of(paper))]
"""Papers whose headline claims the league measures."""


@pytest.fixture(scope="module")
def keep() -> tuple[str, Results]:
    return page_of("keep"), read_results(DOCS / "keep")


@pytest.fixture(scope="module")
def league() -> LeagueResults:
    return read_league(DOCS / "league")


def runs_of(paper: str) -> Runs:
    from render_claims import runs_of

    return runs_of(DOCS / paper)


def test_every_paper_has_a_page() -> None:
    from render_claims import paper_pages

    assert [path.stem for path in paper_pages(ROOT)] == PAPERS


@pytest.mark.parametrize("paper", PAPERS)
def test_pages_follow_the_protocol(paper: str, league: LeagueResults) -> None:
    assert page_faults(page_of(paper), paper, runs_of(paper), league) == []


@pytest.mark.parametrize("paper", sorted({*PAPERS} - {*OF_LEAGUE}))
def test_two_headline_claims_follow_from_the_values_per_seed(paper: str) -> None:
    page = page_of(paper)
    content, values = read_results(DOCS / paper), read_seed_values(DOCS / paper)
    block = next(each for each in blocks(page, runs_of(paper)) if each.kind == "headline")
    for claim, difference in list(zip(block.claims, block.differences, strict=True))[:2]:
        arms = [arm for arm in content["tables"]["arms"] if arm["data"] == claim["data"]]
        arms.sort(key=lambda arm: arm["id"] == claim["id"])  # AGE's claims share their arms.
        indices = {arm["arm"]: arm["measured"] for arm in arms}
        first, second = (
            np.array(values[indices[name]]["test"][difference["metric"]])
            for name in difference["arms"][:2]
        )
        per_seed = first - second
        assert len(per_seed) == claim["seeds"]
        mean, error = per_seed.mean(), per_seed.std(ddof=1) / len(per_seed) ** 0.5
        assert claim["measured"] == pytest.approx(mean, abs=1e-12)
        half = stats.t.ppf(0.975, len(per_seed) - 1) * error
        assert difference["seeds_interval"] == pytest.approx((mean - half, mean + half))
        (row,) = (
            line
            for line in page.splitlines()
            if line.startswith(f"| {claim['text']} | {claim['data']} |")
        )
        assert f"| {mean:+.4f} |".replace("-", "−") in row
        sign = 1 if difference["direction"] == "higher" else -1
        significant = difference["p_holm"] < 0.05
        better = sign * mean > difference["minimum"]
        verdict = ("holds" if better else "fails") if significant else "inconclusive"
        assert claim["verdict"] == verdict
        assert row.rstrip(" |").endswith(f"**{verdict}**" if significant else verdict)


def row_of(league: LeagueResults, of_set: str, name: str) -> RowResult | None:
    rows = [row for each in league["sets"] if each["name"] == of_set for row in each["rows"]]
    return next((row for row in rows if row["row"] == name), None)


def common_seeds(first: RowResult, second: RowResult) -> list[int]:
    """Return the seeds of both rows; a row that needs no seed has a value for every seed."""
    if first["is_seeded"] and second["is_seeded"]:
        return [seed for seed in first["seeds"] if seed in second["seeds"]]
    if first["is_seeded"] or second["is_seeded"]:
        return (first if first["is_seeded"] else second)["seeds"]
    return [0, 1]


def values_of(row: RowResult, metric: str, seeds: list[int]) -> np.ndarray:
    by_seed = dict(zip(row["seeds"], row["per_seed"][metric], strict=True))
    return np.array([by_seed[seed if row["is_seeded"] else row["seeds"][0]] for seed in seeds])


def measured_claims(
    league: LeagueResults, claims: Sequence[LeagueClaim]
) -> dict[LeagueClaim, np.ndarray]:
    """Return the differences per seed of the claims whose rows have two common seeds."""
    measured = {}
    for claim in claims:
        better, worse = (row_of(league, claim.of_set, name) for name in (claim.better, claim.worse))
        if better is None or worse is None or len(seeds := common_seeds(better, worse)) < 2:
            continue
        metric = "gauc" if claim.of_set.startswith("clicks:") else "ndcg@10"
        first, second = (values_of(row, metric, seeds) for row in (better, worse))
        measured[claim] = first - second
    return measured


def check_league_claims(page: str, claims: Sequence[ClaimFigures]) -> None:
    """Check the verdicts of a family, and that the page shows them."""
    p = np.array([claim["difference"]["p"] for claim in claims])
    order = np.argsort(p)
    steps = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    adjusted = dict(zip(order.tolist(), steps.tolist(), strict=True))
    for index, claim in enumerate(claims):
        mean = claim["difference"]["mean"]
        verdict = "inconclusive"
        if adjusted[index] < 0.05:
            verdict = "holds" if mean > 0 else "fails"
        assert claim["adjusted_p"] == pytest.approx(adjusted[index])
        assert claim["verdict"] == verdict
        start = f"| {claim['text']} | {claim['of_set']} | {mean:+.4f} ["
        (line,) = (line for line in page.splitlines() if line.startswith(start))
        assert line.endswith(f"| {verdict}, p = {adjusted[index]:.2g} |")


@pytest.mark.parametrize("paper", ["league", *OF_LEAGUE])
def test_claims_of_the_league_follow_from_the_values_per_seed(
    paper: str, league: LeagueResults
) -> None:
    """Holm's family is all measured claims of the page; two differences are computed by hand."""
    page, declared = page_of(paper), CLAIMS if paper == "league" else CLAIMS_OF[paper]
    stored = league["claims"] if paper == "league" else league["papers"][paper]
    measured = measured_claims(league, declared)
    assert [(each["of_set"], each["better"], each["worse"]) for each in stored] == [
        (claim.of_set, claim.better, claim.worse) for claim in measured
    ]
    for claim, per_seed in list(zip(stored, measured.values(), strict=True))[:2]:
        assert claim["difference"]["seeds"] == len(per_seed)
        assert claim["difference"]["mean"] == pytest.approx(per_seed.mean(), abs=1e-9)
    check_league_claims(page, stored)


@pytest.mark.parametrize("paper", OF_LEAGUE)
def test_claims_without_measured_rows_are_listed(paper: str, league: LeagueResults) -> None:
    block = page_of(paper).partition("<!-- league headline -->")[2].partition("<!-- end")[0]
    named = [line for line in block.splitlines() if line.startswith("Not measured yet: ")]
    pairs = [
        pair
        for line in named
        for pair in line.removeprefix("Not measured yet: ").rstrip(".").split("; ")
    ]
    listed = {
        (data, rows)
        for rows, _, sets in (pair.rpartition(" on ") for pair in pairs)
        for data in sets.split(", ")
    }
    measured = measured_claims(league, CLAIMS_OF[paper])
    missing = [claim for claim in CLAIMS_OF[paper] if claim not in measured]
    assert listed == {
        (claim.of_set.partition(":")[2], f"{claim.better} and {claim.worse}") for claim in missing
    }


def test_discoveries_of_an_ablation_have_a_false_discovery_rate(keep: tuple[str, Results]) -> None:
    page, _ = keep
    block = next(each for each in blocks(page, runs_of("keep")) if each.kind == "ablation")
    p = np.array([difference["p"] for difference in block.differences])
    ascending = np.sort(p)
    passing = ascending[ascending <= 0.1 * np.arange(1, len(p) + 1) / len(p)]
    assert page.count("**discovery") == int((p <= passing.max(initial=0.0)).sum()) >= 1


def test_violations_are_reported(keep: tuple[str, Results], league: LeagueResults) -> None:
    page, content = keep
    runs = runs_of("keep")

    def faults(changed: str, paper: str = "keep") -> str:
        return "\n".join(page_faults(changed, paper, runs_of(paper), league))

    assert "tables must show the results" in faults(page.replace("+0.0130", "+0.0230"))
    every = "; ".join(dict.fromkeys(claim["id"] for claim in content["claims"]))
    start = page.index("<!-- claims headline: ")
    longer = page[:start] + page[start:].replace("keep-lifts-science-fiction;", f"{every};", 1)
    assert "1 to 6 headline claims, got 27" in faults(with_claim_tables(longer, runs))
    assert "title 'Cost'" in faults(page.replace("## Cost", "## Price"))
    assert "at most 800 words before the appendix" in faults(page + "word " * 800)
    assert faults(f"{page}\n## Appendix\n\n" + "word " * 800) == ""
    without = page.replace("<!-- claims control", "<!-- claims ablation")
    without = with_claim_tables(without, runs)
    assert "must show the positive control" in faults(without)
    assert faults(f"{without}\n{NO_CONTROL}\n") == ""
    of_league = page_of("mimn")
    twice = of_league.replace("<!-- league rows -->", "<!-- league headline -->")
    assert "one table must have 1 to 6 headline claims, got 12" in faults(twice, "mimn")
    changed = of_league.replace("p-values are adjusted", "p-values were adjusted")
    assert "tables must show the league" in faults(changed, "mimn")


def test_unknown_claims_and_kinds_are_refused(keep: tuple[str, Results]) -> None:
    _, content = keep
    runs = {"": content}
    with pytest.raises(ValueError, match="keep has no claim 'keep-lifts-toys@ml-1m'"):
        blocks("<!-- claims control: keep-lifts-toys@ml-1m -->\n<!-- end of claims -->", runs)
    with pytest.raises(ValueError, match="claims must be one of"):
        blocks("<!-- claims praise: keep-lifts-toys -->\n<!-- end of claims -->", runs)
    page = "<!-- claims control in elsewhere: keep-lifts-toys -->\n<!-- end of claims -->"
    with pytest.raises(ValueError, match="claims must be in one of"):
        blocks(page, runs)
    (block,) = blocks(page, {**runs, "elsewhere": content})
    assert [claim["data"] for claim in block.claims] == ["toys-ctr"]
