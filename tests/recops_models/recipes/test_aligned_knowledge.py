"""Renewed knowledge of KEEP is rotated onto the earlier one, so that a plug continues."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import recops_models as rm
from jobs import job_of
from recops_models.callbacks import Callbacks
from recops_models.cli import run
from recops_models.click.din import Din, DinConfig
from recops_models.click.keep import Keep, KeepConfig, plug_in
from recops_models.data import Dataset, save_dataset
from recops_models.examples.knowledge_features import KNOWN
from recops_models.examples.tiny import tiny_click_data
from recops_models.graphs.coded_rows import CodedRows
from recops_models.graphs.knowledge import Knowledge, KnowledgeError
from recops_models.graphs.tiny import tiny_knowledge
from recops_models.layers.pair_knowledge import PairKnowledge
from recops_models.recipes.aligned_knowledge import align_knowledge
from recops_models.recipes.continued_knowledge import continued_knowledge
from recops_models.recipes.earlier import EarlierTraining
from recops_models.recipes.run import run_job

SETTINGS = {
    **{"base.width": "4", "base.hidden": "8", "base.activation": "relu", "until": "0.5"},
    **{"epochs": "1", "batch": "256", "extracting.epochs": "1", "extractor.width": "4"},
}


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)


def in_another_basis(knowledge: Knowledge, seed: int) -> Knowledge:
    """Return the same knowledge as another extractor could have learnt it: rotated."""
    generator = torch.Generator().manual_seed(seed)
    width = knowledge.width
    bases = torch.stack(
        [torch.linalg.qr(torch.randn(width, width, generator=generator))[0] for _ in range(3)]
    )
    tables = {
        name: CodedRows.of(knowledge.tables[name].decoded() @ bases[index], "float32")
        for index, name in enumerate(("user", "item"))
    }
    pair = {**knowledge.pair, "bases": bases}
    return dataclasses.replace(knowledge, tables=tables, pair=pair, version="other")


def pairs(knowledge: Knowledge) -> torch.Tensor:
    """Return the pair knowledge of the first three known users and items."""
    net = PairKnowledge.shaped(knowledge.pair)
    net.load_state_dict(dict(knowledge.pair))
    rows = [knowledge.tables[name].decoded()[2:5] for name in ("user", "item")]
    with torch.no_grad():
        result: torch.Tensor = net(*rows)
    return result


def test_a_rotated_extractor_is_aligned_exactly() -> None:
    earlier = tiny_knowledge()
    other = in_another_basis(earlier, seed=1)
    assert not torch.allclose(other.tables["user"].decoded(), earlier.tables["user"].decoded())
    aligned = align_knowledge(other, earlier)
    assert aligned.knowledge.version == earlier.version
    for name in ("user", "item"):
        source = other.tables[name].decoded()[2:]
        before, after = earlier.tables[name].decoded()[2:], aligned.knowledge.tables[name].decoded()
        np.testing.assert_allclose(after[2:] @ after[2:].T, source @ source.T, atol=1e-4)
        if len(before) >= before.shape[1]:
            np.testing.assert_allclose(after[2:], before, atol=1e-4)
        assert aligned.after[name] >= aligned.before[name] - 1e-6
        assert aligned.after[name] == pytest.approx(1, abs=1e-4)
    bases = aligned.knowledge.pair["bases"]
    for basis in bases:
        np.testing.assert_allclose(basis @ basis.T, np.eye(len(basis)), atol=1e-4)
    assert torch.nn.functional.cosine_similarity(
        pairs(aligned.knowledge), pairs(earlier)
    ).mean() == pytest.approx(1, abs=1e-3)


def plugged(knowledge: Knowledge) -> Keep:
    """Return a DIN with a plug that reads the knowledge."""
    torch.manual_seed(0)
    return plug_in(Din(tiny_click_data()[0], DinConfig(width=4)), knowledge, KeepConfig()).eval()


def test_a_continued_training_reads_any_knowledge_in_the_basis_of_its_plug(tmp_path: Path) -> None:
    earlier = tiny_knowledge()
    model, messages = plugged(earlier), list[str]()
    start = EarlierTraining(tmp_path, "keep", {}, 0, model, None)
    callbacks = Callbacks()
    callbacks.log_message = messages.append  # type: ignore[assignment, method-assign]
    assert continued_knowledge(earlier, start, callbacks) is earlier, "the same extractor"
    assert not messages
    other = in_another_basis(earlier, seed=1)
    rotated = continued_knowledge(other, start, callbacks)
    assert rotated.version == earlier.version
    assert len(messages) == 2
    batch = tiny_click_data()[1]
    for name, feature in KNOWN.items():
        batch.features[feature] = batch.features[name]
    with torch.no_grad():
        expected = model.bottom(batch)[0]
        for knowledge, is_same in ((rotated, True), (other, False)):
            x = plugged(knowledge).bottom(batch)[0]
            assert torch.allclose(x, expected, atol=1e-2) == is_same


def test_knowledge_without_a_shared_id_is_refused() -> None:
    earlier = tiny_knowledge()
    lookups = {
        name: type(lookup).from_state({"ids": torch.arange(100, 100 + lookup.cardinality - 2)})
        for name, lookup in earlier.lookups.items()
    }
    with pytest.raises(KnowledgeError, match="must share a user with that of"):
        align_knowledge(dataclasses.replace(earlier, lookups=lookups), earlier)


@pytest.mark.slow
@pytest.mark.parametrize("named", [(False, True), (True, True), (True, False)])
def test_keep_continues_from_and_with_named_files(
    named: tuple[bool, bool], small: Dataset, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Earlier and renewed knowledge may be extracted by the training, or come from a file."""
    data = tmp_path / "data"
    save_dataset(small, data)
    settings = SETTINGS
    files = []
    for seed in (0, 1):
        out = tmp_path / f"extracted-{seed}"
        out.mkdir()
        run_job(job_of("keep", str(data), settings, seed=seed, quick=False), small, out)
        files.append(out / "knowledge" / "knowledge.safetensors")
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    first = {"knowledge": str(files[0])} if named[0] else {}
    run_job(job_of("keep", str(data), settings | first, seed=0, quick=False), small, old)
    command = ["train", "keep", "--data", str(data), "--from", str(old), "--out", str(new)]
    command += ["--set", f"knowledge={files[1] if named[1] else 'none'}", "--seed", "1"]
    capsys.readouterr()
    assert run([*command, "--set", "learning_rate=0", "--set", "weight_decay=0"]) == 0
    assert "after the rotation" in capsys.readouterr().err
    before, after = rm.load(old).module, rm.load(new).module
    assert isinstance(before, Keep)
    assert isinstance(after, Keep)
    assert after.config.version == before.config.version
    assert after.reader.pair.bases is not None
    assert Knowledge.load(files[1]).version != before.config.version


@pytest.mark.slow
def test_keep_continues_with_its_plug(small: Dataset, tmp_path: Path) -> None:
    data = tmp_path / "data"
    save_dataset(small, data)
    old = tmp_path / "old"
    old.mkdir()
    run_job(job_of("keep", str(data), SETTINGS, seed=0, quick=False), small, old)
    still = {"learning_rate": 0.0, "weight_decay": 0.0}
    new = rm.train("keep", data, still, start=old, out=tmp_path / "new", seed=1)
    before, after = rm.load(old).module, new.module
    assert isinstance(before, Keep)
    assert isinstance(after, Keep)
    assert after.config.version == before.config.version
    for name, weight in before.head.plug.state_dict().items():
        assert torch.equal(after.head.plug.state_dict()[name], weight)
    assert after.reader.state_dict()["pair.bases"].shape[0] == 3
    earlier = Knowledge.load(old / "knowledge" / "knowledge.safetensors")
    renewed = Knowledge.load(tmp_path / "new" / "knowledge" / "knowledge.safetensors")
    assert align_knowledge(renewed, earlier).before["item"] > 0  # It is in the earlier basis.
    assert rm.load(tmp_path / "new").score({"user_id": [1], "item_id": [1]}).shape == (1,)
