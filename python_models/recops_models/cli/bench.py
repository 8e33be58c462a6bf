"""``recops bench``: time kernels and compare them with peers and hardware limits."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recops_models.cli.application import DeviceOption, app, make_folder

if TYPE_CHECKING:
    from recops.benchmarks.runner import Row


@app.command()
def bench(
    family: Annotated[
        str | None, typer.Argument(help="Op family, such as `trie`. Default: all.")
    ] = None,
    device: DeviceOption = "cpu",
    quick: Annotated[bool, typer.Option("--quick", help="Skip cases with a long setup.")] = False,
    scaling: Annotated[
        bool,
        typer.Option(
            "--scaling", help="Vary one size at a time: writes scaling.json, .md and .svg."
        ),
    ] = False,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            help="Seconds of measuring per kernel and peer. Default: 2, or 0.5 with --scaling.",
            show_default=False,
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for bench.json, bench.md and the plot.")] = Path(
        "runs/bench"
    ),
) -> None:
    """Time the kernels and their peers in one process, after checking that their results agree.

    Each time is the minimum of many interleaved runs. A ratio above 1 means that the peer is
    slower. The ceiling share compares the kernel with the measured limit of this machine. Ctrl-C
    keeps the rows measured so far.

    Examples: `recops bench residual_quantization --quick`, `recops bench trie --scaling`
    """
    from recops.benchmarks import registry, report, runner

    if device not in ("auto", "cpu"):
        raise typer.BadParameter(f"--device must be cpu, whose kernels are timed, got {device}")
    if scaling and family not in registry.sweeps():
        raise typer.BadParameter(f"--scaling requires one of {', '.join(registry.sweeps())}")
    if scaling and quick:
        raise typer.BadParameter("--scaling does not support --quick")
    families = registry.families()
    if not scaling and family is not None and family not in families:
        raise typer.BadParameter(f"no family {family!r}; available: {', '.join(families)}")
    make_folder(out)
    if scaling and family is not None:
        _scale(family, seconds or 0.5, out)
        return
    rows: list[Row] = []
    try:
        for name in families if family is None else [family]:
            for case in registry.cases(name, quick=quick):
                row = runner.run_case(case, seconds=seconds or 2.0)
                typer.echo(_line(row))
                rows.append(row)
    finally:
        if rows:
            report.write_report(rows, out)
    typer.echo(f"{len(rows)} rows in {out / 'bench.md'}")


def _scale(family: str, seconds: float, out: Path) -> None:
    from recops.benchmarks import registry
    from recops.benchmarks.report import format_seconds
    from recops.benchmarks.scaling import ScalingRow, run_point, write_scaling

    rows: list[ScalingRow] = []
    try:
        for point in registry.points(family):
            row = run_point(point, seconds=seconds)
            times = ", ".join(f"{n} {format_seconds(t)}" for n, t in row["seconds"].items())
            typer.echo(f"{row['size']} = {row['value']:,}: {times}")
            rows.append(row)
    finally:
        if rows:
            write_scaling(rows, out)
    typer.echo(f"{len(rows)} points in {out / 'scaling.svg'}")


def _line(row: Row) -> str:
    from recops.benchmarks.report import format_peaks, format_seconds

    peers = ", ".join(f"{name} {ratio:.2f}×" for name, ratio in row["peers"].items())
    return (
        f"{row['op']} {row['direction']} {row['shape']} {row['dtype']} {row['threads']}t: "
        f"{format_seconds(row['seconds'])}, {row['ceiling_share']:.0%} of {row['ceiling']}; {peers}"
        + (f"; at most {format_peaks(row)}" if row["peak_bytes"] else "")
    )
