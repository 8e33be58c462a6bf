"""``recops quickstart``: train, compare and report the main models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recops_models.cli.application import (
    LARGEST_SEED,
    DeviceOption,
    JsonOption,
    TextEncoderOption,
    app,
    load_data,
    make_folder,
    print_findings,
    print_json,
)

if TYPE_CHECKING:
    from rich.table import Table

    from recops_models.quickstart.outcome import Outcome


@app.command()
def quickstart(
    data: Annotated[
        str, typer.Option(help="A name from `recops data list`, or a folder.")
    ] = "ml-100k",
    out: Annotated[Path, typer.Option(help="Folder to write to.")] = Path("runs/quickstart"),
    seed: Annotated[
        int,
        typer.Option(
            min=0, max=LARGEST_SEED, help="Random seed. The same seed gives the same results."
        ),
    ] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --out from its last epoch.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Train for two epochs, to check the pipeline.")
    ] = False,
    as_json: JsonOption = False,
    device: DeviceOption = "auto",
    text_encoder: Annotated[
        TextEncoderOption, typer.Option(help="Encoder of item text. minilm needs 'recops[minilm]'.")
    ] = TextEncoderOption.tfidf,
    vectors: Annotated[
        Path | None,
        typer.Option(help="Your own item vectors: .npy, or Parquet with item_id and a list."),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            help="Item of each row of a .npy file: `id` (ascending item ids), or a file with one "
            "item id per row: the column item_id of .csv or .parquet, or text lines.",
            metavar="id|FILE",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Train recommenders on interactions, and write recommendations and a report.

    Item vectors become semantic IDs, whose trie contains only existing items. UniRec learns to
    generate the ID of a user's next item, and constrained beam search decodes it along the trie.
    SASRec, item-kNN and popularity are the baselines, tested on each user's held-out last event.

    Writes `report.html`, `metrics.json` and `recommendations.json` to `--out`, and a folder per
    model for `recops evaluate` and `recops recommend`. UniRec's folder also has item vectors,
    tokenizer, `sids.parquet` and trie. Ctrl-C keeps all finished epochs. `--resume` continues from
    the last one.

    Example: `recops quickstart --data ml-100k --out runs/quickstart`
    """
    from rich.console import Console

    from recops_models.cli.stage_bars import StageBars
    from recops_models.item_vectors.row_order import check_order
    from recops_models.out_folder import out_folder
    from recops_models.quickstart import Settings, quickstart
    from recops_models.quickstart.outcome import metrics

    try:
        check_order(vectors, order, has_catalogue=True)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    with StageBars() as bars:
        bars.start("data")
        dataset = load_data(data)
        settings = Settings(
            data=data,
            seed=seed,
            text_encoder=text_encoder.value,
            vectors=None if vectors is None else str(vectors),
            order=order,
        )
        try:
            with out_folder(make_folder(out), kind="config") as folder:
                outcome = quickstart(
                    settings.quick() if quick else settings,
                    dataset,
                    folder,
                    resume=resume,
                    callbacks=bars,
                    device=device,
                )
        except KeyboardInterrupt:
            raise RuntimeError(
                f"interrupted; repeat the command with --resume to continue from {out}"
            ) from None
    print_findings(dataset.report, err=as_json)
    if as_json:
        print_json({"out": str(out), **metrics(outcome)})
        return
    console = Console()
    console.print(_table(outcome))
    console.print(
        f"{100 * outcome.real_items:.4g}% of the recommended semantic IDs are real items. "
        f"Report: {out / 'report.html'}",
        soft_wrap=True,
    )
    console.print(f"For one user: recops recommend {out / 'unirec'} --user ID", soft_wrap=True)


def _table(outcome: Outcome) -> Table:
    from rich.table import Table

    from recops_models.evaluation.report.verdict import interval, points
    from recops_models.quickstart.outcome import MODELS

    main, *_ = MODELS.values()
    ahead = {
        difference.against: f"{points(difference.value)} ({interval(difference)})"
        for difference in outcome.differences()
        if difference.model == main
    }
    table = Table("model", box=None, pad_edge=False)
    for column in ("HR@10", "HR@50", "NDCG@10", "coverage", f"{main} ahead by, HR@10, 95%"):
        table.add_column(column, justify="right")
    for name, model in outcome.models.items():
        test = model.test
        table.add_row(
            MODELS[name],
            f"{test['hr@10']:.1%}",
            f"{test['hr@50']:.1%}",
            f"{test['ndcg@10']:.4f}",
            f"{test['coverage']:.1%}",
            ahead.get(MODELS[name], ""),
        )
    return table
