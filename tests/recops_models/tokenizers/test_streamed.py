"""k-means in mini-batches, and on files that are read in blocks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from torch import Tensor

from callback_doubles import Interrupt
from peak_memory import peak_bytes, reads_proc
from recops.files import read_json
from recops_models import cli
from recops_models.data.errors import DataError
from recops_models.item_vectors.vector_file import VectorFile
from recops_models.tokenizers import RQKMeans, Tokenizer, load_sids, load_tokenizer, make_tokenizer
from recops_models.tokenizers.methods import items
from recops_models.tokenizers.methods.rq_kmeans import RQKMeansSettings

pytestmark = pytest.mark.usefixtures("one_thread")


def clusters(num: int = 1500, dim: int = 6, spread: float = 0.4) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    middle = torch.randn(20, dim, generator=generator)
    chosen = torch.randint(20, (num,), generator=generator)
    return middle[chosen] + spread * torch.randn(num, dim, generator=generator)


def write(path: Path, vectors: Tensor, *, rows: int = 700, ids: np.ndarray | None = None) -> Path:
    lists = pa.FixedSizeListArray.from_arrays(vectors.numpy().ravel(), vectors.shape[1])
    ids = np.arange(len(vectors))[::-1] * 2 if ids is None else ids
    pa.parquet.write_table(pa.table({"item_id": ids, "v": lists}), path, row_group_size=rows)
    return path


def error(tokenizer: Tokenizer, vectors: Tensor) -> float:
    residual = vectors - tokenizer.decode(tokenizer.encode(vectors))
    return float(residual.square().sum(dim=1).mean())


def fit_in_memory(settings: RQKMeansSettings | None = None, seed: int = 0) -> RQKMeans:
    vectors = clusters()
    return RQKMeans(2, 16, settings).fit(vectors, torch.arange(len(vectors)), seed=seed)


def test_codebooks_of_a_file_equal_those_of_memory(tmp_path: Path) -> None:
    vectors = clusters()
    streamed = RQKMeans(2, 16).fit_file(VectorFile(write(tmp_path / "v.parquet", vectors)))
    for book, expected in zip(streamed.codebooks, fit_in_memory().codebooks, strict=True):
        torch.testing.assert_close(book, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("batch", [200, 10_000])
def test_mini_batches_have_a_similar_error_to_full_passes(batch: int, tmp_path: Path) -> None:
    vectors = clusters()
    best = error(fit_in_memory(), vectors)
    settings = RQKMeansSettings(batch=batch)
    assert error(fit_in_memory(settings), vectors) < 1.12 * best
    streamed = RQKMeans(2, 16, settings)
    streamed.fit_file(VectorFile(write(tmp_path / "v.parquet", vectors)))
    assert error(streamed, vectors) < 1.12 * best


@pytest.mark.parametrize("batch", [0, 200])
def test_a_streamed_fit_is_repeatable_and_resumable(batch: int, tmp_path: Path) -> None:
    file = VectorFile(write(tmp_path / "v.parquet", clusters()))
    settings = RQKMeansSettings(iterations=6, batch=batch)
    expected = RQKMeans(2, 16, settings).fit_file(file, seed=3).codebooks
    other = RQKMeans(2, 16, settings).fit_file(file, seed=4).codebooks
    assert not torch.equal(torch.stack(expected), torch.stack(other))

    stop = Interrupt("level 1", after=0)
    with pytest.raises(KeyboardInterrupt):
        RQKMeans(2, 16, settings).fit_file(file, seed=3, callbacks=stop, folder=tmp_path)
    again = RQKMeans(2, 16, settings).fit_file(file, seed=3, folder=tmp_path, resume=True)
    assert torch.equal(torch.stack(again.codebooks), torch.stack(expected))


NETWORK = {"steps": "80", "batch": "64", "hidden": "16", "learning_rate": "0.01"}


def network(method: str) -> Tokenizer:
    width = {} if method == "fsq" else {"width": "4"}
    return make_tokenizer(method, 2, 16, NETWORK | width)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["rq-vae", "rqp-vae", "drq-vae", "fsq"])
def test_networks_of_a_file_are_as_good_as_those_of_memory(method: str, tmp_path: Path) -> None:
    vectors = clusters()
    file = VectorFile(write(tmp_path / "v.parquet", vectors, rows=100))
    streamed = network(method).fit_file(file, seed=1)
    in_memory = network(method).fit(vectors, torch.arange(len(vectors)), seed=1)
    assert error(streamed, vectors) < 1.25 * error(in_memory, vectors)
    assert error(streamed, vectors) < 0.6 * float(vectors.square().sum(dim=1).mean())


@pytest.mark.parametrize("method", ["rqp-vae", "drq-vae"])
def test_a_streamed_network_is_repeatable_and_resumable(method: str, tmp_path: Path) -> None:
    vectors = clusters()
    file = VectorFile(write(tmp_path / "v.parquet", vectors, rows=100))
    expected = network(method).fit_file(file, seed=3).encode(vectors)
    stop = Interrupt("network", after=0.4)
    with pytest.raises(KeyboardInterrupt):
        network(method).fit_file(file, seed=3, callbacks=stop, folder=tmp_path)
    again = network(method).fit_file(file, seed=3, folder=tmp_path, resume=True)
    assert torch.equal(again.encode(vectors), expected)


def test_batches_of_a_file_have_each_item_once_per_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(items, "_BUFFER_BYTES", 50 * 4)
    vectors = torch.arange(130.0)[:, None]
    file = VectorFile(write(tmp_path / "v.parquet", vectors, rows=30))
    task = items.ItemsInFile(file).task(lambda x: x, 20, 13)
    epochs = []
    for epoch in range(2):
        _, batches = task.start_epoch(torch.nn.Identity(), 13, seed=0, epoch=epoch, skip=0)
        epochs.append(torch.stack([batch.x[:, 0] for _, batch in batches]))
        for half in epochs[-1].split(10):  # 130 items are 10 batches.
            assert half.ravel().sort().values.tolist() == list(range(130))
        _, batches = task.start_epoch(torch.nn.Identity(), 13, seed=0, epoch=epoch, skip=7)
        assert torch.equal(torch.stack([each.x[:, 0] for _, each in batches]), epochs[-1][7:])
    assert not torch.equal(*epochs)


def test_empty_codes_are_reset(tmp_path: Path) -> None:
    vectors = torch.cat([torch.zeros(500, 4), torch.ones(500, 4)])
    vectors[:6] = torch.arange(24.0).reshape(6, 4) * 10
    file = VectorFile(write(tmp_path / "v.parquet", vectors, rows=100))
    for batch in (0, 100):
        for seed in range(2):
            tokenizer = RQKMeans(1, 8, RQKMeansSettings(batch=batch)).fit_file(file, seed=seed)
            assert len(tokenizer.encode(vectors).unique()) == 8


def test_the_command_streams_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path / "v.parquet", clusters())
    arguments = ["tokenize", "--vectors", str(path), "--codes", "16", "--levels", "2"]
    assert cli.run([*arguments, "--out", str(tmp_path / "memory")]) == 0
    assert cli.run([*arguments, "--stream", "--out", str(tmp_path / "stream")]) == 0
    memory, stream = (load_sids(tmp_path / name / "sids.parquet") for name in ("memory", "stream"))
    assert np.array_equal(memory.item_ids, stream.item_ids)
    assert stream.item_ids[0] == 0
    tokenizer = load_tokenizer(tmp_path / "stream" / "tokenizer.safetensors")
    assert np.array_equal(tokenizer.encode(clusters().flip(0)).numpy(), stream.codes)
    metrics = [
        read_json(tmp_path / name / "metrics.json", kind="metrics") for name in ("memory", "stream")
    ]
    # The order of rows differs, and with it the start of k-means.
    assert metrics[1]["error_share"] == pytest.approx(metrics[0]["error_share"], rel=0.1)
    assert metrics[1]["levels"][0].keys() == metrics[0]["levels"][0].keys()
    capsys.readouterr()
    for more, code, message in (
        (["--stream", "--data", "ml-100k"], 2, "--stream requires a Parquet file"),
        (["--stream", "--method", "balanced-rq"], 1, "balanced-rq needs all vectors in memory"),
    ):
        assert cli.run([*arguments, *more, "--out", str(tmp_path / "x")]) == code
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"item_id": [1], "v": [1.0]}, "item_id, integers or text, and one list column of floats"),
        ({"id": [1], "v": [[1.0]]}, "item_id, integers or text, and one list"),
        (
            {"item_id": [1, 2], "v": [[1.0], [1.0, 2.0]]},
            "lists must have 1 numbers, like the first",
        ),
        ({"item_id": [1, 2], "v": [[1.0], None]}, "and no nulls"),
        ({"item_id": [1, 2], "v": [[1.0], [float("nan")]]}, "a vector is not finite"),
        ({"item_id": [2, 2], "v": [[1.0], [2.0]]}, "item 2 has two vectors"),
        ({"item_id": [None, 2], "v": [[1.0], [2.0]]}, "a row has no item_id"),
    ],
)
def test_invalid_tables_are_an_error(
    table: dict[str, list[object]], message: str, tmp_path: Path
) -> None:
    pa.parquet.write_table(pa.table(table), tmp_path / "v.parquet")
    with pytest.raises(DataError, match=message):
        _read(tmp_path / "v.parquet")


def test_missing_foreign_and_empty_files_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        VectorFile(tmp_path / "v.parquet")
    (tmp_path / "v.parquet").write_text("no")
    with pytest.raises(DataError, match="not readable as Parquet"):
        VectorFile(tmp_path / "v.parquet")
    write(tmp_path / "v.parquet", torch.zeros(0, 3))
    with pytest.raises(DataError, match="must hold at least one vector, got none"):
        VectorFile(tmp_path / "v.parquet")
    with pytest.raises(ValueError, match="10 items cannot fill 16 codes"):
        RQKMeans(1, 16).fit_file(VectorFile(write(tmp_path / "v.parquet", torch.zeros(10, 3))))


def _read(path: Path) -> None:
    file = VectorFile(path)
    file.item_ids()
    for _ in file.vectors():
        pass


_PEAK = """
import sys, torch
torch.set_num_threads(1)
from pathlib import Path
from recops_models.item_vectors.vector_file import VectorFile
from recops_models.tokenizers import RQKMeans
from recops_models.tokenizers.methods.rq_kmeans import RQKMeansSettings
file = VectorFile(Path(sys.argv[1]))
RQKMeans(1, 8, RQKMeansSettings(iterations=2)).fit_file(file)
"""


@pytest.mark.slow
@reads_proc
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    peaks = []
    for rows in (50_000, 400_000):  # 26 MB and 205 MB, in one row group
        path = write(tmp_path / "v.parquet", torch.randn(rows, 128), rows=rows)
        peaks.append(peak_bytes(_PEAK, str(path)))
    assert peaks[1] - peaks[0] < 60_000 * 1024


@pytest.mark.parametrize(("name", "value"), [("iterations", 0), ("batch", -1)])
def test_invalid_settings_are_an_error(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{name} must be"):
        RQKMeansSettings(**{name: value})
