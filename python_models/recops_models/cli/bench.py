"""``recops bench``: time kernels and compare them with peers and hardware limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recops_models.cli.application import DeviceOption, JsonOption, app, make_folder, print_json

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
    as_json: JsonOption = False,
    out: Annotated[Path, typer.Option(help="Folder for bench.json, bench.md and the plot.")] = Path(
        "runs/bench"
    ),
) -> None:
    """Time the kernels and their peers in one process, after checking that their results agree.

    Each time is the minimum of many interleaved runs. A ratio above 1 means that the peer is
    slower. The ceiling share compares the kernel with the measured limit of this machine. Ctrl-C
    keeps the rows measured so far. On a GPU, times are between two events, with warm and with cold
    caches, and the limits are the rates of copying and of bfloat16 matmul.

    Examples: `recops bench residual_quantization --quick`, `recops bench trie --scaling`
    """
    from recops.benchmarks import registry, report, runner

    if device not in ("auto", "cpu"):
        if scaling:
            raise typer.BadParameter("--scaling requires --device cpu")
        _bench_cuda(family, device, quick, seconds or 2.0, out, as_json)
        return
    if scaling and family not in registry.sweeps():
        raise typer.BadParameter(f"--scaling requires one of {', '.join(registry.sweeps())}")
    if scaling and quick:
        raise typer.BadParameter("--scaling does not support --quick")
    families = registry.families()
    if not scaling and family is not None and family not in families:
        raise typer.BadParameter(f"no family {family!r}; available: {', '.join(families)}")
    make_folder(out)
    if scaling and family is not None:
        _scale(family, seconds or 0.5, out, as_json)
        return
    rows: list[Row] = []
    try:
        for name in families if family is None else [family]:
            for case in registry.cases(name, quick=quick):
                row = runner.run_case(case, seconds=seconds or 2.0)
                typer.echo(_line(row), err=as_json)
                rows.append(row)
    finally:
        if rows:
            report.write_report(rows, out)
    _finish(rows, out, "bench.md", as_json)


def _finish(rows: Sequence[Mapping[str, object]], out: Path, file: str, as_json: bool) -> None:
    """Print the rows as JSON, or their number and their file."""
    if as_json:
        print_json({"out": str(out), "rows": list(rows)})
    else:
        typer.echo(f"{len(rows)} {'points' if file == 'scaling.svg' else 'rows'} in {out / file}")


def _bench_cuda(
    family: str | None, name: str, quick: bool, seconds: float, out: Path, as_json: bool
) -> None:
    import torch

    from recops.benchmarks.cuda import cases, report, runner, timer

    try:
        device = timer.cuda_device(name)
        families = cases.families(family)
    except ValueError as error:
        raise typer.BadParameter(str(error).removeprefix("bench: ")) from error
    make_folder(out)
    rows: list[runner.CudaRow] = []
    with torch.cuda.device(device):
        clock = timer.CudaTimer(device)
        ceilings = runner.measure_ceilings(device, clock)
        try:
            for case in (case for one in families for case in one(device, quick)):
                row = runner.run_cuda_case(case, clock, ceilings, seconds=seconds)
                typer.echo(report.to_line(row), err=as_json)
                rows.append(row)
        finally:
            if rows:
                report.write_report(rows, ceilings, report.environment(device), out)
    _finish(rows, out, "bench.md", as_json)


def _scale(family: str, seconds: float, out: Path, as_json: bool) -> None:
    from recops.benchmarks import registry
    from recops.benchmarks.report import format_seconds
    from recops.benchmarks.scaling import ScalingRow, run_point, write_scaling

    rows: list[ScalingRow] = []
    try:
        for point in registry.points(family):
            row = run_point(point, seconds=seconds)
            times = ", ".join(f"{n} {format_seconds(t)}" for n, t in row["seconds"].items())
            typer.echo(f"{row['size']} = {row['value']:,}: {times}", err=as_json)
            rows.append(row)
    finally:
        if rows:
            write_scaling(rows, out)
    _finish(rows, out, "scaling.svg", as_json)


def _line(row: Row) -> str:
    from recops.benchmarks.report import format_peaks, format_seconds

    peers = ", ".join(f"{name} {ratio:.2f}×" for name, ratio in row["peers"].items())
    return (
        f"{row['op']} {row['direction']} {row['shape']} {row['dtype']} {row['threads']}t: "
        f"{format_seconds(row['seconds'])}, {row['ceiling_share']:.0%} of {row['ceiling']}; {peers}"
        + (f"; at most {format_peaks(row)}" if row["peak_bytes"] else "")
    )
