"""Training step of DIEN in plain torch, as in DeepCTR-Torch, with the weights of a recops DIEN."""

from __future__ import annotations

import numpy as np
import plain_embedding
import torch
import torch.nn.functional as F
from plain_dice import plain_layers
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from recops_models.click.dien import Dien, DienConfig
from recops_models.click.loss import click_loss, training_loss
from recops_models.data.vocabulary import Vocabulary
from recops_models.examples.batch import Batch
from recops_models.examples.features import Categorical, FeatureSchema, FittedSchema, Sequence
from recops_models.examples.lookup import Lookup
from recops_models.layers.next_event import draw_events

# Sizes of the released code: embeddings of 18, states of 36, and these MLPs.
CONFIG = DienConfig(
    width=18, hidden=(200, 80), attention_hidden=(80, 40), auxiliary_hidden=(100, 50)
)
ROWS = 128
TABLES = {"user": 5000, "item": 10_000, "category": 500}


class PlainDien(nn.Module):
    """DIEN by ``nn.GRU`` on packed rows and a loop over the steps of the AUGRU.

    The inputs [h, e] and [q, h, q − h, q ∘ h] of the MLPs are concatenated. The loop slices the
    packed tensor, and the gradient of each slice is a zero-filled tensor of all steps.
    """

    def __init__(self, model: Dien) -> None:
        super().__init__()
        self.model = model
        self.head = plain_layers(model.head)
        width = model.embedding.history_dim
        self.gru = nn.GRU(width, width, batch_first=True)
        with torch.no_grad():
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(self.gru, f"{name}_l0").copy_(getattr(model.extractor, name))

    def loss(self, batch: Batch, negatives: dict[str, Tensor]) -> Tensor:
        """Return cross-entropy plus auxiliary loss; ``negatives`` have one id per event."""
        embedding = self.model.embedding
        query = plain_embedding.query(embedding, batch)
        events = plain_embedding.keys(embedding, batch)
        drawn = batch._replace(features=batch.features | negatives)
        others = plain_embedding.keys(embedding, drawn)
        lengths = embedding.lengths(batch)
        packed = pack_padded_sequence(events, lengths, batch_first=True, enforce_sorted=False)
        packed, _ = self.gru(packed)
        states, _ = pad_packed_sequence(packed, batch_first=True, total_length=events.shape[1])
        present = torch.arange(1, events.shape[1]) < lengths[:, None]
        following, other = events[:, 1:], others[:, 1:]
        next_score, other_score = (
            self._score(states[:, :-1], event)[present] for event in (following, other)
        )
        differ = (following != other).any(-1)[present]
        auxiliary = (F.softplus(-next_score) + F.softplus(other_score) * differ).mean()
        attention = self._attention(query, states, lengths)
        packed_attention = pack_padded_sequence(
            attention, lengths, batch_first=True, enforce_sorted=False
        )
        interest = self._evolve(packed, packed_attention, lengths)
        x = torch.cat([plain_embedding.context(embedding, batch), interest], 1)
        return click_loss(self.head(x).squeeze(-1), batch.label) + auxiliary

    def _score(self, states: Tensor, events: Tensor) -> Tensor:
        net = self.model.auxiliary
        assert net is not None
        if net.scorer == "inner":
            return (states * events).sum(-1)
        scores: Tensor = net.rest(torch.sigmoid(net.first(torch.cat([states, events], -1))))
        return scores.squeeze(-1)

    def _attention(self, query: Tensor, states: Tensor, lengths: Tensor) -> Tensor:
        attention, q = self.model.attention, query[:, None].expand_as(states)
        pairs = torch.cat([q, states, q - states, q * states], -1)
        hidden = F.linear(pairs, attention.pair.weight, attention.pair.bias)
        scores = attention.score(hidden.flatten(0, 1)).view(states.shape[:2])
        absent = torch.arange(states.shape[1]) >= lengths[:, None]
        return scores.masked_fill(absent, -(2**32) + 1).softmax(-1)

    def _evolve(self, packed: PackedSequence, attention: PackedSequence, lengths: Tensor) -> Tensor:
        cell = self.model.evolution
        assert cell is not None
        h = packed.data.new_zeros(int(packed.batch_sizes[0]), cell.weight_hh.shape[1])
        outputs, start = packed.data.new_zeros(len(packed.data), h.shape[1]), 0
        for rows in packed.batch_sizes.tolist():
            x, a = packed.data[start : start + rows], attention.data[start : start + rows, None]
            h = h[:rows]
            i_r, i_z, i_n = F.linear(x, cell.weight_ih, cell.bias_ih).chunk(3, 1)
            h_r, h_z, h_n = F.linear(h, cell.weight_hh, cell.bias_hh).chunk(3, 1)
            new = torch.tanh(i_n + torch.sigmoid(i_r + h_r) * h_n)
            update = a * torch.sigmoid(-i_z - h_z)
            h = (1 - update) * h + update * new
            outputs[start : start + rows] = h
            start += rows
        states, _ = pad_packed_sequence(packed._replace(data=outputs), batch_first=True)
        return states[torch.arange(len(lengths)), lengths - 1]


def schema() -> FittedSchema:
    """Return the features: user, item, category, and the histories of the last two."""
    names = list(TABLES)
    declared = FeatureSchema(
        (
            *(Categorical(name) for name in names),
            *(Sequence(f"history_{name}", share_embedding=name) for name in names[1:]),
        )
    )
    known = {name: Lookup(Vocabulary(np.arange(size))) for name, size in TABLES.items()}
    return FittedSchema(declared, known)


class Step:
    """Training steps of both implementations on one batch of full histories, without an optimizer.

    Args:
        steps: number of events T in every history.
        config: sizes of the network.
    """

    def __init__(self, steps: int, config: DienConfig = CONFIG) -> None:
        torch.manual_seed(0)
        self.model = Dien(schema(), config)
        for table in self.model.embedding.tables.values():
            nn.init.normal_(table.weight[1:], std=0.3)
        self.plain = PlainDien(self.model)
        features = {name: torch.randint(2, size, (ROWS,)) for name, size in TABLES.items()}
        lengths = {}
        for name in ("item", "category"):
            features[f"history_{name}"] = torch.randint(2, TABLES[name], (ROWS, steps))
            lengths[f"history_{name}"] = torch.full((ROWS,), steps)
        label = torch.randint(2, (ROWS,)).float()
        self.batch = Batch(features, lengths, label, features["user"])
        torch.manual_seed(1)
        drawn = draw_events(lengths["history_item"], ROWS, steps - 1, steps)
        self.negatives = {
            name: F.pad(ids.flatten()[drawn], (1, 0))
            for name, ids in features.items()
            if name.startswith("history")
        }

    def run(self) -> Tensor:
        """Return the loss of recops, after a forward and backward pass."""
        torch.manual_seed(1)
        self.model.zero_grad()
        loss = training_loss(self.model, self.batch)
        loss.backward()
        return loss.detach()

    def run_plain(self) -> Tensor:
        """Return the loss of the plain form, after a forward and backward pass."""
        self.plain.zero_grad()
        loss = self.plain.loss(self.batch, self.negatives)
        loss.backward()
        return loss.detach()

    def verify(self) -> None:
        """Check that losses and gradients of shared modules agree.

        Raises:
            AssertionError: they differ.
        """
        results = []
        for run in (self.run, self.run_plain):
            loss = run()
            shared = (self.model.embedding, self.model.attention, self.model.evolution)
            grads = [p.grad.clone() for part in shared for p in part.parameters()]
            results.append([loss, *grads])
        for actual, expected in zip(*results, strict=True):
            torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-5)
