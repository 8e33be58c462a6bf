"""Invalid and borderline input on the command line: one line of error and an exit code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch

from recops.files import read_json
from recops_models import cli
from recops_models.tokenizers import (
    METHODS,
    RQKMeans,
    load_sids,
    make_tokenizer,
    resolve_collisions,
    sinkhorn_assignment,
)

pytestmark = pytest.mark.usefixtures("one_thread")

NETWORK = ["--set", "hidden=16", "--set", "steps=20"]
CODEBOOK_METHODS = [name for name in METHODS if name != "fsq"]

every_method = pytest.mark.parametrize("method", METHODS)
Line = Callable[[], str]


@pytest.fixture
def line(capsys: pytest.CaptureFixture[str]) -> Line:
    """Return a function that reads the single line on stderr."""

    def read() -> str:
        (text,) = capsys.readouterr().err.splitlines()
        return text

    return read


def tokenize(folder: Path, method: str, vectors: np.ndarray, *more: str) -> int:
    """Run ``recops tokenize --vectors`` and return its exit code."""
    np.save(folder / "v.npy", vectors)
    np.save(folder / "p.npy", np.array([[0, 1], [1, 2], [2, 0]]))
    arguments = ["tokenize", "--vectors", f"{folder}/v.npy", "--method", method, "--codes", "4"]
    arguments += ["--pairs", f"{folder}/p.npy", "--out", f"{folder}/out"]
    arguments += [] if method in ("rq-kmeans", "balanced-rq") else NETWORK
    return cli.run([*arguments, *more])


def items(num: int = 40, dim: int = 5) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(num, dim)).astype(np.float32)


@every_method
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_vectors(method: str, value: float, tmp_path: Path, line: Line) -> None:
    vectors = items()
    vectors[7, 1] = value
    assert tokenize(tmp_path, method, vectors) == 1
    assert line().endswith("v.npy: 1 vectors are not finite, the first is that of item 7")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("method", CODEBOOK_METHODS)
def test_fewer_items_than_codes(method: str, tmp_path: Path, line: Line) -> None:
    assert tokenize(tmp_path, method, items(3)) == 1
    assert line().endswith("3 items cannot fill 4 codes; use fewer codes")
    assert not (tmp_path / "out").exists()


@every_method
@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((0, 5), "needs at least one item, got 0"),
        ((9, 0), "floats [N, D], got torch.float32 [9, 0]"),
    ],
)
def test_no_items_and_no_dimensions(
    method: str, shape: tuple[int, int], message: str, tmp_path: Path, line: Line
) -> None:
    assert tokenize(tmp_path, method, np.zeros(shape, np.float32)) == 1
    assert message in line()
    assert not (tmp_path / "out" / "sids.parquet").exists()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--set groups=2", "the dimension of vectors must be a multiple of groups 2, got 5"),
        (
            "--method balanced-rq --set groups=2",
            "the dimension of vectors must be a multiple of groups 2",
        ),
        (
            "--vectors fit.parquet --stream --set groups=2",
            "the dimension of vectors must be a multiple of groups 2",
        ),
        (
            "--vectors fit.parquet --stream --method balanced-rq",
            "needs all vectors in memory and cannot be streamed",
        ),
        ("--vectors nan.parquet --stream", "a vector is not finite"),
        ("--vectors text.parquet --stream", "item_id must be integers"),
        ("--codes 41", "40 items cannot fill 41 codes"),
        ("--method rq-vae --set learning_rate=-1", "learning_rate must be ≥ 0, got -1.0"),
        ("--method rq-vae --set hidden=-5", "hidden must be ≥ 1, got (-5,)"),
        ("--method drq-vae --set contrast=1", "contrast needs pairs"),
        ("--method drq-vae-cl --pairs unknown.npy", "contrast needs pairs"),
        ("--method drq-vae-cl --pairs wide.npy", "must hold integer item ids [E, 2]"),
        ("--method drq-vae-cl --pairs p.npy --set temperature=0", "temperature must be > 0, got 0"),
    ],
)
def test_an_error_does_not_change_an_earlier_run(
    arguments: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: Line
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("v.npy", items())
    np.save("p.npy", np.array([[0, 1], [1, 2]]))
    np.save("unknown.npy", np.array([[900, 901], [3, 902]]))
    np.save("wide.npy", np.zeros((2, 3), np.int64))
    rows, ids = items().tolist(), list(range(40))
    spoilt = [*rows[:-1], [np.nan] * 5]
    texts = [str(one) for one in ids]
    for name, keys, lists in (("fit", ids, rows), ("nan", ids, spoilt), ("text", texts, rows)):
        pa.parquet.write_table(pa.table({"item_id": keys, "v": lists}), f"{name}.parquet")
    command = ["tokenize", "--vectors", "v.npy", "--levels", "2", "--codes", "4", "--out", "out"]
    assert cli.run(command) == 0
    before = contents(Path("out"))
    assert cli.run([*command, "--force", *arguments.split()]) != 0
    assert message in line()
    assert contents(Path("out")) == before


@pytest.mark.slow
@every_method
def test_equal_items_and_one_dimension_are_tokenized(method: str, tmp_path: Path) -> None:
    for vectors in (np.full((40, 5), 2.5, np.float32), items(40, 1)):
        assert tokenize(tmp_path, method, vectors) == 0
        sids = load_sids(tmp_path / "out" / "sids.parquet")
        unique = len(np.unique(sids.codes, axis=0))
        assert unique > 2 if vectors.shape[1] == 1 else unique == 1 or method == "balanced-rq"
        metrics = read_json(tmp_path / "out" / "metrics.json", kind="metrics")
        assert metrics["items"] == 40
        assert 0 <= metrics["error_share"] < 1.5  # a network with few training steps
        if method in ("rq-kmeans", "fsq"):
            assert cli.run(["diagnose", f"{tmp_path}/out"]) == 0


def events(folder: Path, popular: int) -> str:
    """Write a data set: item 0 has ``popular`` training events, each of 30 others has one."""
    rows = ["user_id,item_id,timestamp"]
    for user in range(popular):
        history = [0, 1 + user % 30, 1 + (user + 1) % 30] if user >= 30 else [1 + user, 0, 0]
        rows += [f"{user},{item},{user * 10 + at}" for at, item in enumerate(history)]
    folder.mkdir()
    (folder / "interactions.csv").write_text("\n".join(rows) + "\n")
    (folder / "items.csv").write_text(
        "item_id,genre\n" + "".join(f"{item},{item % 7}\n" for item in range(31))
    )
    return str(folder)


def test_an_infeasible_capacity_names_settings_to_change(tmp_path: Path, line: Line) -> None:
    data = events(tmp_path / "data", 200)
    arguments = ["tokenize", "--data", data, "--method", "balanced-rq", "--codes", "4"]
    arguments += ["--out", f"{tmp_path}/out"]
    assert cli.run(arguments) == 0
    before = contents(tmp_path / "out")
    assert cli.run([*arguments, "--set", "clip=0", "--force"]) == 1
    message = line()
    assert "level 0 cannot hold items of these weights, the heaviest has 3.4" in message
    assert message.endswith("use more slack, less clip or fewer codes")
    assert contents(tmp_path / "out") == before


def test_all_zero_weights_are_an_error() -> None:
    vectors = torch.from_numpy(items())
    tokenizer = make_tokenizer("balanced-rq", 2, 4)
    for call in (tokenizer.check_fit, tokenizer.fit):
        with pytest.raises(ValueError, match="weights must have a positive entry, got all 0"):
            call(vectors, torch.arange(40), weights=torch.zeros(40))


@every_method
def test_encode_checks_its_vectors(method: str) -> None:
    settings = {} if method in ("rq-kmeans", "balanced-rq") else {"hidden": "16", "steps": "20"}
    vectors, pairs = torch.from_numpy(items()), torch.tensor([[0, 1], [1, 2]])
    tokenizer = make_tokenizer(method, 2, 4, settings).fit(vectors, torch.arange(40), pairs=pairs)
    vectors[3, 2] = torch.nan
    with pytest.raises(ValueError, match=r"\.encode: vector 3 is not finite"):
        tokenizer.encode(vectors)
    with pytest.raises(ValueError, match="dimension"):
        tokenizer.encode(vectors[:, :2])


def test_functions_on_batches_check_their_input() -> None:
    with pytest.raises(
        ValueError,
        match="sinkhorn_assignment: x, codebook and their squared distances must be finite",
    ):
        sinkhorn_assignment(torch.full((3, 2), torch.nan), torch.zeros(2, 2))
    assert len(sinkhorn_assignment(torch.zeros(0, 2), torch.zeros(2, 2))) == 0
    codes, resolved = resolve_collisions(np.empty((0, 3), np.int32))
    assert (codes.shape, resolved.shape) == ((0, 4), (0,))


def test_repeated_item_ids_are_an_error() -> None:
    ids = torch.tensor([4, 5, 4, 6])
    with pytest.raises(ValueError, match=r"RQKMeans.fit: item_ids must be unique, got 4"):
        RQKMeans(1, 2).fit(torch.randn(4, 3), ids)
