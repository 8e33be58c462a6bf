"""Recipe of UniRec: settings, presets, saved models, and collaborative codes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from callback_doubles import Interrupt
from jobs import job_of
from recops_models.data import Dataset
from recops_models.data.errors import DataError
from recops_models.generative.item_knn import ItemKNN
from recops_models.generative.ranker import Ranker
from recops_models.generative.sasrec import SASRec
from recops_models.generative.unirec import UniRec, UniRecConfig
from recops_models.recipes.files import load_model, save_model
from recops_models.recipes.input_config import InputConfig
from recops_models.recipes.job import Job
from recops_models.recipes.registry import names, recipe_of
from recops_models.recipes.run import load_trained, train_job
from recops_models.recipes.semantic_ids import load_semantic_ids
from recops_models.recipes.setting_text import parse_settings
from recops_models.tokenizers.methods.balanced_rq import BalancedRQ
from recops_models.training.alignment_config import AlignmentConfig

SMALL = {
    "width": "8",
    "heads": "2",
    "expert_hidden": "8",
    "head_hidden": "8",
    "history": "6",
    "codes": "8",
    "levels": "2",
    "epochs": "1",
}


@pytest.mark.parametrize(
    "config",
    [
        UniRecConfig(num_attributes=2, history=4, width=8, heads=2, bos="factorised", scenes=3),
        UniRecConfig(num_attributes=0, history=4, width=8, heads=2, item_scores=0.0),
        UniRecConfig(num_attributes=1, history=4, width=8, heads=2, events="concat"),
    ],
)
@pytest.mark.parametrize("fields", [None, torch.tensor([[0, 0], [1, 2], [3, 0]])])
def test_saved_models_load_with_all_kinds_of_parts(
    tmp_path: Path, config: UniRecConfig, fields: torch.Tensor | None
) -> None:
    torch.manual_seed(0)
    paths = torch.randint(0, 5, (30, 4))
    model = UniRec(paths, (5, 6, 7, 8), torch.arange(30.0), config, fields).eval()
    save_model(tmp_path / "model.safetensors", "unirec", model)
    loaded = load_model(tmp_path / "model.safetensors")
    assert isinstance(loaded, UniRec)
    history, lengths = torch.tensor([[3, 4, 5, 0]]), torch.tensor([3])
    user = None if fields is None else torch.tensor([2])
    one, other = (each.decode(history, lengths, 10, user=user) for each in (model, loaded))
    assert torch.equal(one.items, other.items)
    assert torch.equal(one.scores, other.scores)


def test_training_with_shuffled_attributes_and_user_fields(small: Dataset, tmp_path: Path) -> None:
    settings = {
        **SMALL,
        "attributes": "class,release_year",
        "shuffle_attributes": "true",
        "user_fields": "gender,age",
    }
    job = job_of("unirec", "small", settings, seed=0, quick=False)
    assert job.parts["inputs"] == InputConfig(("class", "release_year"), True, ("gender", "age"))
    train_job(job, small, tmp_path)
    loaded_job, model = load_trained(tmp_path)
    assert loaded_job == replace(job, repeats=small.repeats)
    assert isinstance(model, UniRec)
    assert model.config.num_attributes == 2
    assert len(model.vocab_sizes) == 4
    assert model.user is not None
    assert model.user.values.shape == (1 + small.users.num_rows, 2)


def test_the_paper_preset_becomes_plain_settings_of_the_job(small: Dataset, tmp_path: Path) -> None:
    job = job_of("unirec", "small", {**SMALL, "history": "5"}, seed=0, quick=False, preset="paper")
    sizes = job.parts["sizes"]
    assert isinstance(sizes, UniRecConfig)
    assert (sizes.events, sizes.history_layers, sizes.item_scores) == ("concat", 0, 0.0)
    assert (sizes.history, sizes.width) == (5, 8)
    assert job.parts["inputs"] == InputConfig(("auto:2",))
    overrides = parse_settings("unirec", {**SMALL, "history": "5"})
    named = {**recipe_of("unirec").preset("paper"), **overrides}
    assert job == Job.of("unirec", "small", named, seed=0, quick=False)
    train_job(job, small, tmp_path)
    loaded_job, model = load_trained(tmp_path)
    assert loaded_job == replace(job, repeats=small.repeats)
    assert isinstance(model, UniRec)
    assert model.scores is None
    assert model.config.num_attributes == 2
    assert isinstance(load_semantic_ids(tmp_path / "unirec").tokenizer, BalancedRQ)


def test_settings_override_a_preset() -> None:
    job = job_of(
        "unirec", "small", {"align": "none", "events": "sum"}, seed=0, quick=False, preset="paper"
    )
    assert job.parts["alignment"] == AlignmentConfig()
    assert job.parts["sizes"] == UniRecConfig(events="sum", history_layers=0, item_scores=0.0)


def test_every_preset_is_made_of_settings_of_its_recipe() -> None:
    for name in names():
        for preset in recipe_of(name).presets:
            assert job_of(name, "small", {}, seed=0, quick=False, preset=preset).model == name


def test_an_unknown_preset_is_refused_with_a_list() -> None:
    with pytest.raises(ValueError, match="unirec has no preset 'papers'; available: paper"):
        job_of("unirec", "small", {}, seed=0, quick=False, preset="papers")
    with pytest.raises(ValueError, match="din has no preset 'paper'; available: none"):
        job_of("din", "small", {}, seed=0, quick=False, preset="paper")


def test_rewards_without_levels_are_refused_before_training(small: Dataset, tmp_path: Path) -> None:
    events = small.interactions.select(["user_id", "item_id", "timestamp"])
    job = job_of("unirec", "small", SMALL, seed=0, quick=False, preset="paper")
    with pytest.raises(DataError, match="or align=none"):
        train_job(job, replace(small, interactions=events), tmp_path)
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_missing_attribute_is_refused_before_training(small: Dataset, tmp_path: Path) -> None:
    job = job_of("unirec", "small", {**SMALL, "attributes": "brand"}, seed=0, quick=False)
    with pytest.raises(DataError, match="attributes must name categorical columns of the items"):
        train_job(job, small, tmp_path)
    assert not (tmp_path / "sids.parquet").exists()


LEARNT = {"collaborative": "true", "sasrec.width": "16", "collaborating.epochs": "1"}
COLLABORATIVE = {**SMALL, **LEARNT}


@pytest.mark.parametrize("name", ["unirec", "tiger"])
def test_collaborative_codes_encode_the_vectors_of_a_sasrec(
    name: str, small: Dataset, tmp_path: Path
) -> None:
    names_of_both = ("width", "heads", "history", "codes", "levels", "epochs")
    shared = {key: COLLABORATIVE[key] for key in (*names_of_both, *LEARNT)}
    job = job_of(name, "small", shared, seed=0, quick=False)
    (alone := tmp_path / "alone").mkdir()
    train_job(job, small, tmp_path)
    sasrec = train_job(
        job_of("sasrec", "small", {"width": "16", "epochs": "1"}, seed=0, quick=False),
        small,
        alone,
    ).model
    assert isinstance(sasrec, SASRec)
    semantic_ids = load_semantic_ids(tmp_path)
    rows = sasrec.item.weight[1:].detach()
    assert torch.equal(torch.from_numpy(semantic_ids.vectors.vectors), rows), (
        "the vectors must be those of a SASRec trained alone"
    )
    assert torch.equal(semantic_ids.tokenizer.encode(rows), semantic_ids.codes)
    loaded_job, model = load_trained(tmp_path)
    assert loaded_job == replace(job, repeats=small.repeats)
    assert isinstance(model, Ranker)
    weights = model.state_dict()
    train_job(job, small, tmp_path, resume=True)
    resumed = load_trained(tmp_path)[1].state_dict()
    assert all(torch.equal(weights[key], resumed[key]) for key in weights)


def test_a_saved_model_keeps_its_item_knn(small: Dataset, tmp_path: Path) -> None:
    settings = {**SMALL, "candidates": "all", "knn.decay": "0.5", "knn.neighbours": "3"}
    trained = train_job(
        job_of("unirec", "small", settings, seed=0, quick=False), small, tmp_path
    ).model
    loaded = load_trained(tmp_path)[1]
    history, lengths = torch.tensor([[1, 2, 3, 0, 0, 0]]), torch.tensor([3])
    scores = []
    for model in (trained, loaded):
        assert isinstance(model, UniRec)
        assert isinstance(model.item_knn, ItemKNN)
        assert model.config.knn_decay == model.item_knn.config.decay == 0.5
        scores.append(model.item_knn.score_all(history, lengths))
    assert scores[0].equal(scores[1])
    assert (scores[0] > 1e-3).any()
    assert isinstance(trained, UniRec)
    assert isinstance(loaded, UniRec)
    one, other = (each.decode(history, lengths, 5) for each in (trained.eval(), loaded.eval()))
    assert one.items.equal(other.items)
    with pytest.raises(ValueError, match="unirec has no setting 'knn_decay'"):
        job_of("unirec", "small", {"knn_decay": "0.5"}, seed=0, quick=False)


def test_item_content_is_the_vectors_of_the_tokenizer(small: Dataset, tmp_path: Path) -> None:
    settings = {**SMALL, "item_content": "true", "epochs": "2"}
    job = job_of("unirec", "small", settings, seed=0, quick=False)
    model = train_job(job, small, tmp_path).model
    loaded = load_trained(tmp_path)[1]
    assert isinstance(model, UniRec)
    assert isinstance(loaded, UniRec)
    assert model.item.content is not None
    vectors = torch.from_numpy(load_semantic_ids(tmp_path).vectors.vectors)
    torch.testing.assert_close(model.item.content[1:], torch.nn.functional.normalize(vectors))
    assert model.item.project is not None
    assert model.item.project.abs().max() > 1e-3, "the map of content must be trained"
    for name, value in model.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[name]), name
    history, lengths = torch.tensor([[1, 2, 3, 0, 0, 0]]), torch.tensor([3])
    one, other = (each.eval().decode(history, lengths, 5) for each in (model, loaded))
    assert torch.equal(one.items, other.items)
    assert torch.equal(one.scores, other.scores)


def test_each_of_three_trainings_has_a_folder(small: Dataset, tmp_path: Path) -> None:
    job = job_of("unirec", "small", {**COLLABORATIVE, "align": "rft"}, seed=0, quick=False)
    train_job(job, small, tmp_path)
    assert (tmp_path / "collaborative" / "checkpoint.safetensors").exists()
    assert load_semantic_ids(tmp_path / "unirec").vectors.vectors.shape[1] == 16
    assert isinstance(load_trained(tmp_path)[1], UniRec)


def test_collaborative_codes_refuse_bad_settings_before_training(
    small: Dataset, tmp_path: Path
) -> None:
    both = {**COLLABORATIVE, "vectors": "mine.npy"}
    with pytest.raises(ValueError, match="vectors must be left out with collaborative=true"):
        job_of("unirec", "small", both, seed=0, quick=False)
    for missing in ({"attributes": "brand"}, {"user_fields": "shoes"}):
        job = job_of("unirec", "small", {**COLLABORATIVE, **missing}, seed=0, quick=False)
        with pytest.raises(DataError, match=next(iter(missing.values()))):
            train_job(job, small, tmp_path)
        assert not (tmp_path / "collaborative" / "checkpoint.safetensors").exists()


def test_resuming_uses_no_files_of_an_earlier_training(small: Dataset, tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    train_job(job_of("unirec", "small", SMALL, seed=0, quick=False), small, tmp_path / "one")
    job = job_of("unirec", "small", COLLABORATIVE, seed=0, quick=False)
    with pytest.raises(KeyboardInterrupt):  # While the SASRec is trained.
        train_job(job, small, tmp_path / "one", callbacks=Interrupt())
    train_job(job, small, tmp_path / "one", resume=True)
    train_job(job, small, tmp_path / "other")
    sids = [(tmp_path / name / "sids.parquet").read_bytes() for name in ("one", "other")]
    assert sids[0] == sids[1]


def test_old_semantic_ids_are_removed(small: Dataset, tmp_path: Path) -> None:
    train_job(job_of("unirec", "small", SMALL, seed=0, quick=False), small, tmp_path)
    settings = {**SMALL, "align": "rft"}
    train_job(job_of("unirec", "small", settings, seed=1, quick=False), small, tmp_path)
    for name in ("item_vectors.safetensors", "sids.parquet", "trie.safetensors"):
        assert not (tmp_path / name).exists()
        assert (tmp_path / "unirec" / name).exists()
