"""KEEP's experiment: what its ways are trained on, what is made once, and what the made-up clicks
show, as the design notes ask.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from jobs import job_of
from recops_evidence.claims import claims_of
from recops_evidence.claims.keep import _CONTROL, _FINE, _KEEP, _SLIGHT, _STREAM, _STRONG
from recops_evidence.experiments.synthetic_domains import SyntheticDomains
from recops_evidence.experiments.transfer import SHUFFLED, DomainSource, Transfer
from recops_evidence.experiments.transfer.ways import WAYS, way_examples, way_split
from recops_evidence.harness.claim import Arm
from recops_evidence.harness.experiment import Metrics, Run
from recops_models.callbacks import Callbacks
from recops_models.data.vocabulary import Vocabulary
from recops_models.examples.click import ClickData
from recops_models.examples.domains import DomainConfig, Domains

pytestmark = pytest.mark.usefixtures("one_thread")

LAW = SyntheticDomains(0.3, users=40, items=30, of_super=60, of_small=20)
CUT = {"domain_column": "domain", "domain": "small", "until": "0.6", "validation": "0.3"}
SMALL = {"max_len": "4", "epochs": "1", "hidden": "6", "attention_hidden": "4"}
EXTRACTION = {"max_len": "4", "extractor.width": "4", "extracting.epochs": "1"}


def pairs(settings: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(settings.items()))


def experiment(**cut: str) -> Transfer:
    cuts = (("made up", pairs({**CUT, **cut})),)
    return Transfer(DomainSource(cuts, (("made up", LAW),)), pairs(EXTRACTION), pairs(SMALL))


def a_run(of: Transfer, way: str, seed: int = 0, **more: str) -> Run:
    if way in ("keep", SHUFFLED):
        dotted = {f"base.{name}": SMALL[name] for name in ("hidden", "attention_hidden")}
        settings = {"max_len": "4", "epochs": "1", **dotted, **more}
        if way == SHUFFLED:
            settings["knowledge"] = SHUFFLED
        return Run(of, "keep", "made up", pairs(settings), seed, True, False)
    return Run(of, "din", "made up", pairs({**SMALL, **more, "way": way}), seed, True, False)


def measured(run: Run, folder: Path) -> tuple[Metrics, Metrics]:
    place = folder / run.key
    place.mkdir(parents=True, exist_ok=True)
    return run.experiment.measure(run, LAW.draw(0), place, Callbacks())


def test_what_each_way_is_trained_on() -> None:
    config = DomainConfig(domain_column="domain", domain="small", until=0.6, validation=0.3)
    data = LAW.draw(1)
    rng = np.random.default_rng(0)  # Some events of the small domain are before the cut.
    domain = data.interactions["domain"].to_pylist()
    domain = ["small" if rng.random() < 0.2 else name for name in domain]
    table = data.interactions.set_column(4, "domain", [domain])
    cut = Domains.of(dataclasses.replace(data, interactions=table), config)
    splits = {way: way_split(cut, way) for way in WAYS}
    tests = [split.test["timestamp"].to_pylist() for split in splits.values()]
    assert all(test == tests[0] for test in tests), "all are asked the same"
    rows = {way: split.train.num_rows for way, split in splits.items()}
    before, past = int(cut.before.sum()), int((cut.before & cut.inside).sum())
    assert past > 0
    assert rows["zero-shot"] == before
    assert rows["fine-tune"] == rows["base"]
    assert rows["mixed"] == before + rows["base"]
    assert rows["long"] == past + rows["base"]
    held = {way: split.context.num_rows for way, split in splits.items()}
    assert held == {
        "base": past, "long": 0, "mixed": 0, "fine-tune": before, "zero-shot": rows["base"]
    }  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_history_ends_before_its_example(way: str) -> None:
    """A time is an item of its own, so that an example tells when it was."""
    data = LAW.draw(1)
    times = np.arange(data.interactions.num_rows)
    events = data.interactions.set_column(1, "item_id", [times]).set_column(2, "timestamp", [times])
    data = dataclasses.replace(data, interactions=events, items=pa.table({"item_id": times}))
    domains = Domains.of(data, DomainConfig("domain", "small", until=0.6, validation=0.3))
    settings = {"max_len": "200", "rare_count": "1", "feedback": "explicit"}
    made = way_examples(job_of("din", "made up", settings, seed=0, quick=False), domains, way)
    split = way_split(domains, way)
    held = pa.concat_tables([split.context, split.train])
    met = set(zip(held["user_id"].to_pylist(), held["timestamp"].to_pylist(), strict=True))
    keys = made.fitted.lookup("item").keys
    assert isinstance(keys, Vocabulary)
    (batch,) = made.train.batches(10_000, seed=None)
    asked = np.concatenate([[-1, -1], keys.ids])[batch.features["item"].numpy()]
    assert (asked >= 0).all()
    for user, time, length in zip(
        batch.group.tolist(), asked, batch.lengths["history_item"].tolist(), strict=True
    ):
        assert length == sum(other == user and when < time for other, when in met)


def test_a_longer_past_is_asked_about_the_same_negatives() -> None:
    """Negatives are drawn by popularity, of which a longer training part tells another."""
    data = dataclasses.replace(LAW, items=300).draw(1)
    small = [["small"] * data.interactions.num_rows]
    data = dataclasses.replace(data, interactions=data.interactions.set_column(4, "domain", small))
    domains = Domains.of(data, DomainConfig(until=0.6, validation=0.3))
    job = job_of("din", "made up", {"max_len": "4", "feedback": "implicit"}, seed=0, quick=False)
    base, longer = (way_examples(job, domains, way) for way in ("base", "long"))
    assert (longer.train.num_examples or 0) > (base.train.num_examples or 0)
    for part in ("validation", "test"):
        asked = [asked_items(made, part) for made in (base, longer)]
        both = (asked[0] >= 0) & (asked[1] >= 0)
        assert both.sum() > 20
        assert np.array_equal(asked[0][both], asked[1][both])


def asked_items(made: ClickData, part: str) -> NDArray[np.int64]:
    """The ids of a part's candidates, −1 where the model does not know them."""
    keys = made.fitted.lookup("item").keys
    assert isinstance(keys, Vocabulary)
    rows = [some.features["item"].numpy() for some in getattr(made, part).batches(64, seed=None)]
    return np.concatenate([[-1, -1], keys.ids])[np.concatenate(rows)]


@pytest.mark.parametrize("cut", [{}, {"slices": "3", "passes": "2"}])
def test_every_way_gives_its_figures(cut: dict[str, str], tmp_path: Path) -> None:
    of = experiment(**cut)
    found = {
        way: measured(a_run(of, way), tmp_path)
        for way in ("keep", SHUFFLED, *WAYS[:1], "fine-tune")
    }
    for validation, test in found.values():
        assert {"auc", "auc_met", "auc_unmet", "auc_few", "auc_many"} <= test.keys()
        assert ("auc_never" in test) is bool(cut)
        assert test["auc_met"] == pytest.approx(test["auc"], abs=1e-4), "the window knows all"
        assert test["auc_unmet"] is None
        assert test.keys() == validation.keys()
    for way in found:
        run = a_run(of, way)
        assert of.user_draws(run, tmp_path / run.key, found[way][1]) is None, "seeds draw users"
        shop = dataclasses.replace(run, data="shop")
        draws = of.user_draws(shop, tmp_path / run.key, found[way][1])
        assert draws is not None
        assert {"auc", "auc_met", "auc_few", "auc_many"} <= draws.figures.keys()
    assert len({test["auc"] for _, test in found.values()}) == len(found)
    places = [path.name for path in tmp_path.iterdir()]
    assert sum(name.startswith("knowledge-") for name in places) == 1, "one for both arms"
    assert sum(name.startswith("pretrained-") for name in places) == 1
    (first,) = tmp_path.glob("pretrained-*")
    assert not (first / "predictions.parquet").exists(), "test is not measured"
    again = measured(a_run(of, "fine-tune"), tmp_path)
    assert again[1]["auc"] == found["fine-tune"][1]["auc"]


class Shares(Callbacks):
    """Callbacks that record the shares of the work."""

    def __init__(self) -> None:
        self.shares: list[float] = []

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        self.shares.append(share)


@pytest.mark.parametrize("way", ["keep", "base", "fine-tune"])
def test_progress_rises_over_all_trainings(way: str, tmp_path: Path) -> None:
    run, callbacks = a_run(experiment(), way), Shares()
    folder = tmp_path / run.key
    folder.mkdir()
    run.experiment.measure(run, LAW.draw(0), folder, callbacks)
    assert callbacks.shares == sorted(callbacks.shares)
    assert callbacks.shares[0] < 0.5
    assert callbacks.shares[-1] == 1


def test_trials_never_touch_test_and_runs_tell_all_that_counts(tmp_path: Path) -> None:
    of = experiment()
    trial = dataclasses.replace(a_run(of, "fine-tune"), test=False)
    validation, test = measured(trial, tmp_path)
    assert test == {}
    assert not (tmp_path / trial.key / "predictions.parquet").exists()
    assert validation["auc"] is not None
    keys = {
        a_run(of, way, **more).key
        for way in ("keep", SHUFFLED, *WAYS)
        for more in ({}, {"learning_rate": "0.1"})
    }
    assert len(keys) == 14
    other = dataclasses.replace(of, extraction=pairs({**EXTRACTION, "extractor.width": "8"}))
    assert a_run(other, "keep").key != a_run(of, "keep").key
    assert a_run(other, "base").key == a_run(of, "base").key
    with pytest.raises(ValueError, match=r"way must be one of base, .*, got 'sideways'"):
        measured(a_run(of, "sideways"), tmp_path)
    with pytest.raises(ValueError, match=r"share must be 1 for made-up users, got 0\.5"):
        of.measure(dataclasses.replace(trial, share=0.5), LAW.draw(0), tmp_path, Callbacks())


def test_drawn_negatives_are_the_same_for_all_or_refused(tmp_path: Path) -> None:
    of = experiment(until="0.5")
    of = dataclasses.replace(of, source=dataclasses.replace(of.source, laws=()))
    events = LAW.draw(0).interactions.drop_columns(["label", "domain"])
    few = events["item_id"].to_numpy() < 9
    table = events.append_column("domain", [np.where(few, "small", "super")])
    data = dataclasses.replace(LAW.draw(0), interactions=table)
    with pytest.raises(ValueError, match="mixed: feedback must be explicit, got implicit"):
        of.measure(a_run(of, "mixed"), data, tmp_path, Callbacks())


def test_the_page_has_at_most_six_arms_a_headline() -> None:
    arms = {arm.name for claim in claims_of("keep", ["headline"]) for arm in claim.arms}
    assert len(arms) == 6
    assert all(claim.group for claim in claims_of("keep"))


def test_two_small_domains_of_one_data_set_are_told_apart() -> None:
    """Their floors are not the same."""
    labels = {
        claim.id: claim.experiment.label
        for claim in claims_of("keep")
        if claim.data == ("ml-1m",) and claim.group in ("headline", "others")
    }
    assert labels["keep-lifts-science-fiction"] == "genres Sci-Fi"
    horror = labels["keep-lifts-horror-of-known-users"]
    assert horror == "genres Horror, cut in each user's order"
    assert _CONTROL.label == ""


# What the design notes ask of made-up clicks; arms at their middle learning rate.


def figures(arms: Mapping[str, Arm], data: str, seeds: range, folder: Path, metric: str) -> Any:
    """By arm ``[seeds]``."""
    found: dict[str, list[float]] = {name: [] for name in arms}
    for seed in seeds:
        for name, arm in arms.items():
            settings = {**arm.settings, "learning_rate": 3e-3}
            text = pairs({key: str(value) for key, value in settings.items()})
            run = Run(_CONTROL, arm.model, data, text, seed, True, False)
            place = folder / run.key
            place.mkdir(parents=True, exist_ok=True)
            _, test = _CONTROL.measure(run, _CONTROL.load(data), place, Callbacks())
            value = test[metric]
            assert value is not None
            found[name].append(value)
    return {name: np.array(values) for name, values in found.items()}


def din(way: str) -> Arm:
    return Arm(way, "din", {**_FINE.settings, "way": way})


def test_made_up_tastes_carry_over_by_knowledge_alone(tmp_path: Path) -> None:
    """One seed of a smaller law: knowledge lifts the base, somebody else's does not."""
    law = SyntheticDomains(0.3, users=150, items=80)
    cut = _CONTROL.source.cut_settings(_SLIGHT)
    extraction = {**dict(_CONTROL.extraction), "extracting.batch": "128", "extractor.width": "16"}
    of = Transfer(DomainSource((("small", pairs(cut)),), (("small", law),)), pairs(extraction), ())
    found = {}
    for name, arm in (("keep", _KEEP), ("base", din("base"))):
        settings = {**arm.settings, "learning_rate": 3e-3, "batch": 128}
        text = pairs({key: str(value) for key, value in settings.items()})
        run = Run(of, arm.model, "small", text, 0, True, False)
        found[name] = measured_on(of, run, law, tmp_path)["auc"]
    assert found["keep"] - found["base"] > 0.03


def measured_on(of: Transfer, run: Run, law: SyntheticDomains, folder: Path) -> Metrics:
    place = folder / run.key
    place.mkdir(parents=True)
    return of.measure(run, law.draw(0), place, Callbacks())[1]


@pytest.mark.slow
def test_gain_and_shuffled_knowledge(tmp_path: Path) -> None:
    """At ρ = .3 the gain is .008 or more; somebody else's knowledge gives none (2 SE)."""
    arms = {"keep": _KEEP, "base": din("base")}
    arms["shuffled"] = Arm("shuffled", "keep", {**_KEEP.settings, "knowledge": SHUFFLED})
    found = figures(arms, _SLIGHT, range(5), tmp_path, "auc")
    gain = found["keep"] - found["base"]
    assert gain.mean() >= 0.008
    assert gain.min() > 0
    none = found["shuffled"] - found["base"]
    assert none.mean() < 2 * none.std(ddof=1) / np.sqrt(len(none))


@pytest.mark.full
def test_shift_harms_mixed_training_and_not_knowledge(tmp_path: Path) -> None:
    arms = {"keep": _KEEP, "base": din("base"), "mixed": din("mixed")}
    found = figures(arms, _STRONG, range(3), tmp_path, "auc")
    assert (found["keep"] - found["base"]).mean() > 0
    assert (found["keep"] - found["mixed"]).mean() > 0


@pytest.mark.full
def test_fine_tuning_forgets_over_a_stream(tmp_path: Path) -> None:
    arms = {"keep": _KEEP, "fine-tune": _FINE}
    found = figures(arms, _STREAM, range(3), tmp_path, "auc_never")
    assert (found["keep"] - found["fine-tune"]).mean() >= 0.01


def test_a_quick_run_has_floors_of_its_own() -> None:
    for declared in claims_of("keep", []):
        experiment, arm = declared.experiment, declared.arms[0]
        settings = declared.trials(arm)[0]
        of = [
            experiment.floors_config(
                Run(experiment, arm.model, declared.data[0], settings, 0, True, quick)
            )
            for quick in (False, True)
        ]
        assert of[0] is None or of[0] != of[1]
