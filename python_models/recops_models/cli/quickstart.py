"""``recops quickstart``: the main job, end to end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recops_models.cli.application import (
    LARGEST_SEED,
    TextEncoderOption,
    app,
    load_data,
    make_folder,
    print_findings,
)

if TYPE_CHECKING:
    from rich.table import Table

    from recops_models.quickstart.outcome import Outcome


@app.command()
def quickstart(
    data: Annotated[
        str, typer.Option(help="A name from `recops data list`, or a folder.")
    ] = "ml-100k",
    out: Annotated[Path, typer.Option(help="The folder to write to.")] = Path("runs/quickstart"),
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Same seed, same figures.")
    ] = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out, from its last epoch.")
    ] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Two epochs: a look at the pipeline, not at figures.")
    ] = False,
    text_encoder: Annotated[
        TextEncoderOption, typer.Option(help="For item text; minilm needs 'recops[minilm]'.")
    ] = TextEncoderOption.tfidf,
    vectors: Annotated[
        Path | None,
        typer.Option(help="Your own item vectors: .npy, or Parquet with item_id and a list."),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            help="The item of each row of a .npy file: `id` (ascending item ids), or a file of "
            "item ids, one per row: the column item_id of .csv or .parquet, or one a line.",
            metavar="id|FILE",
            show_default=False,
        ),
    ] = None,
) -> None:
    """From interactions to recommendations and a report.

    Items become vectors, and these semantic IDs, whose trie holds real items only; UniRec learns to
    write the ID of what a user chooses next, and constrained beam search reads its recommendations
    off the trie. SASRec and popularity stand beside it, on each user's last choice, held out.

    Leaves `report.html`, `metrics.json`, `recommendations.json` and, in folders that `recops
    evaluate` and `recops recommend` read, the models; UniRec's has item vectors, tokenizer,
    `sids.parquet` and trie too. Ctrl-C
    keeps what is finished, to the last epoch; `--resume` goes on from there.

    Example: `recops quickstart --data ml-100k --out runs/quickstart`
    """
    from rich.console import Console

    from recops_models.cli.stage_bars import StageBars
    from recops_models.item_vectors.row_order import check_order
    from recops_models.out_folder import out_folder
    from recops_models.quickstart import Settings, quickstart

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
                )
        except KeyboardInterrupt:
            raise RuntimeError(
                f"interrupted; the same command with --resume goes on from what is kept in {out}"
            ) from None
    print_findings(dataset.report)
    console = Console()
    console.print(_table(outcome))
    console.print(
        f"{100 * outcome.real_items:.4g}% of the recommended semantic IDs are real items. "
        f"The report: {out / 'report.html'}",
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
