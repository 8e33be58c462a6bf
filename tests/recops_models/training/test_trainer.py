"""Trainer: learning, early stopping, divergence, compilation and number formats."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch._inductor import config as inductor

from callback_doubles import Interrupt, OnAdvance
from float_modes import MODES, count_subnormals, modes_set, thread_modes
from recops_models.evaluation.metrics import evaluate
from recops_models.generative.popularity import Popularity, item_counts
from recops_models.generative.ranker import Ranker
from recops_models.generative.sasrec import SASRec, SASRecConfig
from recops_models.generative.unirec import UniRec, UniRecConfig
from recops_models.generative.windows import Windows
from recops_models.layers.dropout import Dropout
from recops_models.training.config import TrainingConfig
from recops_models.training.curve import best_epoch
from recops_models.training.diverged import DivergedError
from recops_models.training.next_item_task import NextItemTask
from recops_models.training.trainer import fit
from synthetic_histories import NUM_ITEMS, paths, ring, ring_dataset

TRAIN, VALIDATION = ring()


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # The models are too small for a second thread.


def build(name: str) -> SASRec | UniRec:
    torch.manual_seed(0)
    if name == "sasrec":
        return SASRec(NUM_ITEMS, SASRecConfig(history=8, width=16, dropout=0.1))
    tokens, sizes = paths()
    config = UniRecConfig(history=8, width=16, heads=2, expert_hidden=16, dropout=0.1)
    return UniRec(tokens, sizes, item_counts(TRAIN, NUM_ITEMS), config)


def task() -> NextItemTask:
    return NextItemTask(ring_dataset())


@pytest.mark.parametrize("name", ["sasrec", "unirec"])
def test_trained_models_beat_popularity(name: str, tmp_path: Path) -> None:
    model = build(name)
    config = TrainingConfig(epochs=15, learning_rate=1e-2, batch=16, patience=15)
    curve = fit(model, task(), config, seed=0, folder=tmp_path)
    baseline = evaluate(Popularity(item_counts(TRAIN, NUM_ITEMS)), VALIDATION, NUM_ITEMS)
    evaluation = evaluate(model, VALIDATION, NUM_ITEMS)
    assert evaluation.metrics["ndcg@10"] > baseline.metrics["ndcg@10"] + 0.3
    assert evaluation.metrics == curve[best_epoch(curve, config)].validation


def test_stops_early_and_keeps_the_best_epoch(tmp_path: Path) -> None:
    config = TrainingConfig(epochs=50, batch=16, learning_rate=0.0, patience=2)
    curve = fit(build("sasrec"), task(), config, seed=0, folder=tmp_path)
    assert (len(curve), best_epoch(curve, config)) == (3, 0)


def test_a_diverging_loss_is_reported(tmp_path: Path) -> None:
    model = build("sasrec")
    with torch.no_grad():
        model.place.fill_(float("nan"))
    with pytest.raises(DivergedError, match="loss became nan in step 1 of epoch 1"):
        fit(model, task(), TrainingConfig(), seed=0, folder=tmp_path)


def test_weights_that_diverge_in_the_last_step_are_reported(tmp_path: Path) -> None:
    model = build("sasrec")
    unused = torch.nn.Parameter(torch.full((2,), float("inf")))
    model.register_parameter("unused", unused)
    with pytest.raises(DivergedError, match="a weight is not finite after epoch 1"):
        fit(model, task(), TrainingConfig(), seed=0, folder=tmp_path)


def test_an_unknown_metric_is_refused_before_training(tmp_path: Path) -> None:
    config = TrainingConfig(select="auc")
    with pytest.raises(ValueError, match=r"no validation metric 'auc'; available: hr@10"):
        fit(build("sasrec"), task(), config, seed=0, folder=tmp_path)


def test_sparse_adam_refuses_tables_that_are_read_densely(tmp_path: Path) -> None:
    config = TrainingConfig(tables="sparse-adam")
    with pytest.raises(ValueError, match="reads a table as a whole; use rowwise-adagrad"):
        fit(build("sasrec"), task(), config, seed=0, folder=tmp_path)


@pytest.mark.parametrize("name", ["sasrec", pytest.param("unirec", marks=pytest.mark.slow)])
def test_bf16_learns_as_well(name: str, tmp_path: Path) -> None:
    config = TrainingConfig(epochs=15, learning_rate=1e-2, batch=16, patience=15, precision="bf16")
    model = build(name)
    curve = fit(model, task(), config, seed=0, folder=tmp_path)
    assert all(value.dtype != torch.bfloat16 for value in model.state_dict().values())
    assert curve[best_epoch(curve, config)].validation["ndcg@10"] > 0.5


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # From torch's compiler.
@pytest.mark.parametrize(
    "name",
    [
        pytest.param("sasrec", marks=pytest.mark.slow),
        pytest.param("unirec", marks=pytest.mark.full),  # Compiling takes a minute.
    ],
)
def test_compiling_does_not_change_the_loss(name: str, tmp_path: Path) -> None:
    losses = []
    for compiled in (False, True):
        config = TrainingConfig(epochs=2, batch=16, compile=compiled)
        model = build(name)
        for layer in model.modules():
            if isinstance(layer, Dropout):
                layer.p = 0.0  # Compiled code draws other masks.
        # Without the option, compiled code draws other random negatives for UniRec.
        with inductor.patch(fallback_random=True):
            curve = fit(model, task(), config, seed=0, folder=tmp_path)
        losses.append([epoch.train_loss for epoch in curve])
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


@pytest.mark.parametrize("modes", MODES, ids=str)
def test_subnormal_numbers_are_flushed_on_all_threads_during_training(
    modes: list[int], set_threads: Callable[[int], None]
) -> None:
    config = TrainingConfig(epochs=1, batch=16)
    inside: list[list[int]] = []
    with modes_set(modes, set_threads):
        fit(
            build("sasrec"),
            task(),
            config,
            seed=0,
            folder=None,
            callbacks=OnAdvance(lambda *_: inside.append(thread_modes())),
        )
        assert thread_modes() == modes
    assert inside
    assert all(all(flushed) for flushed in inside)


def test_an_interrupted_training_restores_the_modes(set_threads: Callable[[int], None]) -> None:
    with modes_set([0, 1, 0], set_threads):
        with pytest.raises(KeyboardInterrupt):
            fit(
                build("sasrec"),
                task(),
                TrainingConfig(epochs=1, batch=16),
                seed=0,
                folder=None,
                callbacks=Interrupt(),
            )
        assert thread_modes() == [0, 1, 0]


class SmallLoss(NextItemTask):
    """Next-item task whose loss is so small that squared gradients are subnormal."""

    def loss(self, model: Ranker, batch: Windows) -> tuple[Tensor, int]:
        loss, count = super().loss(model, batch)
        return loss * 1e-18, count


def test_the_moments_hold_no_subnormal_numbers(tmp_path: Path) -> None:
    config = TrainingConfig(epochs=1, batch=16)
    fit(build("sasrec"), SmallLoss(ring_dataset()), config, seed=0, folder=tmp_path)
    saved = load_file(tmp_path / "checkpoint.safetensors")
    moments = {name: tensor for name, tensor in saved.items() if "exp_avg" in name}
    assert sum(count_subnormals(tensor) for tensor in moments.values()) == 0
    assert any(tensor.count_nonzero() for tensor in moments.values())
