"""``recops tokenize`` by several workers: equal codes, and a restart after a killed worker."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recops.files import read_json
from recops_models.cli.launch import launch
from recops_models.tokenizers import load_tokenizer
from recops_models.tokenizers.sid_folder import METRICS, SIDS, TOKENIZER
from recops_models.training.trainer import CHECKPOINT
from worker_group import Kill, WorkerGroup

RUN = "recops_models.cli:run"


@pytest.fixture(scope="module")
def group() -> Iterator[WorkerGroup]:
    with WorkerGroup("recops_models.cli.tokenize", "recops_models.tokenizers.registry") as group:
        yield group


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write 4,003 vectors, a number that no number of workers divides."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(40, 12))[rng.integers(40, size=4003)]
    values = (values + 0.3 * rng.normal(size=values.shape)).astype(np.float32)
    file = tmp_path_factory.mktemp("vectors") / "v.parquet"
    table = pa.table({"item_id": np.arange(4003), "vector": values.tolist()})
    pq.write_table(table, file, row_group_size=700)
    return file


def command(vectors: Path, out: Path, *more: str) -> list[str]:
    settings = ("--set", "iterations=8", "--levels", "3", "--codes", "32")
    return ["tokenize", "--vectors", str(vectors), *settings, *more, "--out", str(out)]


def network(vectors: Path, out: Path) -> list[str]:
    """Return a fit whose first checkpoint is written long before its end."""
    sizes = ("steps=400", "batch=256", "hidden=16", "width=8")
    settings = [word for size in sizes for word in ("--set", size)]
    words = ("tokenize", "--method", "rq-vae", "--stream", "--vectors", str(vectors))
    return [*words, *settings, "--levels", "2", "--codes", "16", "--out", str(out)]


def assert_near(first: Path, second: Path) -> None:
    """Check that two folders hold equal codebooks and metrics, up to rounding."""
    books = [load_tokenizer(folder / TOKENIZER).codebooks or () for folder in (first, second)]
    assert len(books[0]) == 3
    for one, other in zip(*books, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)
    shares = [read_json(folder / METRICS, kind="metrics") for folder in (first, second)]
    assert shares[0]["error_share"] == pytest.approx(shares[1]["error_share"], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("stream", [True, False])
def test_two_workers_write_the_codes_of_one(
    stream: bool, group: WorkerGroup, vectors: Path, tmp_path: Path
) -> None:
    more = ("--stream",) if stream else ()
    for size in (1, 2):
        outcome = group.run(size, RUN, command(vectors, tmp_path / str(size), *more))
        assert {*outcome.codes, *outcome.results} == {0}, outcome.output
        assert outcome.output.count("4,003 items") == 1
    assert_near(tmp_path / "1", tmp_path / "2")


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_worker_changes_no_code(
    number: int, group: WorkerGroup, vectors: Path, tmp_path: Path
) -> None:
    undisturbed, stopped = tmp_path / "undisturbed", tmp_path / "stopped"
    assert set(group.run(2, RUN, network(vectors, undisturbed)).results) == {0}
    kill = Kill(1, path=str(stopped / CHECKPOINT), number=number)
    outcome = group.run(2, RUN, network(vectors, stopped), kills=(kill,))
    assert outcome.results[0] == 1, outcome.output
    assert outcome.output.count("has the finished levels: continue with --resume") == 1
    assert not (stopped / TOKENIZER).exists()
    resumed = group.run(2, RUN, [*network(vectors, stopped), "--resume"])
    assert set(resumed.results) == {0}, resumed.output
    for name in (TOKENIZER, SIDS):
        assert (stopped / name).read_bytes() == (undisturbed / name).read_bytes()


@pytest.mark.slow
def test_an_error_is_printed_once(group: WorkerGroup, vectors: Path, tmp_path: Path) -> None:
    arguments = command(vectors, tmp_path / "out", "--codes", "5000")
    outcome = group.run(2, RUN, arguments)
    assert set(outcome.results) == {1}
    assert outcome.output.count("recops: ") == 1, outcome.output
    assert not (tmp_path / "out" / TOKENIZER).exists()


@pytest.mark.full  # test_cli_workers.py starts torchrun in .ci/run.
def test_the_launcher_starts_two_workers(vectors: Path, tmp_path: Path) -> None:
    assert launch(2, command(vectors, tmp_path / "out", "--workers", "2")) == 0
    assert (tmp_path / "out" / TOKENIZER).exists()
