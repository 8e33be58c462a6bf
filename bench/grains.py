"""Time of single ops on one and two threads by size, to choose the grains of the kernels.

    python bench/grains.py

A kernel with less work than its grain does not use another thread. The grain is a constant in the
kernel's ``op.cpp``, in the unit of the table. Both thread counts run alternately in one process,
and times are minima. The output is a Markdown table. Threads wait as in the ``recops`` command; see
``bench/threads.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from recops_models.process import wait_passively, wait_settings

wait_passively()  # Before torch is imported.

import torch  # noqa: E402

from recops.benchmarks.coaction import coaction_case  # noqa: E402
from recops.benchmarks.dice import dice_case  # noqa: E402
from recops.benchmarks.embedding import features_case  # noqa: E402
from recops.benchmarks.memory import hpmn_case, mimn_case  # noqa: E402
from recops.benchmarks.next_event import loss_case  # noqa: E402
from recops.benchmarks.recurrent import layer_case  # noqa: E402
from recops.benchmarks.registry import Case, Thunk  # noqa: E402
from recops.benchmarks.residual_quantization import encode_case  # noqa: E402
from recops.benchmarks.timing import interleave_all  # noqa: E402

STEPS = 20
CASES: dict[str, tuple[str, Callable[[int], Case], float]] = {
    "dice": ("values", lambda rows: dice_case(rows, 200), 200),
    "embedding_bags": ("values", lambda rows: features_case(rows, STEPS), (3 + 2 * STEPS) * 18),
    "coaction": ("operations", lambda rows: coaction_case(rows, None, STEPS), math.nan),
    "recurrent_layer": (
        "multiplications",
        lambda rows: layer_case(rows, STEPS, 32),
        6 * 32 * 32 * STEPS,
    ),
    "mimn_scan": (
        "multiplications",
        lambda rows: mimn_case(rows, STEPS, 16, 4, "none", 0),
        math.nan,
    ),
    "hpmn_scan": (
        "multiplications",
        lambda rows: hpmn_case(rows, STEPS, 16, 16, (1, 2, 4)),
        math.nan,
    ),
    "next_event_loss": (
        "multiplications",
        lambda rows: loss_case(rows, STEPS, 36, (100, 50)),
        math.nan,
    ),
    "rq_encode": ("rows", lambda rows: encode_case(rows, 64, 3, 256), 1),
}
"""Unit of work, case for a number of rows, and work per row, for each op.

NaN stands for half of the floating-point operations that the case reports.
"""
ROWS = (16, 64, 256, 1024)


def main() -> None:
    print(f"Threads wait with {wait_settings()}; torch {torch.__version__}.\n")
    print("| op | rows | work | unit | 1 thread (µs) | 2 threads (µs) | 2 : 1 threads |")
    print("| --- | ---: | ---: | --- | ---: | ---: | ---: |")
    for op, rows, work, unit, one, two in measurements():
        print(
            f"| `{op}` | {rows} | {work:,.0f} | {unit} | {one * 1e6:.1f} | {two * 1e6:.1f} "
            f"| {two / one:.2f} |",
            flush=True,
        )


def measurements() -> Iterator[tuple[str, int, float, str, float, float]]:
    """Yield op, rows, work, its unit, and the seconds on one and two threads."""
    for op, (unit, make, each) in CASES.items():
        for rows in ROWS:
            case = make(rows)
            one, two = interleave_all(
                [on_threads(count, case.run) for count in (1, 2)], rounds=2000, seconds=0.1
            )
            work = case.flops / 2 if math.isnan(each) else rows * each
            yield op, rows, work, unit, one, two


def on_threads(count: int, run: Thunk) -> Thunk:
    """Return ``run`` on ``count`` threads."""

    def timed() -> None:
        torch.set_num_threads(count)
        run()

    return timed


if __name__ == "__main__":
    main()
