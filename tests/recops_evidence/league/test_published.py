"""The published league: generated pages, the protocol, and differences recomputed by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from recops_evidence.league.figures import RowResult, SetResult
from recops_evidence.league.protocol import faults
from recops_evidence.league.stored import read_league, read_user_values

ROOT = Path(__file__).resolve().parents[3]
STORED = ROOT / "docs" / "results" / "league"
sys.path.insert(0, str(ROOT / "tools"))


def differences() -> list[tuple[SetResult, RowResult, RowResult, str]]:
    """Return each gain of the tables: its set, both rows, and its name."""
    rivals = {"baseline": "baseline", "plain": "plain"}
    return [
        (each, row, next(r for r in each["rows"] if r["row"] == each[rivals[name]]), name)
        for each in read_league(STORED)["sets"]
        for row in each["rows"]
        for name in row["gains"]
    ]


def values_of(row: RowResult, metric: str, seeds: int) -> np.ndarray:
    """Return the metric under the first seeds; a row that needs no seed repeats its value."""
    values = np.array(row["per_seed"][metric])
    return values[:seeds] if row["is_seeded"] else np.repeat(values[:1], seeds)


def test_generated_pages_show_the_stored_results() -> None:
    from render_league import pages

    for path, text in pages(ROOT).items():
        assert path.read_text(encoding="utf-8") == text, "run `python tools/render_league.py`"


def test_the_page_follows_the_protocol() -> None:
    page = STORED.with_suffix(".md").read_text(encoding="utf-8")
    assert faults(read_league(STORED), page) == []


def test_gains_are_differences_of_the_values_per_seed() -> None:
    assert len(differences()) >= 2
    for each, row, rival, name in differences():
        gain, metric = row["gains"][name], each["metric"]
        seeds = gain["seeds"]
        difference = values_of(row, metric, seeds) - values_of(rival, metric, seeds)
        assert gain["mean"] == pytest.approx(difference.mean(), abs=1e-9)


def test_two_intervals_over_users_follow_from_the_values_per_user() -> None:
    for each, row, rival, name in differences()[:2]:
        gain, users = row["gains"][name], read_user_values(STORED, each["name"])
        first, second = (
            users[one["row"]].values[each["metric"]].astype(np.float64) for one in (row, rival)
        )
        assert users[row["row"]].users == users[rival["row"]].users
        difference = first - second
        drawn = np.random.default_rng(1).integers(len(difference), size=(2000, len(difference)))
        low, high = np.quantile(difference[drawn].mean(axis=1), (0.025, 0.975))
        shift = gain["mean"] - difference.mean()
        width = high - low
        assert abs(shift) < 0.1 * width
        assert gain["users"] == pytest.approx((low + shift, high + shift), abs=0.1 * width)


def test_claims_state_the_gains_of_their_rows() -> None:
    results = read_league(STORED)
    rows = {(s["name"], row["row"]): (s, row) for s in results["sets"] for row in s["rows"]}
    for claim in results["claims"]:
        (each, better), (_, worse) = (
            rows[claim["of_set"], name] for name in (claim["better"], claim["worse"])
        )
        seeds, metric = claim["difference"]["seeds"], each["metric"]
        difference = values_of(better, metric, seeds) - values_of(worse, metric, seeds)
        assert claim["difference"]["mean"] == pytest.approx(difference.mean(), abs=1e-9)
        significant = claim["adjusted_p"] < 0.05
        expected = (
            ("holds" if difference.mean() > 0 else "fails") if significant else "inconclusive"
        )
        assert claim["verdict"] == expected
