"""Reports of benchmark rows: ``bench.json``, ``bench.md`` and a plot."""

from __future__ import annotations

import datetime
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from recops._build_info import build_info
from recops._load import cpu_isa
from recops.benchmarks.runner import Row
from recops.benchmarks.svg import to_svg
from recops.files import write_file, write_json


def environment() -> dict[str, Any]:
    """Return the machine, the versions and the date of a measurement."""
    return {
        "date": datetime.date.today().isoformat(),
        "machine": _cpu_name(),
        "cores": os.cpu_count(),
        "isa": cpu_isa(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "recops": build_info()["version"],
        "compiler": build_info()["compiler"],
    }


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def format_seconds(seconds: float) -> str:
    """Format a duration with three digits: ``0.0000123`` becomes ``12.3 µs``."""
    for scale, unit in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= 0.9995 * scale:  # three digits round 0.9995 up to 1
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} µs"


def format_peaks(row: Row) -> str:
    """Format the peak memory of each side, such as ``ours 0.38 MB, eager 12.3 MB``."""
    return ", ".join(f"{name} {size / 1e6:.3g} MB" for name, size in row["peak_bytes"].items())


def to_markdown(rows: Sequence[Row]) -> str:
    """Return a table of the rows; the figure of a peer is its time divided by the op's time."""
    lines = [
        "| op | shape | dtype | direction | threads | time | share of ceiling "
        "| peers (time / recops' time) | peak memory |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for row in rows:
        peers = ", ".join(f"{name} {ratio:.2f}×" for name, ratio in row["peers"].items())
        lines.append(
            f"| {row['op']} | {row['shape']} | {row['dtype']} | {row['direction']} "
            f"| {row['threads']} | {format_seconds(row['seconds'])} "
            f"| {row['ceiling_share']:.0%} of {row['ceiling']} | {peers} | {format_peaks(row)} |"
        )
    return "\n".join(lines) + "\n"


def write_report(rows: Sequence[Row], out: Path) -> None:
    """Write ``bench.json`` (sealed), ``bench.md`` and ``bench.svg`` to the folder ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    info = environment()
    write_json(out / "bench.json", {"environment": info, "rows": list(rows)}, kind="recops-bench")
    heading = ", ".join(f"{key} {value}" for key, value in info.items())
    write_file(out / "bench.md", f"{heading}\n\n{to_markdown(rows)}".encode())
    write_file(out / "bench.svg", _plot(rows))


def _plot(rows: Sequence[Row]) -> bytes:
    from matplotlib.figure import Figure

    labels = [f"{row['op']} {row['direction']}, {row['shape']}, {row['threads']}t" for row in rows]
    names = sorted({name for row in rows for name in row["peers"]})
    height = 0.9 + 0.34 * len(rows)
    figure = Figure(figsize=(11, height), layout="constrained")
    shares, ratios = figure.subplots(1, 2, sharey=True)
    positions = range(len(rows))
    shares.barh(positions, [100 * row["ceiling_share"] for row in rows], color="#3b6ea5")
    shares.set_yticks(positions, labels, fontsize=7)
    shares.axvline(100, color="0.6", linewidth=0.8)
    shares.set_xlim(0, max(100.0, *(105 * row["ceiling_share"] for row in rows)))
    shares.set_xlabel("share of the measured ceiling (%)")
    shares.invert_yaxis()
    for name in names:
        points = [(row["peers"][name], at) for at, row in enumerate(rows) if name in row["peers"]]
        ratios.scatter(*zip(*points, strict=True), s=18, label=name)
    ratios.axvline(1, color="0.6", linewidth=0.8)
    ratios.set_xscale("log")
    ratios.set_xlabel("peer's time / recops' time (above 1: recops is faster)")
    if names:
        ratios.legend(fontsize=7)
    return to_svg(figure)
