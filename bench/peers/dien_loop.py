"""A training step of DIEN in plain torch, as DeepCTR-Torch takes it, upon the weights of ours."""

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

# The released code's sizes: tables of 18, states of 36, and these MLPs.
CONFIG = DienConfig(
    width=18, hidden=(200, 80), attention_hidden=(80, 40), auxiliary_hidden=(100, 50)
)
ROWS = 128
TABLES = {"user": 5000, "item": 10_000, "category": 500}


class PlainDien(nn.Module):
    """``nn.GRU`` on packed rows, [h, e] and [q, h, q − h, q ∘ h] written out, and a loop over steps
    that slices the packed tensor: its gradient adds up one zero-filled tensor of all steps a slice.
    """

    def __init__(self, ours: Dien) -> None:
        super().__init__()
        self.ours = ours
        self.head = plain_layers(ours.head)
        width = ours.embedding.history_dim
        self.gru = nn.GRU(width, width, batch_first=True)
        with torch.no_grad():
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                getattr(self.gru, f"{name}_l0").copy_(getattr(ours.extractor, name))

    def loss(self, batch: Batch, negatives: dict[str, Tensor]) -> Tensor:
        """Cross-entropy and auxiliary loss; ``negatives`` as histories, one for each event."""
        embedding = self.ours.embedding
        query = plain_embedding.query(embedding, batch)
        events = plain_embedding.keys(embedding, batch)
        drawn = batch._replace(features=batch.features | negatives)
        others = plain_embedding.keys(embedding, drawn)
        lengths = embedding.lengths(batch)
        packed = pack_padded_sequence(events, lengths, batch_first=True, enforce_sorted=False)
        packed, _ = self.gru(packed)
        states, _ = pad_packed_sequence(packed, batch_first=True, total_length=events.shape[1])
        there = torch.arange(1, events.shape[1]) < lengths[:, None]
        following, other = events[:, 1:], others[:, 1:]
        of_next, of_other = (self._score(states[:, :-1], e)[there] for e in (following, other))
        apart = (following != other).any(-1)[there]
        auxiliary = (F.softplus(-of_next) + F.softplus(of_other) * apart).mean()
        attention = self._attention(query, states, lengths)
        packed_attention = pack_padded_sequence(
            attention, lengths, batch_first=True, enforce_sorted=False
        )
        interest = self._evolve(packed, packed_attention, lengths)
        x = torch.cat([plain_embedding.context(embedding, batch), interest], 1)
        return click_loss(self.head(x).squeeze(-1), batch.label) + auxiliary

    def _score(self, states: Tensor, events: Tensor) -> Tensor:
        net = self.ours.auxiliary
        assert net is not None
        if net.scorer == "inner":
            return (states * events).sum(-1)
        scores: Tensor = net.rest(torch.sigmoid(net.first(torch.cat([states, events], -1))))
        return scores.squeeze(-1)

    def _attention(self, query: Tensor, states: Tensor, lengths: Tensor) -> Tensor:
        attention, q = self.ours.attention, query[:, None].expand_as(states)
        pairs = torch.cat([q, states, q - states, q * states], -1)
        hidden = F.linear(pairs, attention.pair.weight, attention.pair.bias)
        scores = attention.score(hidden.flatten(0, 1)).view(states.shape[:2])
        absent = torch.arange(states.shape[1]) >= lengths[:, None]
        return scores.masked_fill(absent, -(2**32) + 1).softmax(-1)

    def _evolve(self, packed: PackedSequence, attention: PackedSequence, lengths: Tensor) -> Tensor:
        cell = self.ours.evolution
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
    """User, item, category, and the history of the last two."""
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
    """One training step, forward and backward, of both upon one batch of full histories.

    Args:
        steps: T.
        config: sizes.
    """

    def __init__(self, steps: int, config: DienConfig = CONFIG) -> None:
        torch.manual_seed(0)
        self.ours = Dien(schema(), config)
        for table in self.ours.embedding.tables.values():
            nn.init.normal_(table.weight[1:], std=0.3)
        self.plain = PlainDien(self.ours)
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
        """Ours."""
        torch.manual_seed(1)
        self.ours.zero_grad()
        loss = training_loss(self.ours, self.batch)
        loss.backward()
        return loss.detach()

    def run_plain(self) -> Tensor:
        """The plain form."""
        self.plain.zero_grad()
        loss = self.plain.loss(self.batch, self.negatives)
        loss.backward()
        return loss.detach()

    def verify(self) -> None:
        """Raise where losses, or gradients of what both share, differ."""
        found = []
        for run in (self.run, self.run_plain):
            loss = run()
            shared = (self.ours.embedding, self.ours.attention, self.ours.evolution)
            grads = [p.grad.clone() for part in shared for p in part.parameters()]
            found.append([loss, *grads])
        for ours, plain in zip(*found, strict=True):
            torch.testing.assert_close(ours, plain, rtol=1e-3, atol=1e-5)
