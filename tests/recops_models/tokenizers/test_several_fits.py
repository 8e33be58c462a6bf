"""Several workers fit the tokenizer that one worker fits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from worker_group import WorkerGroup

NETWORK = {"steps": "40", "batch": "64", "hidden": "8", "width": "4"}
_WITHOUT_WIDTH = {name: text for name, text in NETWORK.items() if name != "width"}
NETWORK_OF = {"rq-vae": NETWORK, "rqp-vae": NETWORK, "fsq": _WITHOUT_WIDTH}


@pytest.fixture(scope="module")
def group() -> Iterator[WorkerGroup]:
    with WorkerGroup("worker_tokenizers") as group:
        yield group


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Write 803 vectors in row groups of 150."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(20, 6))[rng.integers(20, size=803)] + 0.3 * rng.normal(size=(803, 6))
    file = tmp_path_factory.mktemp("vectors") / "v.parquet"
    table = {"item_id": np.arange(803), "vector": vectors.astype(np.float32).tolist()}
    pq.write_table(pa.table(table), file, row_group_size=150)
    return str(file)


def fits(group: WorkerGroup, size: int, *arguments: object) -> list[Any]:
    outcome = group.run(size, "worker_tokenizers:fit", *arguments)
    assert outcome.codes == [0] * size, outcome.output
    return outcome.results


@pytest.mark.parametrize(
    ("batch", "in_memory"),
    [
        ("0", False),
        pytest.param("0", True, marks=pytest.mark.full),
        pytest.param("200", True, marks=pytest.mark.full),
        pytest.param("200", False, marks=pytest.mark.slow),
    ],
)
def test_shared_k_means_is_that_of_one_worker(
    batch: str, in_memory: bool, group: WorkerGroup, path: str
) -> None:
    arguments = ("rq-kmeans", {"iterations": "6", "batch": batch}, path, in_memory)
    first, second, third = fits(group, 3, *arguments)
    assert first == second == third
    (alone,) = fits(group, 1, *arguments)
    np.testing.assert_allclose(first["codebooks"], alone["codebooks"], rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_empty_codes_are_reset_as_by_one_worker(group: WorkerGroup, tmp_path: Path) -> None:
    vectors = np.repeat(np.array([[0.0, 0.0], [1.0, 1.0]]), 60, axis=0)
    vectors[:20] = np.arange(40).reshape(20, 2) * 10
    table = {"item_id": np.arange(120), "vector": vectors.astype(np.float32).tolist()}
    pq.write_table(pa.table(table), tmp_path / "v.parquet", row_group_size=50)
    arguments = ("rq-kmeans", {"iterations": "6"}, str(tmp_path / "v.parquet"), False)
    first, second = fits(group, 2, *arguments)
    assert first == second
    (alone,) = fits(group, 1, *arguments)
    np.testing.assert_allclose(first["codebooks"], alone["codebooks"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("method", "settings", "in_memory"),
    [
        pytest.param("rq-vae", {}, True, marks=pytest.mark.full),
        pytest.param("rq-vae", {"rotation": "true"}, False, marks=pytest.mark.slow),
        pytest.param("rqp-vae", {"dead": "0"}, True, marks=pytest.mark.full),
        pytest.param("fsq", {}, False, marks=pytest.mark.full),
    ],
)
def test_shared_networks_are_those_of_one_worker(
    method: str, settings: dict[str, str], in_memory: bool, group: WorkerGroup, path: str
) -> None:
    arguments = (method, {**NETWORK_OF[method], **settings, "batch": "65"}, path, in_memory)
    first, second, third = fits(group, 3, *arguments)
    assert first == second == third
    (alone,) = fits(group, 1, *arguments)
    np.testing.assert_allclose(first["decoded"], alone["decoded"], rtol=1e-3, atol=1e-3)
    for shared, own in zip(first["codebooks"], alone["codebooks"], strict=True):
        np.testing.assert_allclose(shared, own, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("method", "batch"),
    [
        pytest.param("rqp-vae", "64", marks=pytest.mark.full),
        pytest.param("rqp-vae", "1", marks=pytest.mark.full),
        pytest.param("drq-vae", "64", marks=pytest.mark.slow),
        pytest.param("drq-vae", "1", marks=pytest.mark.full),
    ],
)
def test_workers_with_draws_of_their_own_agree(
    method: str, batch: str, group: WorkerGroup, path: str
) -> None:
    settings = {**NETWORK, "batch": batch}
    first, second = fits(group, 2, method, settings, path, True)
    assert first == second
    (alone,) = fits(group, 1, method, settings, path, True)
    if batch != "1":  # The error of one item per step is noise.
        assert first["error"] == pytest.approx(alone["error"], rel=0.2)


@pytest.mark.parametrize(
    "method",
    [
        pytest.param("drq-vae-cl", marks=pytest.mark.full),
        pytest.param("balanced-rq", marks=pytest.mark.slow),
    ],
)
def test_other_methods_are_fitted_by_the_first_worker(
    method: str, group: WorkerGroup, path: str
) -> None:
    settings = NETWORK if method == "drq-vae-cl" else {"iterations": "3"}
    first, second = fits(group, 2, method, settings, path, True)
    (alone,) = fits(group, 1, method, settings, path, True)
    assert first == second == alone
