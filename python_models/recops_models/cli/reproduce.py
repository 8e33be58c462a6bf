"""Command ``recops reproduce``: measure a paper's claims."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from recops_models.cli.application import DeviceOption, JsonOption, app, make_folder, print_json
from recops_models.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from recops_evidence.harness.results import Results


LEAGUE = "league"
"""Name that measures all models instead of a paper's claims."""


@app.command()
def reproduce(
    paper: Annotated[
        str,
        typer.Argument(
            help="Paper: age, can, dien, drq, hpmn, keep, mimn, res-embedding, rocket, "
            "tiger, unirec; or league: all models and tuned baselines on the same data.",
            show_default=False,
        ),
    ],
    claims: Annotated[
        list[str] | None,
        typer.Option(
            help="Claims or groups of claims, separated by commas, such as headline. An unknown "
            "name lists all of them."
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            help="Data sets; only claims about them are measured. If there is no such claim, all "
            "claims that the data allows are measured. Repeatable."
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(min=2, help="Runs per arm; default: as each claim specifies."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="First seed.")] = 0,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Small version: some claims, 1 data set, 2 seeds, no tuning."),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue; finished runs are not repeated.")
    ] = False,
    jobs: Annotated[
        int,
        typer.Option(min=1, help="Runs at the same time, one process each; figures do not change."),
    ] = 1,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            help="Sets of the league, separated by commas: a data set, or one of its sets, such as "
            "clicks:ml-100k. An unknown name lists all of them."
        ),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option(help="Rows of the league, separated by commas, such as DIN or item-kNN."),
    ] = None,
    hours: Annotated[
        float | None,
        typer.Option(min=0, help="Start no run of the league after this time; --resume continues."),
    ] = None,
    as_json: JsonOption = False,
    device: DeviceOption = "auto",
    out: Annotated[
        Path | None,
        typer.Option(help="Output folder; default: runs/reproduce-PAPER.", show_default=False),
    ] = None,
) -> None:
    """Measure a paper's claims, each as a paired experiment.

    Every arm has the same number of tuning trials, and no trial uses the test part. The settings
    with the best validation metric are trained once per seed and measured on test. The paired
    difference over seeds and users, adjusted for the number of claims, decides: a claim *holds*,
    *fails*, or is *inconclusive*. The minimum detectable difference is reported too.

    Writes `results.json`, `results.md`, `seeds.jsonl.xz`, `runs.jsonl` (one line per finished run,
    from which `--resume` continues) and a folder per run under `runs`. Ctrl-C keeps finished runs
    and epochs.

    Examples: `recops reproduce rocket --claims sharing-helps --seeds 10`

    `recops reproduce drq --quick` (five tokenizers, within a minute)

    `recops reproduce unirec --claims capacity --data ml-100k` (exposure-balanced semantic IDs)

    `recops reproduce can --claims tables` (synthetic clicks that depend on pairs of items)

    `recops reproduce league --sets ml-100k --jobs 2` (click models and rankers on one data set)
    """
    folder = make_folder(out or Path("runs") / f"reproduce-{paper}")
    if paper == LEAGUE:
        if claims or data or seeds is not None or seed or device != "auto":
            raise typer.BadParameter(
                "league takes --sets, --models and --hours, not --claims, --data, --seeds, --seed "
                "or --device"
            )
        _reproduce_league(folder, sets, models, hours, quick, resume, jobs, as_json)
        return
    if sets or models or hours is not None:
        raise typer.BadParameter("only league takes --sets, --models and --hours")
    from rich.console import Console

    from recops_evidence import reproduce
    from recops_evidence.claims import chosen_claims
    from recops_models.cli.run_bars import RunBars
    from recops_models.data import UnknownDataError
    from recops_models.out_folder import out_folder

    ids = _names(claims)
    try:
        chosen = chosen_claims(paper, ids, data=data or (), quick=quick)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    try:
        with out_folder(folder, kind="results"), RunBars() as bars:
            content = reproduce(
                paper,
                chosen,
                folder,
                command=_command(paper, ids, data or [], seeds, seed, quick, device),
                seeds=seeds,
                first_seed=seed,
                quick=quick,
                resume=resume,
                jobs=jobs,
                callbacks=bars,
                device=device,
            )
    except UnknownDataError as error:
        raise typer.BadParameter(str(error)) from error
    except KeyboardInterrupt:
        raise RuntimeError(
            f"interrupted; the same command with --resume continues from the runs in {folder}"
        ) from None
    if as_json:
        print_json({"out": str(folder), **content})
        return
    for line in content["tables"]["skipped"]:
        typer.echo(printable(f"not measured: {line}"))
    console = Console()
    console.print(_table(content))
    if quick:
        console.print("Quick: small runs without tuning. The figures are not evidence.")
    console.print(f"All figures: {folder / 'results.md'}", soft_wrap=True)


def _names(texts: Sequence[str] | None) -> list[str]:
    """Return the names in texts that separate them by commas."""
    return [name.strip() for text in texts or [] for name in text.split(",") if name.strip()]


def _reproduce_league(
    folder: Path,
    sets: list[str] | None,
    models: list[str] | None,
    hours: float | None,
    quick: bool,
    resume: bool,
    jobs: int,
    as_json: bool,
) -> None:
    """Measure the league into ``folder``, and print what is finished."""
    from recops_evidence.league.reproduce import reproduce_league
    from recops_models.cli.run_bars import RunBars
    from recops_models.out_folder import out_folder

    chosen = {"sets": _names(sets), "models": _names(models)}
    words = ["recops reproduce league", *(["--quick"] if quick else [])]
    words += [f"--{option} {quote(','.join(names))}" for option, names in chosen.items() if names]
    try:
        with out_folder(folder, kind=LEAGUE), RunBars() as bars:
            results = reproduce_league(
                folder,
                command=" ".join(words),
                **chosen,
                hours=hours,
                quick=quick,
                resume=resume,
                jobs=jobs,
                callbacks=bars,
            )
    except KeyboardInterrupt:
        raise RuntimeError(
            f"interrupted; the same command with --resume continues from the runs in {folder}"
        ) from None
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if as_json:
        print_json({"out": str(folder), **results})
        return
    for each in results["sets"]:
        rows = len(each["rows"])
        typer.echo(f"{each['name']}: {rows} rows finished, {len(each['missing'])} missing")
    typer.echo(f"{results['runs']} runs, {results['core_hours']:.2f} core-hours")
    typer.echo(f"All figures: {folder / 'results.json'}")


def _command(
    paper: str,
    ids: Sequence[str],
    data: Sequence[str],
    seeds: int | None,
    seed: int,
    quick: bool,
    device: str,
) -> str:
    """Return the command that repeats the results, without options on output and resumption."""
    words = ["recops", "reproduce", paper]
    words += [f"--claims {name}" for name in ids] + [f"--data {quote(name)}" for name in data]
    words += [f"--seeds {seeds}"] if seeds is not None else []
    words += [f"--seed {seed}"] if seed else []
    words += ["--quick"] if quick else []
    words += [f"--device {device}"] if device != "auto" else []
    return " ".join(words)


def _table(content: Results) -> Table:
    from rich.table import Table

    from recops_evidence.harness.page import signed, span

    table = Table(box=None, pad_edge=False)
    table.add_column("claim", overflow="fold")
    table.add_column("data")
    for column in ("measured", "95 %", "detectable", "verdict"):
        table.add_column(column, justify="right")
    for claim in content["claims"]:
        measured, interval = signed(claim["measured"]), span(claim["interval"])
        power = f"{claim['power']:.4f}"
        table.add_row(claim["id"], claim["data"], measured, interval, power, claim["verdict"])
    return table
