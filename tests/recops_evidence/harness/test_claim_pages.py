"""Pages of papers: generated tables, the protocol, and claims recomputed by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from recops_evidence.harness.page.claim_tables import Runs, blocks, with_claim_tables
from recops_evidence.harness.page.page_faults import NO_CONTROL, page_faults
from recops_evidence.harness.results import Results
from recops_evidence.harness.stored_results import read_results, read_seed_values

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs" / "results"
sys.path.insert(0, str(ROOT / "tools"))

CLICK_PAPERS = ["age", "can", "dien", "hpmn", "keep", "mimn", "res-embedding", "rocket"]
PAPERS = sorted([*CLICK_PAPERS, "drq", "unirec"])


@pytest.fixture(scope="module")
def mimn() -> tuple[str, Results]:
    return (DOCS / "mimn.md").read_text(encoding="utf-8"), read_results(DOCS / "mimn")


def runs_of(paper: str) -> Runs:
    from render_claims import runs_of

    return runs_of(DOCS / paper)


def test_every_paper_has_a_page() -> None:
    from render_claims import paper_pages

    assert [path.stem for path in paper_pages(ROOT)] == PAPERS


@pytest.mark.parametrize("paper", PAPERS)
def test_pages_follow_the_protocol(paper: str) -> None:
    page = (DOCS / f"{paper}.md").read_text(encoding="utf-8")
    assert page_faults(page, runs_of(paper)) == []


@pytest.mark.parametrize("paper", PAPERS)
def test_two_headline_claims_follow_from_the_values_per_seed(paper: str) -> None:
    page = (DOCS / f"{paper}.md").read_text(encoding="utf-8")
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


def test_discoveries_of_an_ablation_have_a_false_discovery_rate(mimn: tuple[str, Results]) -> None:
    page, _ = mimn
    block = next(each for each in blocks(page, runs_of("mimn")) if each.kind == "ablation")
    p = np.array([difference["p"] for difference in block.differences])
    ascending = np.sort(p)
    passing = ascending[ascending <= 0.1 * np.arange(1, len(p) + 1) / len(p)]
    assert page.count("**discovery") == int((p <= passing.max(initial=0.0)).sum()) >= 1


def test_violations_are_reported(mimn: tuple[str, Results]) -> None:
    page, content = mimn
    runs = runs_of("mimn")

    def faults(changed: str) -> str:
        return "\n".join(page_faults(changed, runs))

    assert "tables must show the results" in faults(page.replace("+0.0111", "+0.0211"))
    every = "; ".join(claim["id"] for claim in content["claims"])
    start = page.index("<!-- claims headline: ")
    longer = page[:start] + page[start:].replace("mimn-beats-din-on-ml-1m;", f"{every};", 1)
    assert "1 to 6 headline claims, got 33" in faults(with_claim_tables(longer, runs))
    assert "title 'Cost'" in faults(page.replace("## Cost", "## Price"))
    assert "at most 800 words before the appendix" in faults(page + "word " * 800)
    assert faults(f"{page}\n## Appendix\n\n" + "word " * 800) == ""
    without = page.replace("<!-- claims control", "<!-- claims ablation")
    without = with_claim_tables(without, runs)
    assert "must show the positive control" in faults(without)
    assert faults(f"{without}\n{NO_CONTROL}\n") == ""


def test_unknown_claims_and_kinds_are_refused(mimn: tuple[str, Results]) -> None:
    _, content = mimn
    runs = {"": content}
    with pytest.raises(ValueError, match="mimn has no claim 'slots-fly@ml-1m'"):
        blocks("<!-- claims control: slots-fly@ml-1m -->\n<!-- end of claims -->", runs)
    with pytest.raises(ValueError, match="claims must be one of"):
        blocks("<!-- claims praise: more-slots-help -->\n<!-- end of claims -->", runs)
    page = "<!-- claims control in elsewhere: more-slots-help -->\n<!-- end of claims -->"
    with pytest.raises(ValueError, match="claims must be in one of"):
        blocks(page, runs)
    (block,) = blocks(page, {**runs, "elsewhere": content})
    assert [claim["data"] for claim in block.claims] == ["assist2017"]
