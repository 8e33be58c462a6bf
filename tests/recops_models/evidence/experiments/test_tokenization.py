"""Claims about tokenizers: made-up items, the runs, and the page of several arms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recops_models.evidence import Arm, Claim, reproduce
from recops_models.evidence.experiments.synthetic_items import synthetic_items
from recops_models.evidence.experiments.tokenization import SYNTHETIC, Tokenization
from recops_models.evidence.harness.experiment import Run
from recops_models.evidence.harness.page import page
from recops_models.tokenizers import RQKMeans

pytestmark = pytest.mark.usefixtures("one_thread")

LONG = Arm("long", "rq-kmeans", {"iterations": 20})
SHORT = Arm("short", "rq-kmeans", {"iterations": 1})
NETWORK = {"hidden": "32", "width": 8, "steps": 40}


class Silent:
    def start(self, run: Run, ahead: int, seconds: float | None) -> None: ...

    def advance(self, share: float) -> None:
        assert 0 <= share <= 1


def claim(*arms: Arm, data: str = SYNTHETIC, **changes: Any) -> Claim:
    content = {"text": "It does.", "source": "here", "reported": "+.1", "metric": "nmse"}
    content |= {"id": "less", "direction": "lower", **changes}
    return Claim(arms=arms, data=(data,), experiment=Tokenization(), **content)


def measure(out: Path, *claims: Claim, **options: Any) -> dict[str, Any]:
    options = {"command": "recops reproduce", "quick": True, "progress": Silent(), **options}
    return reproduce("a-paper", claims, out, **options)


def test_synthetic_items_are_what_they_say() -> None:
    items = synthetic_items(3, items=3000, clusters=50)
    again, other = (synthetic_items(seed, items=3000, clusters=50) for seed in (3, 4))
    assert np.array_equal(items.vectors, again.vectors)
    assert np.array_equal(items.held_out, again.held_out)
    assert not np.array_equal(items.vectors, other.vectors)
    assert items.vectors.shape == (3000, 64)
    spread = items.vectors.var(axis=0)
    assert spread[:8].mean() > 4 * spread[-8:].mean()
    met = {tuple(sorted(pair)) for pair in items.known.tolist()}
    assert met.isdisjoint(tuple(sorted(pair)) for pair in items.held_out.tolist())
    for pairs in (items.known, items.held_out):
        assert len(pairs) > 1000
        assert (pairs[:, 0] != pairs[:, 1]).all()


def test_behaviour_follows_content_as_far_as_they_agree() -> None:
    near = []
    for agreement in (0.0, 1.0):
        items = synthetic_items(0, items=2000, clusters=50, agreement=agreement)
        first, second = items.vectors[items.known.T]
        apart = np.linalg.norm(items.vectors[:1000] - items.vectors[1000:], axis=1).mean()
        near.append(np.linalg.norm(first - second, axis=1).mean() / apart)
    # Two items of one cluster differ by the noise alone.
    assert near[1] < 0.5 < 0.9 < near[0]


def test_a_claim_of_tokenizers_end_to_end(tmp_path: Path) -> None:
    content = measure(tmp_path, claim(LONG, SHORT))
    (found,) = content["claims"]
    assert (found["seeds"], found["data"]) == (2, SYNTHETIC)
    assert found["measured"] < 0
    test = content["tables"]["arms"][0]["test"]
    assert {"retention@20", "sid_auc", "k_eff@0.25", "flips", "last_perplexity"} <= set(test)
    assert test["active"]["mean"] == 64
    # Another seed draws other items.
    assert len(set(test["sid_auc"]["per_seed"])) == 2
    assert content["tables"]["differences"][0]["users_interval"] is None
    told = (tmp_path / "results.md").read_text()
    assert "over users" not in told
    assert "Nothing was tuned" in told
    written = (tmp_path / "results.json").read_bytes()
    measure(tmp_path, claim(LONG, SHORT), resume=True)
    assert (tmp_path / "results.json").read_bytes() == written


def test_quick_runs_train_networks_briefly_and_give_them_pairs(tmp_path: Path) -> None:
    settings = tuple((name, str(value)) for name, value in NETWORK.items())
    run = Run(Tokenization(), "drq-vae-cl", SYNTHETIC, settings, 0, test=True, quick=True)
    assert run.experiment.config(run)["steps"] == 100
    shares: list[float] = []
    draw = run.experiment.load(SYNTHETIC)
    _, test = run.experiment.measure(run, draw, tmp_path, shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert test["k_eff@0.25"] is not None


def test_real_items_are_told_by_their_content(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shop = tmp_path / "shop"
    shop.mkdir()
    rows = [f"{u},{100 + rng.integers(80)},{step}" for u in range(40) for step in range(6)]
    (shop / "interactions.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    words = ["red", "green", "blue", "round", "flat", "tall", "old", "new"]
    things = [f"{i},{' '.join(rng.choice(words, 4))} {i}" for i in range(100, 180)]
    (shop / "items.csv").write_text("\n".join(["item_id,title", *things]) + "\n")
    items = Tokenization().load(str(shop))(0)
    assert items.vectors.shape[0] == 80
    assert len(items.held_out) == 80  # Of 40 users, two held-out events each.
    assert items.known.max() < 80
    content = measure(tmp_path / "out", claim(LONG, SHORT, data=str(shop)))
    assert content["claims"][0]["seeds"] == 2


def test_arms_that_claims_share_stand_in_one_table(tmp_path: Path) -> None:
    tiny = Arm("tiny", "rq-kmeans", {"iterations": 2})
    claims = [claim(LONG, SHORT), claim(LONG, tiny, id="too")]
    content = measure(tmp_path, *claims)
    assert [arm["arm"] for arm in content["tables"]["arms"]] == ["long", "short", "tiny"]
    told = page(content)
    assert told.count("| arm |") == 1
    for arm in ("long", "short", "tiny"):
        assert told.count(f"| {arm} (`rq-kmeans`) |") == 1
    figure = content["tables"]["arms"][0]["test"]["nmse"]
    low, high = figure["mean"] - 0.01, figure["mean"] + 0.01
    assert low < float(told.split("| long (`rq-kmeans`) | ")[1].split(" ±")[0]) < high


def test_nothing_can_be_tuned(tmp_path: Path) -> None:
    grids = [Arm(name, "rq-kmeans", grid={"iterations": (1, 2)}) for name in "ab"]
    with pytest.raises(ValueError, match="tokenizations have no validation"):
        measure(tmp_path, claim(*grids), quick=False, seeds=2)


def test_unknown_methods_and_settings_are_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no tokenizer 'abacus'"):
        measure(tmp_path / "a", claim(LONG, Arm("b", "abacus")))
    with pytest.raises(ValueError, match="no setting 'beads'"):
        measure(tmp_path / "b", claim(LONG, Arm("b", "rq-kmeans", {"beads": 3})))


def test_a_run_leaves_what_gives_its_figures(tmp_path: Path) -> None:
    run = Run(Tokenization(), "rq-kmeans", SYNTHETIC, (), 1, test=True, quick=True)
    draw = run.experiment.load(SYNTHETIC)
    validation, test = run.experiment.measure(run, draw, tmp_path, lambda share: None)
    assert validation == {}
    vectors = torch.from_numpy(draw(1).vectors[:2000])
    tokenizer = RQKMeans.load(tmp_path / "tokenizer.safetensors")
    error = (vectors - tokenizer.decode(tokenizer.encode(vectors))).square().sum()
    assert test["nmse"] == pytest.approx(float(error / (vectors - vectors.mean(0)).square().sum()))
