"""Process settings: waiting threads, division of cores, and freed memory."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys

import pytest

from recops_models.process import threads_per_job, worker_environment

STEPS = """
import resource, sys
import torch
from recops_models.process import keep_freed_memory

print(keep_freed_memory() if sys.argv[1] == "kept" else None)

def steps():  # Several blocks of 4 MB at once, like activations.
    for _ in range(20):
        blocks = [torch.ones(1_000_000) for _ in range(8)]
        del blocks

for _ in range(3):
    steps()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
steps()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

on_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc has these settings"
)


def _faults(mode: str, **environment: str) -> tuple[str, int]:
    """Run ``STEPS``; return its first line, and the page faults of the last step."""
    cleared = {name: value for name, value in os.environ.items() if "MALLOC" not in name.upper()}
    cleared.pop("GLIBC_TUNABLES", None)
    completed = subprocess.run(
        [sys.executable, "-c", STEPS, mode],
        env=cleared | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    output, faults = completed.stdout.split()
    return output, int(faults)


@pytest.mark.slow
@on_glibc
def test_freed_pages_stay_mapped() -> None:
    output, few = _faults("kept")
    assert output == "True"
    _, many = _faults("as it is")
    assert few < 100 < 1000 < many


@pytest.mark.slow
@on_glibc
def test_heap_settings_of_the_user_take_precedence() -> None:
    output, _ = _faults("kept", MALLOC_TRIM_THRESHOLD_="131072")
    assert output == "False"


def _info(**environment: str) -> tuple[str, str]:
    """Run ``recops info``; return its output, and the spin count of torch's libgomp."""
    unset = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    inherited = {name: value for name, value in os.environ.items() if name not in unset}
    process = subprocess.run(
        [sys.executable, "-c", "from recops_models.cli import main; main(['info'])"],
        env=inherited | {"OMP_DISPLAY_ENV": "VERBOSE"} | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    counts = re.findall(r"GOMP_SPINCOUNT = '(\d+)'", process.stderr)
    if not counts:
        pytest.skip("torch's OpenMP runtime is not libgomp")
    return process.stdout, counts[0]


def test_threads_of_the_command_line_do_not_spin() -> None:
    output, count = _info()
    assert count == "0"
    assert re.search(r"idle threads +OMP_WAIT_POLICY=PASSIVE", output)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value", "spins"),
    [("OMP_WAIT_POLICY", "ACTIVE", "30000000000"), ("GOMP_SPINCOUNT", "1234", "1234")],
)
def test_the_wait_policy_of_the_user_takes_precedence(name: str, value: str, spins: str) -> None:
    output, count = _info(**{name: value})
    assert count == spins
    assert re.search(rf"idle threads +{name}={value}", output)


def test_cores_are_divided_among_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)))
    assert [threads_per_job(jobs) for jobs in (1, 2, 3, 8, 20)] == [8, 4, 2, 1, 1]


NAMES = ["OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT"]


def _variables() -> dict[str, str | None]:
    return {name: os.environ.get(name) for name in NAMES}


def test_workers_share_the_cores_and_wait_passively(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)))
    with worker_environment(2):
        assert _variables() == dict(zip(NAMES, ("3", "PASSIVE", None), strict=True))
    assert _variables() == dict.fromkeys(NAMES)


def test_thread_settings_of_the_user_take_precedence_in_workers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "5")
    monkeypatch.setenv("GOMP_SPINCOUNT", "7")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    settings = dict(zip(NAMES, ("5", None, "7"), strict=True))
    with worker_environment(2):
        assert _variables() == settings
    assert _variables() == settings


WITHOUT_PANDAS = """
import sys
{before}
from recops_models.process import skip_pandas
print(skip_pandas())
import numpy, pyarrow
assert pyarrow.array(numpy.arange(3)).to_pylist() == [0, 1, 2]
print("pandas" in sys.modules)
import pandas
print(len(pandas.DataFrame()))
"""


@pytest.mark.parametrize(
    ("before", "expected"),
    [("", ["True", "False", "0"]), ("import pyarrow", ["False", "True", "0"])],
)
def test_pyarrow_works_without_importing_pandas(before: str, expected: list[str]) -> None:
    pytest.importorskip("pandas")
    program = WITHOUT_PANDAS.format(before=before)
    command = [sys.executable, "-c", program]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert output.split() == expected


PAUSED = """
import gc, sys
from recops_models.process import paused_collection
{before}
with paused_collection():
    kept = [[] for _ in range(1000)]
    inside = gc.isenabled()
print(inside, gc.isenabled(), gc.get_freeze_count() >= 1000)
"""


@pytest.mark.parametrize(
    ("before", "output"),
    [
        ("", "False True True"),
        ("gc.disable()", "False False False"),
        ("sys.modules['torch'] = sys", "True True False"),
    ],
)
def test_the_collection_pauses_before_torch_is_imported(before: str, output: str) -> None:
    command = [sys.executable, "-c", PAUSED.format(before=before)]
    completed = subprocess.run(command, capture_output=True, text=True, check=True)
    assert completed.stdout.strip() == output
