"""Claims about tokenizers: synthetic items, runs, floors and the page of several arms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import recops
from callback_doubles import OnAdvance
from recops_evidence import Arm, Claim, reproduce
from recops_evidence.experiments.input_noise import under_input_noise
from recops_evidence.experiments.items import HeldOut, Items
from recops_evidence.experiments.pair_floors import pair_floors
from recops_evidence.experiments.synthetic_items import synthetic_items
from recops_evidence.experiments.tokenization import SYNTHETIC, Tokenization
from recops_evidence.harness.experiment import Run
from recops_evidence.harness.page import render_page
from recops_evidence.harness.stored_results import read_seed_values
from recops_models.callbacks import Callbacks
from recops_models.tokenizers import RQKMeans

pytestmark = pytest.mark.usefixtures("one_thread")

LONG = Arm("long", "rq-kmeans", {"iterations": 20})
SHORT = Arm("short", "rq-kmeans", {"iterations": 1})
NETWORK = {"hidden": "32", "width": 8, "steps": 40}


class ProgressCheck(Callbacks):
    """Callbacks that check the range of the reported progress."""

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        assert 0 <= share <= 1


def make_claim(*arms: Arm, data: str = SYNTHETIC, **changes: Any) -> Claim:
    content = {"text": "It does.", "source": "here", "reported": "+.1", "metric": "nmse"}
    content |= {"id": "less", "direction": "lower", **changes}
    return Claim(arms=arms, data=(data,), experiment=Tokenization(), **content)


def measure(out: Path, *claims: Claim, **options: Any) -> dict[str, Any]:
    options = {
        "command": "recops reproduce",
        "quick": True,
        "callbacks": ProgressCheck(),
        **options,
    }
    return reproduce("a-paper", claims, out, **options)


def test_synthetic_items_have_the_configured_structure() -> None:
    items = synthetic_items(3, items=3000, clusters=50)
    same, other = (synthetic_items(seed, items=3000, clusters=50) for seed in (3, 4))
    assert np.array_equal(items.vectors, same.vectors)
    assert np.array_equal(items.test.unseen, same.test.unseen)
    assert not np.array_equal(items.vectors, other.vectors)
    assert items.vectors.shape == (3000, 64)
    spread = items.vectors.var(axis=0)
    assert spread[:8].mean() > 4 * spread[-8:].mean()
    assert len(items.known) > 1000
    assert len(items.test.unseen) > 1000
    for pairs in (items.known, items.test.unseen, items.validation.seen):
        assert (pairs[:, 0] != pairs[:, 1]).all()


def unordered(pairs: np.ndarray) -> set[tuple[int, ...]]:
    return {tuple(sorted(pair)) for pair in pairs.tolist()}


@pytest.mark.parametrize("source", ["synthetic", "real"])
def test_held_out_pairs_are_disjoint_from_known_ones(source: str, tmp_path: Path) -> None:
    items = synthetic_items(3, items=3000, clusters=50)
    if source == "real":
        items = Tokenization().load(write_small_shop(tmp_path))(0)
    known = unordered(items.known)
    for held_out in (items.validation, items.test):
        assert len(held_out.unseen) > 0
        assert len(held_out.seen) > 0
        assert known.isdisjoint(unordered(held_out.unseen))
        assert known >= unordered(held_out.seen)


def test_pairs_are_compared_without_their_order() -> None:
    evaluated = np.array([[0, 1], [1, 0], [2, 3], [4, 4]])
    held_out = HeldOut.of(evaluated, np.array([[1, 0], [5, 6]]), 7)
    assert held_out.seen.tolist() == [[0, 1], [1, 0]]
    assert held_out.unseen.tolist() == [[2, 3]]


def test_agreement_controls_how_well_behaviour_follows_content() -> None:
    relative_distances = []
    for agreement in (0.0, 1.0):
        items = synthetic_items(0, items=2000, clusters=50, agreement=agreement)
        first, second = items.vectors[items.known.T]
        mean_distance = np.linalg.norm(items.vectors[:1000] - items.vectors[1000:], axis=1).mean()
        relative_distances.append(np.linalg.norm(first - second, axis=1).mean() / mean_distance)
    # Two items of one cluster differ only by noise.
    assert relative_distances[1] < 0.5 < 0.9 < relative_distances[0]


@pytest.mark.slow
def test_a_claim_of_tokenizers_end_to_end(tmp_path: Path) -> None:
    content = measure(tmp_path, make_claim(LONG, SHORT))
    (result,) = content["claims"]
    assert (result["seeds"], result["data"]) == (2, SYNTHETIC)
    assert result["measured"] < 0
    test = read_seed_values(tmp_path)[0]["test"]
    assert {"retention@20", "sid_auc", "k_eff@0.25", "flips", "last_perplexity"} <= set(test)
    assert content["tables"]["measured"][0]["mean"]["active"] == 64
    # Each seed draws different items.
    assert len(set(test["sid_auc"])) == 2
    assert content["tables"]["differences"][0]["users_interval"] is None
    page_text = (tmp_path / "results.md").read_text()
    assert "over users" not in page_text
    assert set(content["floors"]) == set()
    for floor in ("look-up", "raw cosines"):
        assert f"| floor: {floor} |" in page_text
    assert "Nothing was tuned" in page_text
    stored = (tmp_path / "results.json").read_bytes()
    measure(tmp_path, make_claim(LONG, SHORT), resume=True)
    assert (tmp_path / "results.json").read_bytes() == stored


def test_quick_runs_train_networks_with_few_steps_on_pairs(tmp_path: Path) -> None:
    settings = tuple((name, str(value)) for name, value in NETWORK.items())
    run = Run(Tokenization(), "drq-vae-cl", SYNTHETIC, settings, 0, test=True, quick=True)
    assert run.experiment.config(run)["steps"] == 100
    shares: list[float] = []
    draw = run.experiment.load(SYNTHETIC)
    progress = OnAdvance(lambda stage, share, metrics: shares.append(share))
    _, test = run.experiment.measure(run, draw, tmp_path, progress)
    assert shares == sorted(shares)
    assert shares[-1] == 1
    assert test["k_eff@0.25"] is not None


def write_small_shop(tmp_path: Path) -> str:
    """Write a data set of 40 users with 6 events each and 80 items with titles of four words."""
    rng = np.random.default_rng(0)
    folder = tmp_path / "shop"
    folder.mkdir()
    rows = [f"{u},{100 + rng.integers(80)},{step}" for u in range(40) for step in range(6)]
    (folder / "interactions.csv").write_text("\n".join(["user_id,item_id,timestamp", *rows]) + "\n")
    words = ["red", "green", "blue", "round", "flat", "tall", "old", "new"]
    items = [f"{i},{' '.join(rng.choice(words, 4))} {i}" for i in range(100, 180)]
    (folder / "items.csv").write_text("\n".join(["item_id,title", *items]) + "\n")
    return str(folder)


def test_real_items_are_encoded_by_their_content(tmp_path: Path) -> None:
    data = write_small_shop(tmp_path)
    items = Tokenization().load(data)(0)
    assert items.vectors.shape[0] == 80
    held_out = (items.validation, items.test)
    # Each of the 40 users contributes one event per part; a pair of equal items is dropped.
    assert all(len(part.unseen) + len(part.seen) in (39, 40) for part in held_out)
    assert items.known.max() < 80
    content = measure(tmp_path / "out", make_claim(LONG, SHORT, data=data))
    assert content["claims"][0]["seeds"] == 2


def test_metrics_of_seen_pairs_are_separate_from_those_of_unseen_pairs(tmp_path: Path) -> None:
    """The contrastive loss fits the pairs of its training, so only unseen pairs show transfer."""
    settings = tuple((name, str(value)) for name, value in NETWORK.items())
    run = Run(Tokenization(), "drq-vae-cl", SYNTHETIC, settings, 0, test=True, quick=True)
    draw = run.experiment.load(SYNTHETIC)
    _, test = run.experiment.measure(run, draw, tmp_path, Callbacks())
    items = draw(0).first(2000)
    assert test["unseen_pairs"] == len(items.test.unseen)
    assert test["seen_pairs"] == len(items.test.seen)
    assert None not in (test["seen_sid_auc"], test["seen_retention@20"])
    assert test["seen_sid_auc"] != test["sid_auc"]


def test_a_trial_is_measured_on_the_pairs_of_validation(tmp_path: Path) -> None:
    run = Run(Tokenization(), "rq-kmeans", SYNTHETIC, (), 0, test=False, quick=True)
    draw = run.experiment.load(SYNTHETIC)
    validation, test = run.experiment.measure(run, draw, tmp_path, Callbacks())
    assert test == {}
    assert validation["unseen_pairs"] == len(draw(0).first(2000).validation.unseen)


def test_floors_of_pairs_without_a_tokenizer() -> None:
    """Six items on an arc; the pair (0, 1) is known twice and (0, 2) once."""
    vectors = np.stack([np.cos(angles := np.arange(6) / 4), np.sin(angles)], axis=1)
    known = np.array([[0, 1], [1, 0], [0, 2]])
    evaluated = HeldOut.of(np.array([[0, 1], [0, 2], [3, 4]]), known, 6)
    items = Items(vectors.astype("f4"), np.arange(6), known, evaluated, evaluated)
    floors = pair_floors(items, evaluated, seed=0)
    assert floors["look-up"]["seen_hit@20"] == floors["raw cosines"]["seen_hit@20"] == 1
    assert floors["look-up"]["seen_sid_auc"] == 1
    assert floors["look-up"]["sid_auc"] <= 0.5
    assert floors["raw cosines"]["seen_sid_auc"] > 0.5


def test_the_look_up_floor_ranks_by_counts() -> None:
    known = np.array([[0, i] for i in range(1, 31)] + [[0, 1]] * 3)
    evaluated = np.array([[0, 1], [0, 2], [0, 40]])
    items = Items(
        np.eye(50, dtype="f4"), np.arange(50), known, HeldOut.of(evaluated, known, 50), None
    )
    floor = pair_floors(items, HeldOut(evaluated, evaluated[:0]), seed=0)["look-up"]
    # Item 1 ranks first, item 2 ties with 28 others for the next 19 ranks, item 40 is unknown.
    assert floor["hit@20"] == pytest.approx((1 + 19 / 29 + 0) / 3)


class Latents:
    """One-level quantizer: ``book`` holds the codewords, ``matrix`` maps vectors to latents."""

    def __init__(self, book: torch.Tensor, matrix: torch.Tensor) -> None:
        self.codebooks, self.matrix = (book @ matrix,), matrix

    def latents(self, vectors: torch.Tensor) -> torch.Tensor:
        return vectors @ self.matrix

    def encode(self, vectors: torch.Tensor) -> torch.Tensor:
        # Distances in the input space do not depend on the scale of the latents.
        inverse = torch.linalg.pinv(self.matrix)
        return torch.cdist(vectors, self.codebooks[0] @ inverse).argmin(1, keepdim=True)


def test_input_noise_is_independent_of_the_latent_space() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(4000, 6, generator=generator)
    book = torch.randn(16, 6, generator=generator)
    stretched = torch.randn(6, 6, generator=generator)
    padded = torch.cat([torch.eye(6), torch.zeros(6, 18)], dim=1)
    results = []
    for matrix in (torch.eye(6), 100 * torch.eye(6), stretched, padded):
        space: Any = Latents(book, matrix)
        codes = space.encode(vectors)
        results.append(under_input_noise(space, vectors, codes, 0.5, seed=0))
    plain = results[0]
    assert 2 < plain.k_eff < 15
    for other in results[1:]:
        assert other.k_eff == pytest.approx(plain.k_eff, rel=1e-3)
        assert other.flips == pytest.approx(plain.flips, abs=1e-3)
    # If latents equal the vectors, 1/k_eff is the overlap at σ = ρ s, up to sampling error.
    scale = 0.5 * float((vectors - vectors.mean(0)).square().mean().sqrt())
    codes = Latents(book, torch.eye(6)).encode(vectors)
    usage = torch.bincount(codes[:, 0], minlength=16).double() / 4000
    overlap, _ = recops.codebook_overlap(book.double(), usage, scale)
    assert plain.k_eff == pytest.approx(float(1 / overlap), rel=0.02)


def test_the_page_names_data_where_raw_cosines_beat_every_arm(tmp_path: Path) -> None:
    content = measure(tmp_path, make_claim(LONG, SHORT, metric="sid_auc", direction="higher"))
    raw = next(floor for floor in content["tables"]["floors"] if floor["name"] == "raw cosines")
    assert raw["test"]["sid_auc"] == content["floors"][SYNTHETIC]["raw cosines"] > 0.6
    for value, is_reported in ((0.9, True), (0.6, False)):
        raw["test"]["sid_auc"] = value
        line = f"**On {SYNTHETIC} no arm beats the floors in sid_auc**: the floor raw cosines"
        assert (line in render_page(content)) is is_reported
    raw["test"]["sid_auc"] = 0.9
    assert render_page(content).index("no arm beats") < render_page(content).index("## Verdicts")


@pytest.mark.slow
def test_arms_that_claims_share_have_one_row_in_one_table(tmp_path: Path) -> None:
    tiny = Arm("tiny", "rq-kmeans", {"iterations": 2})
    claims = [make_claim(LONG, SHORT), make_claim(LONG, tiny, id="too")]
    content = measure(tmp_path, *claims)
    assert [arm["arm"] for arm in content["tables"]["arms"]] == ["long", "short", "tiny"]
    page_text = render_page(content)
    assert page_text.count("| arm |") == 1
    for arm in ("long", "short", "tiny"):
        assert page_text.count(f"| {arm} (`rq-kmeans`) |") == 1
    mean = content["tables"]["measured"][0]["mean"]["nmse"]
    assert (
        mean - 0.01
        < float(page_text.split("| long (`rq-kmeans`) | ")[1].split(" ±")[0])
        < mean + 0.01
    )


def test_unknown_methods_and_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no tokenizer 'abacus'"):
        measure(tmp_path / "a", make_claim(LONG, Arm("b", "abacus")))
    with pytest.raises(ValueError, match="no setting 'beads'"):
        measure(tmp_path / "b", make_claim(LONG, Arm("b", "rq-kmeans", {"beads": 3})))


def test_the_stored_tokenizer_reproduces_the_metrics_of_its_run(tmp_path: Path) -> None:
    run = Run(Tokenization(), "rq-kmeans", SYNTHETIC, (), 1, test=True, quick=True)
    draw = run.experiment.load(SYNTHETIC)
    validation, test = run.experiment.measure(run, draw, tmp_path, Callbacks())
    assert validation == {}
    vectors = torch.from_numpy(draw(1).vectors[:2000])
    tokenizer = RQKMeans.load(tmp_path / "tokenizer.safetensors")
    error = (vectors - tokenizer.decode(tokenizer.encode(vectors))).square().sum()
    assert test["nmse"] == pytest.approx(float(error / (vectors - vectors.mean(0)).square().sum()))
