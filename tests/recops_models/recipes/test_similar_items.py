"""Similar items have the highest cosines, from dense and from sparse vectors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from recops_models.data import load
from recops_models.data.histories import Histories
from recops_models.generative.ease import EASE, EASEConfig
from recops_models.generative.item_knn import ItemKNN, ItemKNNConfig
from recops_models.recipes import similar_items as module
from small_shop import write_shop


@pytest.mark.parametrize("is_sparse", [True, False])
def test_lists_are_those_of_the_cosines(
    is_sparse: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    histories = Histories(np.arange(0, 401, 8), rng.integers(0, 29, 400), np.arange(400))
    model = (
        ItemKNN.fit(histories, 30, ItemKNNConfig(shrinkage=1.0), seed=0)
        if is_sparse
        else EASE.fit(histories, 30, EASEConfig())
    )
    monkeypatch.setattr(module, "_SCORES", 64)  # Blocks of two items.
    dataset = load(write_shop(tmp_path))
    asked = torch.tensor([3, 29, 0, 7, 11])
    ranking = module.similar_items(model, dataset, asked, 4)
    vectors = model.item_vectors()
    assert is_sparse != isinstance(vectors, torch.Tensor)
    directions = F.normalize(torch.as_tensor(vectors.toarray() if is_sparse else vectors), dim=-1)
    directions = directions.float()
    cosines = directions[asked] @ directions.T
    cosines[torch.arange(5), asked] = -1
    torch.testing.assert_close(ranking.scores, cosines.topk(4).values)
    assert not (ranking.items == asked[:, None]).any()
