"""``recops bench``: figures with their ratios to the peers and their share of the ceiling."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recops_models.cli.application import app, make_folder

if TYPE_CHECKING:
    from recops.benchmarks.runner import Row


@app.command()
def bench(
    family: Annotated[
        str | None, typer.Argument(help="One op family, as `trie`; all of them by default.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where to run: cpu.")] = "cpu",
    quick: Annotated[bool, typer.Option(help="Leave out what takes long to set up.")] = False,
    seconds: Annotated[float, typer.Option(min=0.01, help="Time a side, in seconds.")] = 2.0,
    out: Annotated[Path, typer.Option(help="Folder for bench.json, bench.md and the plot.")] = Path(
        "runs/bench"
    ),
) -> None:
    """Time the kernels beside their peers, in one process, after checking that they agree.

    Each figure is the shortest of many interleaved runs; a ratio above 1 means that the peer takes
    longer. The share tells how near the kernel is to what this machine was measured to reach.
    Stopped with Ctrl-C, it keeps the rows measured so far.

    Example: `recops bench residual_quantization --quick`
    """
    from recops.benchmarks import registry, report, runner

    if device != "cpu":
        raise typer.BadParameter(f"--device {device}: the kernels run on cpu so far")
    known = registry.families()
    if family is not None and family not in known:
        raise typer.BadParameter(f"no family {family!r}; there are {', '.join(known)}")
    make_folder(out)
    rows: list[Row] = []
    try:
        for name in known if family is None else [family]:
            for case in registry.cases(name, quick=quick):
                row = runner.run_case(case, seconds=seconds)
                typer.echo(_line(row))
                rows.append(row)
    finally:
        if rows:
            report.write_report(rows, out)
    typer.echo(f"{len(rows)} rows in {out / 'bench.md'}")


def _line(row: Row) -> str:
    from recops.benchmarks.report import format_seconds

    peers = ", ".join(f"{name} {ratio:.2f}×" for name, ratio in row["peers"].items())
    return (
        f"{row['op']} {row['direction']} {row['shape']} {row['dtype']} {row['threads']}t: "
        f"{format_seconds(row['seconds'])}, {row['ceiling_share']:.0%} of {row['ceiling']}; {peers}"
    )
