"""Transfer experiment of KEEP: training data per way, shared artifacts and synthetic controls."""

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


def make_experiment(**cut: str) -> Transfer:
    cuts = (("synthetic", pairs({**CUT, **cut})),)
    return Transfer(DomainSource(cuts, (("synthetic", LAW),)), pairs(EXTRACTION), pairs(SMALL))


def make_run(experiment: Transfer, way: str, seed: int = 0, **changes: str) -> Run:
    if way in ("keep", SHUFFLED):
        dotted = {f"base.{name}": SMALL[name] for name in ("hidden", "attention_hidden")}
        settings = {"max_len": "4", "epochs": "1", **dotted, **changes}
        if way == SHUFFLED:
            settings["knowledge"] = SHUFFLED
        return Run(experiment, "keep", "synthetic", pairs(settings), seed, True, False)
    return Run(
        experiment, "din", "synthetic", pairs({**SMALL, **changes, "way": way}), seed, True, False
    )


def measure(run: Run, folder: Path) -> tuple[Metrics, Metrics]:
    run_folder = folder / run.key
    run_folder.mkdir(parents=True, exist_ok=True)
    return run.experiment.measure(run, LAW.draw(0), run_folder, Callbacks())


def test_the_training_data_of_each_way() -> None:
    config = DomainConfig(domain_column="domain", domain="small", until=0.6, validation=0.3)
    data = LAW.draw(1)
    rng = np.random.default_rng(0)  # Some events of the small domain are before the cut.
    domain = data.interactions["domain"].to_pylist()
    domain = ["small" if rng.random() < 0.2 else name for name in domain]
    table = data.interactions.set_column(4, "domain", [domain])
    cut = Domains.of(dataclasses.replace(data, interactions=table), config)
    splits = {way: way_split(cut, way) for way in WAYS}
    tests = [split.test["timestamp"].to_pylist() for split in splits.values()]
    assert all(test == tests[0] for test in tests), "all ways have the same test events"
    rows = {way: split.train.num_rows for way, split in splits.items()}
    before, past = int(cut.before.sum()), int((cut.before & cut.inside).sum())
    assert past > 0
    assert rows["zero-shot"] == before
    assert rows["fine-tune"] == rows["base"]
    assert rows["mixed"] == before + rows["base"]
    assert rows["long"] == past + rows["base"]
    context_rows = {way: split.context.num_rows for way, split in splits.items()}
    assert context_rows == {
        "base": past, "long": 0, "mixed": 0, "fine-tune": before, "zero-shot": rows["base"]
    }  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
def test_a_history_ends_before_its_example(way: str) -> None:
    """The item id of each event is its time, so a candidate gives the time of its example."""
    data = LAW.draw(1)
    times = np.arange(data.interactions.num_rows)
    events = data.interactions.set_column(1, "item_id", [times]).set_column(2, "timestamp", [times])
    data = dataclasses.replace(data, interactions=events, items=pa.table({"item_id": times}))
    domains = Domains.of(data, DomainConfig("domain", "small", until=0.6, validation=0.3))
    settings = {"max_len": "200", "rare_count": "1", "feedback": "explicit"}
    examples = way_examples(job_of("din", "synthetic", settings, seed=0, quick=False), domains, way)
    split = way_split(domains, way)
    known = pa.concat_tables([split.context, split.train])
    known_events = set(
        zip(known["user_id"].to_pylist(), known["timestamp"].to_pylist(), strict=True)
    )
    keys = examples.fitted.lookup("item").keys
    assert isinstance(keys, Vocabulary)
    (batch,) = examples.train.batches(10_000, seed=None)
    candidates = np.concatenate([[-1, -1], keys.ids])[batch.features["item"].numpy()]
    assert (candidates >= 0).all()
    for user, time, length in zip(
        batch.group.tolist(), candidates, batch.lengths["history_item"].tolist(), strict=True
    ):
        assert length == sum(other == user and when < time for other, when in known_events)


def test_longer_training_data_keep_the_evaluated_negatives() -> None:
    """Negatives are drawn by popularity, which a longer training part would change."""
    data = dataclasses.replace(LAW, items=300).draw(1)
    small = [["small"] * data.interactions.num_rows]
    data = dataclasses.replace(data, interactions=data.interactions.set_column(4, "domain", small))
    domains = Domains.of(data, DomainConfig(until=0.6, validation=0.3))
    job = job_of("din", "synthetic", {"max_len": "4", "feedback": "implicit"}, seed=0, quick=False)
    base, longer = (way_examples(job, domains, way) for way in ("base", "long"))
    assert (longer.train.num_examples or 0) > (base.train.num_examples or 0)
    for part in ("validation", "test"):
        candidates = [candidate_ids(examples, part) for examples in (base, longer)]
        known = (candidates[0] >= 0) & (candidates[1] >= 0)
        assert known.sum() > 20
        assert np.array_equal(candidates[0][known], candidates[1][known])


def candidate_ids(examples: ClickData, part: str) -> NDArray[np.int64]:
    """Return the item ids of a part's candidates, −1 for items that the model does not know."""
    keys = examples.fitted.lookup("item").keys
    assert isinstance(keys, Vocabulary)
    rows = [
        batch.features["item"].numpy() for batch in getattr(examples, part).batches(64, seed=None)
    ]
    return np.concatenate([[-1, -1], keys.ids])[np.concatenate(rows)]


@pytest.mark.parametrize("cut", [{}, {"slices": "3", "passes": "2"}])
def test_every_way_reports_its_metrics(cut: dict[str, str], tmp_path: Path) -> None:
    experiment = make_experiment(**cut)
    metrics = {
        way: measure(make_run(experiment, way), tmp_path)
        for way in ("keep", SHUFFLED, *WAYS[:1], "fine-tune")
    }
    for validation, test in metrics.values():
        assert {"auc", "auc_met", "auc_unmet", "auc_few", "auc_many"} <= test.keys()
        assert ("auc_never" in test) is bool(cut)
        assert test["auc_met"] == pytest.approx(test["auc"], abs=1e-4), (
            "the window contains every user"
        )
        assert test["auc_unmet"] is None
        assert test.keys() == validation.keys()
    for way in metrics:
        run = make_run(experiment, way)
        assert experiment.user_draws(run, tmp_path / run.key, metrics[way][1]) is None, (
            "the users differ between seeds"
        )
        shop = dataclasses.replace(run, data="shop")
        draws = experiment.user_draws(shop, tmp_path / run.key, metrics[way][1])
        assert draws is not None
        assert {"auc", "auc_met", "auc_few", "auc_many"} <= draws.figures.keys()
    assert len({test["auc"] for _, test in metrics.values()}) == len(metrics)
    names = [path.name for path in tmp_path.iterdir()]
    assert sum(name.startswith("knowledge-") for name in names) == 1, (
        "both arms share one extraction"
    )
    assert sum(name.startswith("pretrained-") for name in names) == 1
    (first,) = tmp_path.glob("pretrained-*")
    assert not (first / "predictions.parquet").exists(), "test is not measured"
    repeated = measure(make_run(experiment, "fine-tune"), tmp_path)
    assert repeated[1]["auc"] == metrics["fine-tune"][1]["auc"]


class Shares(Callbacks):
    """Callbacks that record the reported progress, from 0 to 1."""

    def __init__(self) -> None:
        self.shares: list[float] = []

    def advance(self, share: float, note: str = "", **metrics: float) -> None:
        self.shares.append(share)


@pytest.mark.parametrize("way", ["keep", "base", "fine-tune"])
def test_progress_rises_over_all_trainings(way: str, tmp_path: Path) -> None:
    run, callbacks = make_run(make_experiment(), way), Shares()
    folder = tmp_path / run.key
    folder.mkdir()
    run.experiment.measure(run, LAW.draw(0), folder, callbacks)
    assert callbacks.shares == sorted(callbacks.shares)
    assert callbacks.shares[0] < 0.5
    assert callbacks.shares[-1] == 1


def test_trials_skip_test_and_run_keys_depend_on_all_settings(tmp_path: Path) -> None:
    experiment = make_experiment()
    trial = dataclasses.replace(make_run(experiment, "fine-tune"), test=False)
    validation, test = measure(trial, tmp_path)
    assert test == {}
    assert not (tmp_path / trial.key / "predictions.parquet").exists()
    assert validation["auc"] is not None
    keys = {
        make_run(experiment, way, **changes).key
        for way in ("keep", SHUFFLED, *WAYS)
        for changes in ({}, {"learning_rate": "0.1"})
    }
    assert len(keys) == 14
    other = dataclasses.replace(
        experiment, extraction=pairs({**EXTRACTION, "extractor.width": "8"})
    )
    assert make_run(other, "keep").key != make_run(experiment, "keep").key
    assert make_run(other, "base").key == make_run(experiment, "base").key
    with pytest.raises(ValueError, match=r"way must be one of base, .*, got 'sideways'"):
        measure(make_run(experiment, "sideways"), tmp_path)
    with pytest.raises(ValueError, match=r"share must be 1 for synthetic users, got 0\.5"):
        experiment.measure(
            dataclasses.replace(trial, share=0.5), LAW.draw(0), tmp_path, Callbacks()
        )


def test_mixed_training_requires_explicit_feedback(tmp_path: Path) -> None:
    experiment = make_experiment(until="0.5")
    experiment = dataclasses.replace(
        experiment, source=dataclasses.replace(experiment.source, laws=())
    )
    events = LAW.draw(0).interactions.drop_columns(["label", "domain"])
    is_small = events["item_id"].to_numpy() < 9
    table = events.append_column("domain", [np.where(is_small, "small", "super")])
    data = dataclasses.replace(LAW.draw(0), interactions=table)
    with pytest.raises(ValueError, match="mixed: feedback must be explicit, got implicit"):
        experiment.measure(make_run(experiment, "mixed"), data, tmp_path, Callbacks())


def test_the_headline_claims_share_six_arms() -> None:
    arms = {arm.name for claim in claims_of("keep", ["headline"]) for arm in claim.arms}
    assert len(arms) == 6
    assert all(claim.group for claim in claims_of("keep"))


def test_two_small_domains_of_one_data_set_have_different_labels() -> None:
    """Floors are stored per label, and those of the two domains differ."""
    labels = {
        claim.id: claim.experiment.label
        for claim in claims_of("keep")
        if claim.data == ("ml-1m",) and claim.group in ("headline", "others")
    }
    assert labels["keep-lifts-science-fiction"] == "genres Sci-Fi"
    horror = labels["keep-lifts-horror-of-known-users"]
    assert horror == "genres Horror, cut in each user's order"
    assert _CONTROL.label == ""


# Positive controls on synthetic clicks, with the middle learning rate of each arm's grid.


def metric_per_seed(
    arms: Mapping[str, Arm], data: str, seeds: range, folder: Path, metric: str
) -> Any:
    """Return the test metric of each arm: one array with a value per seed."""
    values_of_arm: dict[str, list[float]] = {name: [] for name in arms}
    for seed in seeds:
        for name, arm in arms.items():
            settings = {**arm.settings, "learning_rate": 3e-3}
            text = pairs({key: str(value) for key, value in settings.items()})
            run = Run(_CONTROL, arm.model, data, text, seed, True, False)
            run_folder = folder / run.key
            run_folder.mkdir(parents=True, exist_ok=True)
            _, test = _CONTROL.measure(run, _CONTROL.load(data), run_folder, Callbacks())
            value = test[metric]
            assert value is not None
            values_of_arm[name].append(value)
    return {name: np.array(values) for name, values in values_of_arm.items()}


def din(way: str) -> Arm:
    return Arm(way, "din", {**_FINE.settings, "way": way})


@pytest.mark.slow
def test_knowledge_lifts_the_base_on_synthetic_tastes(tmp_path: Path) -> None:
    """One seed of a small data set is enough to see the gain."""
    law = SyntheticDomains(0.3, users=150, items=80)
    cut = _CONTROL.source.cut_settings(_SLIGHT)
    extraction = {**dict(_CONTROL.extraction), "extracting.batch": "128", "extractor.width": "16"}
    experiment = Transfer(
        DomainSource((("small", pairs(cut)),), (("small", law),)), pairs(extraction), ()
    )
    auc = {}
    for name, arm in (("keep", _KEEP), ("base", din("base"))):
        settings = {**arm.settings, "learning_rate": 3e-3, "batch": 128}
        text = pairs({key: str(value) for key, value in settings.items()})
        run = Run(experiment, arm.model, "small", text, 0, True, False)
        auc[name] = measure_test(experiment, run, law, tmp_path)["auc"]
    assert auc["keep"] - auc["base"] > 0.03


def measure_test(experiment: Transfer, run: Run, law: SyntheticDomains, folder: Path) -> Metrics:
    run_folder = folder / run.key
    run_folder.mkdir(parents=True)
    return experiment.measure(run, law.draw(0), run_folder, Callbacks())[1]


@pytest.mark.full
def test_true_knowledge_gains_and_shuffled_knowledge_does_not(tmp_path: Path) -> None:
    """Knowledge gains at least .008 of AUC at ρ = .3; shuffled, less than 2 SE."""
    arms = {"keep": _KEEP, "base": din("base")}
    arms["shuffled"] = Arm("shuffled", "keep", {**_KEEP.settings, "knowledge": SHUFFLED})
    auc = metric_per_seed(arms, _SLIGHT, range(5), tmp_path, "auc")
    gain = auc["keep"] - auc["base"]
    assert gain.mean() >= 0.008
    assert gain.min() > 0
    shuffled_gain = auc["shuffled"] - auc["base"]
    assert shuffled_gain.mean() < 2 * shuffled_gain.std(ddof=1) / np.sqrt(len(shuffled_gain))


@pytest.mark.full
def test_knowledge_beats_mixed_training_under_a_strong_shift(tmp_path: Path) -> None:
    arms = {"keep": _KEEP, "base": din("base"), "mixed": din("mixed")}
    auc = metric_per_seed(arms, _STRONG, range(3), tmp_path, "auc")
    assert (auc["keep"] - auc["base"]).mean() > 0
    assert (auc["keep"] - auc["mixed"]).mean() > 0


@pytest.mark.full
def test_fine_tuning_forgets_over_a_stream(tmp_path: Path) -> None:
    arms = {"keep": _KEEP, "fine-tune": _FINE}
    auc = metric_per_seed(arms, _STREAM, range(3), tmp_path, "auc_never")
    assert (auc["keep"] - auc["fine-tune"]).mean() >= 0.01


def test_quick_runs_have_separate_floors() -> None:
    for declared in claims_of("keep", []):
        experiment, arm = declared.experiment, declared.arms[0]
        settings = declared.trials(arm)[0]
        configs = [
            experiment.floors_config(
                Run(experiment, arm.model, declared.data[0], settings, 0, True, quick)
            )
            for quick in (False, True)
        ]
        assert configs[0] is None or configs[0] != configs[1]
