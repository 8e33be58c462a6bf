"""Results of a GPU as a page and as JSON, with the card, the driver, torch and the date."""

from __future__ import annotations

import datetime
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from recops._build_info import build_info
from recops.benchmarks.cuda.runner import Ceilings, CudaRow
from recops.benchmarks.report import format_seconds
from recops.files import write_file, write_json


def environment(device: torch.device) -> dict[str, Any]:
    """Return the card, the driver, the versions and the date of a measurement."""
    properties = torch.cuda.get_device_properties(device)
    return {
        "date": datetime.date.today().isoformat(),
        "card": properties.name,
        "capability": f"{properties.major}.{properties.minor}",
        "driver": _driver_version(),
        "cuda": torch.version.cuda,
        "triton": _triton_version(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "recops": build_info()["version"],
    }


def _driver_version() -> str:
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return output.partition("\n")[0].strip()


def _triton_version() -> str | None:
    try:
        import triton
    except ImportError:
        return None
    return str(triton.__version__)


def to_markdown(rows: Sequence[CudaRow]) -> str:
    """Return a table of the rows; the figure of a peer is its time divided by the op's time."""
    lines = [
        "| op | shape | dtype | time, warm | time, cold | share of matmul | share of bandwidth "
        "| peers, warm (time / recops' time) | peers, cold |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        failed = [f"{name} failed ({error})" for name, error in row["failed"].items()]
        lines.append(
            f"| {row['op']} | {row['shape']} | {row['dtype']} | {format_seconds(row['seconds'])} "
            f"| {format_seconds(row['cold_seconds'])} | {row['matmul_share']:.0%} "
            f"| {row['bandwidth_share']:.0%} | {', '.join([_ratios(row['peers']), *failed])} "
            f"| {_ratios(row['cold_peers'])} |"
        )
    return "\n".join(lines) + "\n"


def to_line(row: CudaRow) -> str:
    """Return a row as one line of text."""
    return (
        f"{row['op']} {row['shape']} {row['dtype']}: {format_seconds(row['seconds'])} warm, "
        f"{format_seconds(row['cold_seconds'])} cold, {row['matmul_share']:.0%} of matmul, "
        f"{row['bandwidth_share']:.0%} of bandwidth; {_ratios(row['peers'])}"
    )


def _ratios(peers: dict[str, float]) -> str:
    return ", ".join(f"{name} {ratio:.2f}×" for name, ratio in peers.items())


def write_report(
    rows: Sequence[CudaRow], ceilings: Ceilings, info: dict[str, Any], out: Path
) -> None:
    """Write ``bench.json`` (sealed) and ``bench.md`` to the folder ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    measured = {"bandwidth": ceilings.bandwidth, "matmul": ceilings.matmul}
    write_json(
        out / "bench.json",
        {"environment": info, "ceilings": measured, "rows": list(rows)},
        kind="recops-bench-cuda",
    )
    heading = ", ".join(f"{key} {value}" for key, value in info.items())
    limits = (
        f"Measured ceilings: {ceilings.bandwidth / 1e12:.2f} TB/s of copying, "
        f"{ceilings.matmul / 1e12:.0f} TFLOP/s of bfloat16 matmul."
    )
    write_file(out / "bench.md", f"{heading}\n\n{limits}\n\n{to_markdown(rows)}".encode())
