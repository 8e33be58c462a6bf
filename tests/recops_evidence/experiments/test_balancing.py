"""Claims about capacity: made-up exposures, what is measured, and that no code carries too much."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from torch import Tensor

from recops_evidence.claims import claims_of
from recops_evidence.experiments.balancing import (
    SYNTHETIC,
    Balancing,
    assert_capacity,
    metrics_of,
)
from recops_evidence.experiments.exposed_items import (
    ExposedItems,
    real_exposed_items,
    synthetic_exposed_items,
)
from recops_evidence.harness.experiment import Run
from recops_evidence.harness.stored_results import read_results
from recops_models import cli
from recops_models.callbacks import Callbacks
from recops_models.tokenizers import RQKMeans
from recops_models.tokenizers.methods.balanced_rq import BalancedRQ, BalancedSettings, capacity_of

pytestmark = pytest.mark.usefixtures("one_thread")


class ByHand(RQKMeans):
    """Three levels of 32 codes that all decode to the origin."""

    def __init__(self) -> None:
        super().__init__(3, 32)
        self.codebooks = (torch.zeros(32, 2),) * 3


def run(model: str, **changes: str) -> Run:
    arm = tuple(sorted(changes.items()))
    return Run(Balancing(), model, SYNTHETIC, arm, 0, test=True, quick=True)


def test_synthetic_exposed_items_are_what_they_say() -> None:
    items, again, other = (synthetic_exposed_items(s, items=4000) for s in (0, 0, 1))
    assert torch.equal(items.vectors, again.vectors)
    assert torch.equal(items.exposure, again.exposure)
    assert not torch.equal(items.vectors, other.vectors)
    assert items.vectors.shape == (4000, 32)
    falling = items.exposure.sort(descending=True).values.double()
    assert float(falling.sum()) == pytest.approx(1e6)
    # The rank-r item has r^−0.8 of the first one's.
    assert (falling[[1, 9, 999]] / falling[0]).tolist() == pytest.approx(
        [2**-0.8, 10**-0.8, 1000**-0.8]
    )
    assert abs(np.corrcoef(items.exposure, items.vectors.norm(dim=1))[0, 1]) < 0.1


def test_plain_codes_of_the_synthetic_items_are_those_of_the_toy() -> None:
    """Error .345, Gini .28 and .49: what the set is chosen for."""
    items = synthetic_exposed_items(0)
    plain = RQKMeans(3, 32).fit(items.vectors, torch.arange(20_000))
    found = metrics_of(plain, items, plain.encode(items.vectors))
    assert found["nmse"] == pytest.approx(0.345, abs=0.02)
    assert found["gini@0"] == pytest.approx(0.28, abs=0.07)
    assert found["gini@1"] == pytest.approx(0.49, abs=0.1)


def test_figures_by_hand() -> None:
    """Two items of equal exposure, one of none: one path of 32 768 has half of it."""
    items = ExposedItems(torch.tensor([[1.0, 0], [-1, 0], [0, 0]]), torch.tensor([4.0, 4.0, 0.0]))
    found = metrics_of(ByHand(), items, torch.tensor([[0, 1, 2], [0, 1, 3], [5, 5, 5]]))
    assert found["nmse"] == 1
    assert found["ln_nmse"] == 0
    assert found["gini@0"] == pytest.approx(31 / 32)  # All on one code.
    assert found["gini@2"] == pytest.approx(30 / 32)
    assert found["gini"] == pytest.approx((31 + 31 + 30) / 96)
    assert found["raw_gini"] == found["gini"]
    # Of all places, the empty ones among them, 1 % is far more than two.
    assert found["prefixes@1%"] == found["paths@1%"] == 1
    assert found["used_paths@1%"] == 0.5
    capacity = 1.05 * 8 / 32
    assert found["fullest"] == pytest.approx(8 / capacity)
    assert found["over_capacity"] == 4
    assert found["infeasible_items"] == 2
    assert found["clipped_items"] == 0  # Too few items for ρ: they are as light as the lightest.
    assert found["no_collision_rate"] == 1


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 9),
    st.integers(2, 4),
    st.sampled_from([1.0, 1.05, 1.5]),
    st.floats(0.05, 1.0),
    st.floats(0.0, 1.5),
    st.integers(0, 2**31),
)
def test_no_code_ever_carries_more_than_its_capacity(
    codes: int, levels: int, slack: float, clip: float, skew: float, seed: int
) -> None:
    """Whatever the exposure: flat or by Zipf's law, of clumps, of copies, of items never shown."""
    generator = torch.Generator().manual_seed(seed)
    items = codes + seed % 150
    vectors = torch.randn(8, 3, generator=generator)[torch.arange(items) % 8]
    vectors[: items // 2] += torch.randn(items // 2, 3, generator=generator)
    exposure = torch.arange(1, items + 1).float() ** -skew
    exposure[(torch.rand(items, generator=generator) < 0.1) & (torch.arange(items) > 0)] = 0
    chosen = BalancedSettings(iterations=4, slack=slack, clip=clip)
    tokenizer = BalancedRQ(levels, codes, chosen)
    try:
        tokenizer.fit(vectors, torch.arange(items), seed=seed, weights=exposure)
    except ValueError as error:  # Few heavy items may not fit: then there are no codes at all.
        if "cannot hold items of these weights" not in str(error):
            raise
        reject()
    found = tokenizer.encode(vectors, weights=exposure)
    assert_capacity(found, exposure, tokenizer.vocab_sizes, chosen)
    clipped, _ = capacity_of(exposure, codes, slack, clip)
    loads = torch.zeros(levels, codes, dtype=torch.float64)
    loads.scatter_add_(1, found.T.long(), clipped.double().expand(levels, -1).contiguous())
    lightest = float(exposure[exposure > 0].min())
    least = -(-int((exposure > 0).sum()) // codes) * lightest
    bound = max(slack * float(clipped.double().sum()) / codes, least)
    assert float(loads.max()) <= bound


def test_a_code_beyond_its_capacity_is_named() -> None:
    weights = torch.ones(64)
    codes = torch.stack([torch.arange(64) % 32, torch.full((64,), 7)], dim=1)
    assert_capacity(codes[:, :1], weights, (32,), BalancedSettings())
    with pytest.raises(AssertionError, match=r"level 1, code 7: load must be ≤ 2\.1\d*, got 64\.0"):
        assert_capacity(codes, weights, (32, 32), BalancedSettings())


def test_a_run_that_passes_the_capacity_ends_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nearest(self: RQKMeans, vectors: Tensor, *, weights: Tensor | None = None) -> Tensor:
        return RQKMeans.encode(self, vectors)

    monkeypatch.setattr(BalancedRQ, "_check_capacity", lambda *_: None)
    monkeypatch.setattr(BalancedRQ, "encode", nearest)
    asked = run("balanced-rq", weights="exposure")
    draw = asked.experiment.load(SYNTHETIC)
    with pytest.raises(AssertionError, match="load must be"):
        asked.experiment.measure(asked, draw, tmp_path, Callbacks())


def test_what_is_balanced_is_a_setting(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="weights must be items or exposure, got 'luck'"):
        Balancing().config(run("balanced-rq", weights="luck"))
    assert run("balanced-rq", weights="items").key != run("balanced-rq", weights="exposure").key
    found = {}
    for kind in ("items", "exposure"):
        asked = run("balanced-rq", weights=kind)
        folder = tmp_path / kind
        folder.mkdir()
        draw = asked.experiment.load(SYNTHETIC)
        _, found[kind] = asked.experiment.measure(asked, draw, folder, Callbacks())
    assert found["exposure"]["over_capacity"] == 0 < found["items"]["over_capacity"]
    assert found["exposure"]["fullest"] <= 1 < found["items"]["fullest"]
    assert found["exposure"]["clipped_items"] > found["exposure"]["infeasible_items"] > 0
    # Loads within τ times their mean have a Gini of at most 1 − 1/τ.
    for level in range(3):
        assert found["exposure"][f"gini@{level}"] <= 1 - 1 / 1.05 + 1e-6
        assert found["items"][f"gini@{level}"] > found["exposure"][f"gini@{level}"]
    assert found["exposure"]["raw_gini"] > found["exposure"]["gini"]


def test_real_exposure_is_that_of_training(atomic_files: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert cli.run(["data", "import", "recbole", str(atomic_files), "--out", str(data)]) == 0
    items = real_exposed_items(str(data))
    assert len(items.vectors) == len(items.exposure)
    lines = sum(len(path.read_text().splitlines()) - 1 for path in atomic_files.glob("*.inter"))
    assert 0 < float(items.exposure.sum()) < lines
    assert len(items.pairs) > 0
    tokenizer = RQKMeans(3, 32).fit(items.vectors, torch.arange(len(items.vectors)))
    found = metrics_of(tokenizer, items, tokenizer.encode(items.vectors))
    assert 0 < found["retention@20"] < 2
    assert len(items.first(5).vectors) == len(items.first(5).exposure) == 5


def test_the_capacity_claims_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    command = ["reproduce", "unirec", "--claims", "capacity", "--quick", "--out", str(out)]
    assert cli.run(command) == 0
    content = read_results(out)
    assert [claim["id"] for claim in content["claims"]] == [
        claim.id for claim in claims_of("unirec", ["capacity"])
    ]
    assert content["command"] == "recops reproduce unirec --claims capacity --quick"
    told = (out / "results.md").read_text()
    assert "| < +0.0488 |" in told  # Error up by 5 % at most.
    assert "| ln_" not in told.split("## Arms")[1]
    capsys.readouterr()
    command = ["reproduce", "unirec", "--claims", "luck", "--out", str(tmp_path / "no")]
    assert cli.run(command) == 2
    said = capsys.readouterr().err
    assert "unirec has no claim 'luck'" in said
    assert (
        "capacity, retrieval, headline, parts, levers, alignment, control, new-items, published, "
        in " ".join(said.split())
    )


def test_a_group_is_its_claims_and_an_id_one_of_them() -> None:
    everything = claims_of("unirec")
    assert claims_of("unirec", ["capacity"]) == tuple(
        c for c in everything if c.group == "capacity"
    )
    assert claims_of("unirec", ["top-paths-hold-less", "capacity"]) == claims_of(
        "unirec", ["capacity"]
    )
    (one,) = claims_of("unirec", ["top-paths-hold-less"])
    assert one.group == "capacity"
