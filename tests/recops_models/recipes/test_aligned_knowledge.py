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
from recops_models.click.keep import Keep
from recops_models.data import Dataset, save_dataset
from recops_models.graphs.coded_rows import CodedRows
from recops_models.graphs.knowledge import Knowledge, KnowledgeError
from recops_models.graphs.tiny import tiny_knowledge
from recops_models.layers.pair_knowledge import PairKnowledge
from recops_models.recipes.aligned_knowledge import align_knowledge
from recops_models.recipes.run import run_job


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


def test_knowledge_without_a_shared_id_is_refused() -> None:
    earlier = tiny_knowledge()
    lookups = {
        name: type(lookup).from_state({"ids": torch.arange(100, 100 + lookup.cardinality - 2)})
        for name, lookup in earlier.lookups.items()
    }
    with pytest.raises(KnowledgeError, match="must share a user with that of"):
        align_knowledge(dataclasses.replace(earlier, lookups=lookups), earlier)


@pytest.mark.slow
def test_keep_continues_with_its_plug(small: Dataset, tmp_path: Path) -> None:
    data = tmp_path / "data"
    save_dataset(small, data)
    settings = {
        **{"base.width": "4", "base.hidden": "8", "base.activation": "relu", "until": "0.5"},
        **{"epochs": "1", "batch": "256", "extracting.epochs": "1", "extractor.width": "4"},
    }
    old = tmp_path / "old"
    old.mkdir()
    run_job(job_of("keep", str(data), settings, seed=0, quick=False), small, old)
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
