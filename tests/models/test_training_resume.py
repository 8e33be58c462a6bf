from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from recops.files import CorruptFileError, load_tensors
from recops_models.generative.popularity import item_counts
from recops_models.generative.sasrec import SASRec, SASRecConfig
from recops_models.generative.unirec import UniRec, UniRecConfig
from recops_models.training import Epoch, Fit, TrainingConfig, fit
from recops_models.training.next_item import NextItem
from recops_models.training.trainer import CHECKPOINT
from synthetic_histories import NUM_ITEMS, paths, ring

TRAIN, VALIDATION = ring()
CONFIG = TrainingConfig(epochs=3, batch=16, checkpoint_minutes=0)


@pytest.fixture(autouse=True)
def _one_thread(set_threads: Callable[[int], None]) -> None:
    set_threads(1)  # These models are so small that a second thread only waits for the first.


def build(name: str) -> SASRec | UniRec:
    torch.manual_seed(0)
    if name == "sasrec":
        return SASRec(NUM_ITEMS, SASRecConfig(history=8, width=16, dropout=0.3))
    tokens, sizes = paths()
    config = UniRecConfig(history=8, width=16, heads=2, expert_hidden=16, dropout=0.3, beams=10)
    return UniRec(tokens, sizes, item_counts(TRAIN, NUM_ITEMS), config)


def train(
    name: str,
    config: TrainingConfig,
    folder: Path,
    *,
    resume: bool = False,
    on_step: Callable[[int, float, float], None] = lambda *_: None,
    on_epoch: Callable[[Epoch], None] = lambda _: None,
) -> tuple[Fit, dict[str, torch.Tensor]]:
    model = build(name)
    folder.mkdir(exist_ok=True)
    task = NextItem(TRAIN, VALIDATION, NUM_ITEMS, window=8, batch=config.batch)
    torch.manual_seed(99)  # The surroundings' random state does not matter.
    done = fit(
        model,
        task,
        config,
        seed=3,
        folder=folder,
        resume=resume,
        on_step=on_step,
        on_epoch=on_epoch,
    )
    return done, model.state_dict()


def kill_in_the_second_epoch(epoch: int, done: float, loss: float) -> None:
    if epoch == 1 and done > 0.4:
        signal.raise_signal(signal.SIGKILL)


def assert_same(
    found: tuple[Fit, dict[str, torch.Tensor]], expected: tuple[Fit, dict[str, torch.Tensor]]
) -> None:
    timeless = [
        [replace(epoch, seconds=0.0) for epoch in done.curve] for done, _ in (found, expected)
    ]
    assert timeless[0] == timeless[1]
    for key, value in expected[1].items():
        assert torch.equal(value, found[1][key]), key


@pytest.mark.parametrize("name", ["sasrec", "unirec"])
@pytest.mark.parametrize("minutes", [0.0, 60.0])
def test_an_interrupted_run_makes_the_same_bits(name: str, minutes: float, tmp_path: Path) -> None:
    expected = train(name, CONFIG, tmp_path / "whole")
    config = replace(CONFIG, checkpoint_minutes=minutes)

    def interrupt(epoch: int, done: float, loss: float) -> None:
        if epoch == 1 and done > 0.4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(name, config, tmp_path / "parts", on_step=interrupt)
    _, kept = load_tensors(tmp_path / "parts" / CHECKPOINT, kind="training-state")
    assert (len(kept["curve"]), kept["step"] > 0) == (1, minutes == 0)
    told: list[int] = []
    found = train(
        name,
        config,
        tmp_path / "parts",
        resume=True,
        on_epoch=lambda epoch: told.append(epoch.epoch),
    )
    assert told == [0, 1, 2]
    assert_same(found, expected)


@pytest.mark.parametrize("tables", ["adamw", "rowwise-adagrad"])
def test_a_run_killed_within_an_epoch_makes_the_same_bits(tables: str, tmp_path: Path) -> None:
    config = replace(CONFIG, tables=tables)  # type: ignore[arg-type]
    expected = train("sasrec", config, tmp_path / "whole")
    program = (
        "import sys, torch; from pathlib import Path; from dataclasses import replace\n"
        f"sys.path[:0] = {[str(Path(__file__).parent), str(Path(__file__).parents[1])]!r}\n"
        "import test_training_resume as t; torch.set_num_threads(1)\n"
        f"t.train('sasrec', replace(t.CONFIG, tables={tables!r}), Path(sys.argv[1]), "
        "on_step=t.kill_in_the_second_epoch)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(tmp_path / "parts")], check=False)
    assert ended.returncode == -signal.SIGKILL
    _, kept = load_tensors(tmp_path / "parts" / CHECKPOINT, kind="training-state")
    assert len(kept["curve"]) == 1
    assert kept["step"] > 0
    assert_same(train("sasrec", config, tmp_path / "parts", resume=True), expected)


def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    train("sasrec", replace(CONFIG, epochs=1), tmp_path)
    with pytest.raises(ValueError, match=r"checkpoint.safetensors: of another model"):
        train("unirec", CONFIG, tmp_path, resume=True)


def test_a_checkpoint_of_another_optimizer_is_refused(tmp_path: Path) -> None:
    train("sasrec", replace(CONFIG, epochs=1), tmp_path)
    with pytest.raises(ValueError, match="other optimizers"):
        train("sasrec", replace(CONFIG, tables="rowwise-adagrad"), tmp_path, resume=True)


@pytest.mark.parametrize("cut", [True, False])
def test_a_damaged_checkpoint_is_named(cut: bool, tmp_path: Path) -> None:
    train("sasrec", replace(CONFIG, epochs=1), tmp_path)
    path = tmp_path / CHECKPOINT
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content[: len(content) // 2] if cut else content)
    with pytest.raises(CorruptFileError, match=r"checkpoint.safetensors: damaged"):
        train("sasrec", CONFIG, tmp_path, resume=True)
