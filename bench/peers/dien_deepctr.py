"""Training step of DeepCTR-Torch's DIEN, with the released code's sizes and full histories."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from deepctr_torch.inputs import SparseFeat, VarLenSparseFeat
from deepctr_torch.models import DIEN
from dien_loop import CONFIG, ROWS, TABLES
from torch import Tensor


def make_step(steps: int) -> Callable[[], Tensor]:
    """Return a forward and backward pass on one batch of random ids; the scorer is an MLP."""
    torch.manual_seed(0)
    width = CONFIG.width
    columns = [SparseFeat(name, size, embedding_dim=width) for name, size in TABLES.items()]
    for prefix in ("hist_", "neg_hist_"):
        for name in ("item", "category"):
            feature = SparseFeat(
                prefix + name, TABLES[name], embedding_dim=width, embedding_name=name
            )
            columns.append(VarLenSparseFeat(feature, maxlen=steps, length_name="length"))
    model = DIEN(
        columns,
        ["item", "category"],
        gru_type="AUGRU",
        use_negsampling=True,
        dnn_hidden_units=CONFIG.hidden,
        att_hidden_units=CONFIG.attention_hidden,
        l2_reg_embedding=0,
        l2_reg_dnn=0,
    ).train()
    columns_of = model.feature_index
    batch = torch.zeros(ROWS, max(end for _, end in columns_of.values()))
    for name, (begin, end) in columns_of.items():
        size = TABLES.get(name.rpartition("hist_")[2])
        ids = torch.randint(1, size, (ROWS, end - begin)) if size else torch.tensor(steps)
        batch[:, begin:end] = ids
    labels = torch.randint(2, (ROWS, 1)).float()

    def step() -> Tensor:
        model.zero_grad()
        loss = F.binary_cross_entropy(model(batch), labels) + model.aux_loss
        loss.backward()
        return loss.detach()

    return step
