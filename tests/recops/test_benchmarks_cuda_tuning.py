"""Tuning of launch configurations, with a simulated measurement."""

from __future__ import annotations

from importlib.resources import files

import pytest

pytest.importorskip("triton")

from recops.benchmarks.cuda.tuning import candidates, fastest
from recops.ops.residual_quantization.triton.table import (
    SHARED_BYTES,
    Configuration,
    format_table,
    load_table,
    select,
)

LARGE = select(90, 10**6, 768, 1024)


def scan_of(configuration: Configuration) -> dict[str, int]:
    return configuration.kernels["scan_codewords"].tiles


def test_a_table_is_written_as_the_package_has_it() -> None:
    folder = files("recops.ops.residual_quantization.triton")
    assert format_table(load_table()) == folder.joinpath("table.json").read_text()


@pytest.mark.parametrize("configuration", load_table(), ids=lambda c: f"{c.capability} {c.name}")
def test_candidates_fit_on_the_card_and_change_only_the_scan(configuration: Configuration) -> None:
    first, *others = candidates(configuration)
    assert first == configuration
    assert len(others) > 20
    for other in others:
        scan = other.kernels["scan_codewords"]
        tiles = scan_of(other)
        entries = (tiles["BLOCK_ROWS"] + tiles["BLOCK_CODES"]) * tiles["BLOCK_DIM"]
        assert 2 * scan.num_stages * entries <= SHARED_BYTES[configuration.capability]
        assert {**other.kernels, "scan_codewords": 0} == {**first.kernels, "scan_codewords": 0}


def test_the_fastest_candidate_is_chosen() -> None:
    def measure(configuration: Configuration) -> float:
        tiles = scan_of(configuration)
        if tiles["BLOCK_DIM"] == 128:
            raise RuntimeError("out of resource: shared memory")
        return abs(tiles["BLOCK_CODES"] - 128) + abs(tiles["BLOCK_ROWS"] - 64) + 1.0

    best, seconds, before = fastest(LARGE, measure)
    assert (scan_of(best)["BLOCK_ROWS"], scan_of(best)["BLOCK_CODES"]) == (64, 128)
    assert seconds == 1.0
    assert before == measure(LARGE)


def test_a_small_gain_changes_nothing() -> None:
    def measure(configuration: Configuration) -> float:
        return 1.0 if configuration == LARGE else 0.99

    assert fastest(LARGE, measure) == (LARGE, 1.0, 1.0)


def test_the_configuration_of_the_table_must_run() -> None:
    def measure(configuration: Configuration) -> float:
        raise RuntimeError("no kernel image")

    with pytest.raises(RuntimeError, match="no kernel image"):
        fastest(LARGE, measure)
