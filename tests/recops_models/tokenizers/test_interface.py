"""Common behaviour of all tokenizers: repeatability, files, refit, resumption and errors."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from callback_doubles import Interrupt
from recops.files import CorruptFileError, save_tensors
from recops_models import cli
from recops_models.data import Dataset, leave_one_out
from recops_models.data.errors import DataError
from recops_models.tokenizers import (
    METHODS,
    RQKMeans,
    Tokenizer,
    load_sids,
    load_tokenizer,
    make_tokenizer,
)
from recops_models.tokenizers.behaviour import behaviour_pairs, exposures, load_pairs
from recops_models.tokenizers.methods.item_task import NetworkSettings
from synthetic_histories import histories

pytestmark = pytest.mark.usefixtures("one_thread")

NETWORK = {"hidden": "32", "steps": "40", "batch": "128", "learning_rate": "1e-2"}
LATENT = {**NETWORK, "width": "8"}
SETTINGS = {
    "rq-vae": LATENT,
    "rqp-vae": LATENT,
    "drq-vae": LATENT,
    "drq-vae-cl": LATENT,
    "fsq": NETWORK,
}
"""Small networks for fast tests."""
CODEBOOK_METHODS = [name for name in METHODS if name != "fsq"]

every_method = pytest.mark.parametrize("method", METHODS)
every_codebook = pytest.mark.parametrize("method", CODEBOOK_METHODS)


def items(num: int = 200, dim: int = 10, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    middle = torch.randn(12, dim, generator=generator)
    return middle[torch.arange(num) % 12] + 0.3 * torch.randn(num, dim, generator=generator)


def new(method: str, levels: int = 3, codes: int = 8) -> Tokenizer:
    return make_tokenizer(method, levels, codes, SETTINGS.get(method))


def fit(method: str, vectors: Tensor, **options: object) -> Tokenizer:
    ids = torch.arange(len(vectors)) * 3
    inputs = {"pairs": pairs(len(vectors)), "weights": torch.ones(len(vectors)), **options}
    return new(method).fit(vectors, ids, **inputs)  # type: ignore[arg-type]


@cache
def fitted(method: str) -> Tokenizer:
    """Return a shared tokenizer of :func:`items`; tests must not modify it."""
    return fit(method, items(), seed=2)


def pairs(num: int) -> Tensor:
    """Return pairs of items of one cluster, with the ids of :func:`fit`."""
    first = torch.arange(max(num - 12, 0))
    return torch.stack([first, first + 12], dim=1) * 3


def same(one: Tokenizer, other: Tokenizer) -> bool:
    first, second = one._state(), other._state()
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@every_method
def test_codes_are_in_range_and_approximate_their_vectors(method: str) -> None:
    vectors, tokenizer = items(), fitted(method)
    codes = tokenizer.encode(vectors)
    assert (codes.dtype, codes.shape) == (torch.int32, (200, 3))
    for level, size in enumerate(tokenizer.vocab_sizes):
        assert size <= 8
        assert 0 <= int(codes[:, level].min()) <= int(codes[:, level].max()) < size
    decoded = tokenizer.decode(codes)
    error = float(((vectors - decoded) ** 2).sum() / ((vectors - vectors.mean(0)) ** 2).sum())
    assert decoded.dtype == torch.float32
    assert not decoded.requires_grad
    assert error < 0.8


@every_method
def test_the_result_depends_on_the_seed_and_not_on_threads(
    method: str, set_threads: Callable[[int], None]
) -> None:
    vectors, one = items(), fitted(method)
    codes = one.encode(vectors)
    set_threads(3)
    torch.manual_seed(3)
    again = fit(method, vectors, seed=2)
    assert same(again, one)
    assert torch.equal(again.encode(vectors), codes)
    assert torch.get_num_threads() == 3
    assert not same(fit(method, vectors, seed=3), one)


@every_method
def test_a_loaded_tokenizer_equals_the_saved_one(method: str, tmp_path: Path) -> None:
    vectors, tokenizer = items(), fitted(method)
    tokenizer.save(tmp_path / "t.safetensors")
    again = load_tokenizer(tmp_path / "t.safetensors")
    assert type(again) is type(tokenizer) is METHODS[method]
    assert again.config() == tokenizer.config()
    assert again.vocab_sizes == tokenizer.vocab_sizes
    codes = tokenizer.encode(vectors)
    assert torch.equal(again.encode(vectors), codes)
    assert torch.equal(again.decode(codes), tokenizer.decode(codes))


def test_a_file_of_another_method_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "t.safetensors"
    meta = {"method": "tea-leaves", "config": {}}
    save_tensors(path, {"x": torch.zeros(1)}, kind="tokenizer", meta=meta)
    with pytest.raises(CorruptFileError, match=r"method must be one of .* got tea-leaves"):
        load_tokenizer(path)
    with pytest.raises(CorruptFileError, match="holds a tokenizer tea-leaves, not rq-kmeans"):
        METHODS["rq-kmeans"].load(path)


@every_codebook
def test_refit_keeps_the_first_levels_and_fits_the_others(method: str) -> None:
    old, more = items(), torch.cat([items(), items(seed=1) + 0.5])
    tokenizer = fit(method, old)
    before, first = tokenizer._state(), tokenizer.encode(old)[:, :1]
    tokenizer.refit(more, torch.arange(len(more)), keep_levels=1, seed=1)
    after = tokenizer._state()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"codebook_1", "codebook_2"}
    assert torch.equal(tokenizer.encode(old)[:, :1], first)
    tokenizer.refit(more, torch.arange(len(more)), seed=1)
    assert not torch.equal(tokenizer._state()["codebook_0"], before["codebook_0"])


@every_codebook
def test_refit_lowers_the_error_on_a_changed_catalogue(method: str) -> None:
    tokenizer = fit(method, items())
    moved = items(seed=3) + 1.0

    def error() -> float:
        return float(((tokenizer.decode(tokenizer.encode(moved)) - moved) ** 2).sum())

    before = error()
    tokenizer.refit(moved, torch.arange(len(moved)))
    assert error() < before


@every_codebook
@pytest.mark.parametrize("width", [5, 12])
def test_refit_with_kept_levels_needs_the_same_width(method: str, width: int) -> None:
    tokenizer = fitted(method)
    before = tokenizer._state()
    with pytest.raises(ValueError, match=f"must have 10 dimensions, as in fit, got {width}"):
        tokenizer.refit(items(dim=width), torch.arange(200), keep_levels=1)
    after = tokenizer._state()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_refit_without_kept_levels_accepts_another_width() -> None:
    tokenizer = fit("rq-kmeans", items())
    tokenizer.refit(items(dim=5), torch.arange(200))
    assert tokenizer.encode(items(dim=5)).shape == (200, 3)


@pytest.mark.parametrize("keep", [-1, 3])
def test_refit_needs_a_level_to_fit(keep: int) -> None:
    tokenizer = fitted("rq-kmeans")
    with pytest.raises(ValueError, match=f"keep_levels must be 0 … 2.* got {keep}"):
        tokenizer.refit(items(), torch.arange(200), keep_levels=keep)


@every_method
def test_a_resumed_fit_equals_an_uninterrupted_one(method: str, tmp_path: Path) -> None:
    vectors, uninterrupted = items(), fitted(method)
    stages = uninterrupted.stages
    for stage in dict.fromkeys((stages[0], stages[-1])):
        with pytest.raises(KeyboardInterrupt):
            fit(
                method,
                vectors,
                seed=2,
                folder=tmp_path,
                resume=True,
                callbacks=Interrupt(stage, after=0.599),
            )
    assert same(fit(method, vectors, seed=2, folder=tmp_path, resume=True), uninterrupted)


@pytest.mark.slow
@every_method
def test_a_new_fit_ignores_files_of_an_earlier_one(method: str, tmp_path: Path) -> None:
    """Also after an interruption and a resumption in the same folder."""
    vectors = items()
    fit(method, vectors, seed=2, folder=tmp_path)
    stage = new(method).stages[0]
    with pytest.raises(KeyboardInterrupt):
        fit(method, vectors, seed=3, folder=tmp_path, callbacks=Interrupt(stage, after=0.599))
    resumed = fit(method, vectors, seed=3, folder=tmp_path, resume=True)
    assert same(resumed, fit(method, vectors, seed=3))


@every_method
@pytest.mark.parametrize(
    ("vectors", "ids", "message"),
    [
        (torch.full((20, 3), torch.nan), 20, "vector 0 is not finite"),
        (torch.tensor([[1.0, 2.0], [3.0, torch.inf]]).repeat(10, 1), 20, "vector 1 is not finite"),
        (torch.zeros(20), 20, r"must be floats \[N, D\]"),
        (torch.zeros(20, 0), 20, r"must be floats \[N, D\]"),
        (torch.zeros(20, 3, dtype=torch.int64), 20, r"got torch.int64 \[20, 3\]"),
        (torch.zeros(20, 3), 19, r"item_ids must be \[20\], one per vector, got \[19\]"),
        (torch.zeros(0, 3), 0, "needs at least one item, got 0"),
    ],
)
def test_invalid_vectors_are_an_error(method: str, vectors: Tensor, ids: int, message: str) -> None:
    tokenizer = new(method, 2, 4)
    for call in (tokenizer.check_fit, tokenizer.fit):
        with pytest.raises(ValueError, match=message):
            call(vectors, torch.arange(ids))


@every_codebook
def test_fewer_items_than_codes_is_an_error(method: str) -> None:
    with pytest.raises(ValueError, match="7 items cannot fill 8 codes; use fewer codes"):
        fit(method, items()[:7], pairs=torch.zeros(0, 2, dtype=torch.int64))


@every_method
@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("weights", torch.ones(3), r"weights must be \[200\]"),
        ("weights", torch.full((200,), -1.0), "weights must be finite and 0 or more"),
        ("weights", torch.full((200,), torch.nan), "weights must be finite and 0 or more"),
        ("pairs", torch.zeros(4, 3, dtype=torch.int64), r"integer item ids \[E, 2\]"),
        ("pairs", torch.zeros(4, 2), r"integer item ids \[E, 2\]"),
    ],
)
def test_invalid_pairs_and_weights_are_an_error(
    method: str, option: str, value: Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        fit(method, items(), **{option: value})


@every_method
def test_use_before_fit_is_an_error(method: str, tmp_path: Path) -> None:
    tokenizer = new(method)
    for use in (
        lambda: tokenizer.encode(items()),
        lambda: tokenizer.decode(torch.zeros(1, 3, dtype=torch.int32)),
        lambda: tokenizer.save(tmp_path / "t"),
        lambda: tokenizer.refit(items(), torch.arange(200)),
    ):
        with pytest.raises(RuntimeError, match="not fitted; call fit or load first"):
            use()
    assert list(tmp_path.iterdir()) == []


@every_method
def test_equal_items_share_one_id(method: str) -> None:
    vectors = torch.full((20, 3), 2.5)
    tokenizer = fit(method, vectors)
    codes = tokenizer.encode(vectors)
    assert len(codes.unique(dim=0)) == 1 or method == "balanced-rq"
    assert torch.allclose(tokenizer.decode(codes), vectors, atol=0.1)


@every_method
def test_one_dimension_and_an_empty_batch(method: str) -> None:
    vectors = torch.linspace(-1, 1, 40)[:, None]
    tokenizer = fit(method, vectors)
    assert len(tokenizer.encode(vectors).unique(dim=0)) > 4
    assert tokenizer.encode(torch.zeros(0, 1)).shape == (0, 3)
    assert tokenizer.decode(torch.zeros(0, 3, dtype=torch.int32)).shape == (0, 1)


@every_method
def test_another_width_and_unknown_codes_are_errors(method: str) -> None:
    tokenizer = fitted(method)
    for width in (9, 11):
        vectors, weights = torch.zeros(9, width), torch.ones(9)
        for option in (None, weights):
            with pytest.raises(
                ValueError, match=f"must have 10 dimensions, as in fit, got {width}"
            ):
                tokenizer.encode(vectors, weights=option)
    with pytest.raises(IndexError):
        tokenizer.decode(torch.full((1, 3), 8, dtype=torch.int32))


def test_unknown_methods_and_settings_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no tokenizer 'tea-leaves'; available: rq-kmeans"):
        make_tokenizer("tea-leaves")
    with pytest.raises(ValueError, match="rq-kmeans has no setting 'size'; available: batch, g"):
        make_tokenizer("rq-kmeans", settings={"size": "3"})
    with pytest.raises(ValueError, match="setting iterations must be int, got 'many'"):
        make_tokenizer("rq-kmeans", settings={"iterations": "many"})


def test_pairs_and_exposures_of_a_small_example() -> None:
    walks = histories([np.array([0, 1, -1, 2]), np.array([3, 3, 0])])
    pairs_found = behaviour_pairs(walks, np.array([10, 11, 12, 13]), window=2)
    assert pairs_found.tolist() == [[10, 11], [13, 10], [11, 12], [13, 10]]
    assert exposures(walks, 5).tolist() == [2, 1, 1, 2, 0]
    assert behaviour_pairs(walks, np.arange(4), window=0).shape == (0, 2)


def test_pairs_and_exposures_use_only_the_training_part(small: Dataset) -> None:
    train = leave_one_out(small).histories()
    assert exposures(train, 90).sum() == small.interactions.num_rows - 2 * 60
    observed = {tuple(pair) for pair in behaviour_pairs(train, small.item_vocabulary.ids).tolist()}
    assert observed
    user = train.items[: train.offsets[1]]
    ids = small.item_vocabulary.ids[user]
    assert (ids[0], ids[1]) in observed


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (np.zeros((3, 3), dtype=np.int64), r"must hold .* \[E, 2\], got int64 \[3, 3\]"),
        (np.zeros((3, 2)), "got float64"),
        (None, "no such file"),
    ],
)
def test_arrays_that_are_not_pairs_are_an_error(
    content: np.ndarray | None, message: str, tmp_path: Path
) -> None:
    if content is not None:
        np.save(tmp_path / "p.npy", content)
    with pytest.raises(DataError, match=message):
        load_pairs(tmp_path / "p.npy")


@pytest.mark.parametrize("name", ["p.npy", "p.npz", "p.parquet"])
@pytest.mark.parametrize(
    ("kind", "message"),
    [("archive", "got an archive"), ("cut", "not readable as pairs"), ("folder", "a folder")],
)
def test_files_that_do_not_hold_pairs_are_an_error(
    kind: str, message: str, name: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    if kind == "folder":
        path.mkdir()
    else:
        with path.open("wb") as file:
            np.savez(file, pairs=np.zeros((3, 2), dtype=np.int64))
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    if kind == "archive" and name == "p.parquet":
        message = "not readable as pairs"
    with pytest.raises(DataError, match=message) as error:
        load_pairs(path)
    assert str(error.value).startswith(f"{path}: ")


@pytest.mark.parametrize("method", ["rq-kmeans", "drq-vae-cl"])
def test_the_command_resumes_after_ctrl_c(
    method: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.save(tmp_path / "v.npy", items().numpy())
    np.save(tmp_path / "p.npy", (pairs(200) // 3).numpy())
    arguments = ["tokenize", "--vectors", f"{tmp_path}/v.npy", "--pairs", f"{tmp_path}/p.npy"]
    arguments += ["--method", method, "--codes", "8"]
    for key, value in SETTINGS.get(method, {}).items():
        arguments += ["--set", f"{key}={value}"]
    assert cli.run([*arguments, "--out", str(tmp_path / "uninterrupted")]) == 0

    kind, last = METHODS[method], new(method).stages[-1]
    original_fit = kind.fit
    monkeypatch.setattr(
        kind,
        "fit",
        lambda self, *a, **k: original_fit(
            self, *a, **{**k, "callbacks": Interrupt(last, after=0.499)}
        ),
    )
    out = tmp_path / "stopped"
    assert cli.run([*arguments, "--out", str(out)]) == 1
    assert "continue with --resume" in capsys.readouterr().err
    assert not (out / "sids.parquet").exists()
    monkeypatch.undo()
    assert cli.run([*arguments, "--out", str(out), "--resume", "--seed", "1"]) == 1
    assert "holds semantic IDs with seed 0, not 1" in capsys.readouterr().err
    assert cli.run([*arguments, "--out", str(out), "--resume"]) == 0
    for name in ("sids.parquet", "tokenizer.safetensors", "config.json"):
        assert (out / name).read_bytes() == (tmp_path / "uninterrupted" / name).read_bytes()
    names = ["config.json", "metrics.json", "sids.parquet", "tokenizer.safetensors"]
    assert sorted(file.name for file in out.iterdir()) == names
    assert load_sids(out / "sids.parquet").codes.shape == (200, 3)


def test_the_command_resumes_only_with_the_same_input(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save(tmp_path / "v.npy", items().numpy())
    out = tmp_path / "out"
    arguments = ["tokenize", "--vectors", f"{tmp_path}/v.npy", "--codes", "8", "--out", str(out)]
    assert cli.run(arguments) == 0
    np.save(tmp_path / "v.npy", 2 * items().numpy())
    assert cli.run([*arguments, "--resume"]) == 1
    assert "holds semantic IDs with vectors_sha256 " in capsys.readouterr().err
    (out / "config.json").unlink()
    assert cli.run([*arguments, "--levels", "2", "--resume"]) == 0
    assert load_sids(out / "sids.parquet").codes.shape == (200, 2)


def test_settings_of_another_method_are_an_error() -> None:
    with pytest.raises(TypeError, match="RQKMeans: settings must be RQKMeansSettings, got Network"):
        RQKMeans(settings=NetworkSettings())  # type: ignore[arg-type]
