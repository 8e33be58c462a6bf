"""``recops tokenize``: item vectors to semantic IDs."""

from __future__ import annotations

import dataclasses
import time
from enum import Enum
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
    setting_pairs,
)
from recops_models.settings import JsonObject

if TYPE_CHECKING:
    import pyarrow as pa

    from recops_models.data import Dataset
    from recops_models.item_vectors import ItemVectors
    from recops_models.tokenizers import Tokenizer
    from recops_models.tokenizers.catalogue import Catalogue
    from recops_models.tokenizers.streamed import StreamedCatalogue


class ItemWeights(str, Enum):
    """What an item counts for a method that balances loads."""

    exposure = "exposure"
    items = "items"


@app.command()
def tokenize(
    out: Annotated[
        Path, typer.Option(help="The folder to write to.", file_okay=False, show_default=False)
    ],
    data: Annotated[
        str | None, typer.Option(help="A data set: a name from `recops data list`, or a folder.")
    ] = None,
    vectors: Annotated[
        Path | None,
        typer.Option(help="Your own vectors: .npy [N, D], or Parquet with item_id and a list."),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            help="The item of each row of a .npy file: `id` (ascending item ids of --data), or a "
            "file of item ids, one per row: the column item_id of .csv or .parquet, or one a line.",
            metavar="id|FILE",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        str, typer.Option(help="rq-kmeans, balanced-rq, rq-vae, rqp-vae, drq-vae, drq-vae-cl, fsq.")
    ] = "rq-kmeans",
    levels: Annotated[int, typer.Option(min=1, help="Codes per item.")] = 3,
    codes: Annotated[int, typer.Option(min=1, help="Codewords per level.")] = 256,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="Change a setting, as `--set iterations=20`; repeatable."),
    ] = None,
    pairs: Annotated[
        Path | None,
        typer.Option(help="Your own pairs of items met together: .npy [E, 2], or Parquet."),
    ] = None,
    text_encoder: Annotated[
        TextEncoderOption, typer.Option(help="For --data; minilm needs 'recops[minilm]'.")
    ] = TextEncoderOption.tfidf,
    weights: Annotated[
        ItemWeights | None,
        typer.Option(
            help="What balanced-rq spreads evenly: training events, or items. Default: events, "
            "where there are any.",
            show_default=False,
        ),
    ] = None,
    stream: Annotated[
        bool, typer.Option("--stream", help="rq-kmeans from --vectors PARQUET larger than memory.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from what is finished.")] = False,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Same seed, same codes.")] = 0,
) -> None:
    """Turn every item into a semantic ID: a few codes, such that like items share the first ones.

    With `--data`, vectors come from text, attributes and the training events (leave-one-out: each
    user's last two events stay unseen), and so do the pairs of items and the exposures that some
    methods learn from. With `--vectors`, vectors are yours; with both, yours must cover the data
    set's items. A Parquet file names its items; of a `.npy` file, `--order` says which item each
    row belongs to. Without `--data`, row i is item i unless `--order` names a file.

    Leaves `sids.parquet` (item_id, c0, c1, …), `tokenizer.safetensors`, `config.json` and
    `metrics.json` (reconstruction error, collisions, use of the codes) in `--out`; with `--data`,
    `item_vectors.safetensors` too. Ctrl-C keeps finished levels; `--resume` goes on from there, to
    the same bits.

    Example: `recops tokenize --data ml-100k --levels 3 --codes 64 --out runs/sids`
    """
    if data is None and vectors is None:
        raise typer.BadParameter("name a data set (--data) or a file of vectors (--vectors)")

    from recops_models.item_vectors.row_order import BY_ID, check_order
    from recops_models.out_folder import out_folder
    from recops_models.tokenizers import make_tokenizer, sid_folder
    from recops_models.tokenizers.catalogue import Catalogue

    try:
        check_order(vectors, order, has_catalogue=data is not None)
        tokenizer = make_tokenizer(method, levels, codes, setting_pairs(settings or []))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if tokenizer.uses_pairs and data is None and pairs is None:
        raise typer.BadParameter(
            f"{method} learns from pairs of items met together: name a data set (--data) or a file "
            "of them (--pairs)"
        )
    if weights is ItemWeights.exposure and data is None:
        raise typer.BadParameter("--weights exposure counts training events: name --data too")
    if stream and (data is not None or vectors is None or vectors.suffix != ".parquet"):
        raise typer.BadParameter("--stream reads a Parquet file of --vectors, without --data")
    row_ids = None if order is None or order == BY_ID else Path(order)
    weights = weights or (ItemWeights.items if data is None else ItemWeights.exposure)
    dataset = None if data is None else load_data(data)
    config = {
        "data": data,
        "vectors": None if vectors is None else str(vectors),
        "order": order,
        "stream": stream,
        "pairs": None if pairs is None else str(pairs),
        "weights": weights.value if tokenizer.uses_weights else None,
        "method": method,
        "text_encoder": text_encoder.value,
        "seed": seed,
        **tokenizer.config(),
        **sid_folder.digests(dataset, vectors, pairs, row_ids),
    }
    resume = resume and sid_folder.holds_run(out, config)
    catalogue: Catalogue | StreamedCatalogue
    catalogue = _stream(vectors) if stream else _catalogue(config, dataset, out if resume else None)
    catalogue.check(tokenizer)
    kept = catalogue.items if isinstance(catalogue, Catalogue) and vectors is None else None
    with out_folder(make_folder(out), kind=sid_folder.CONFIG_KIND) as folder:
        sid_folder.start(folder, config, kept, resume=resume)
        try:
            tokenizer, seconds = _fitted(tokenizer, catalogue, seed, folder, resume)
        except KeyboardInterrupt:
            raise RuntimeError(
                f"interrupted; {folder} keeps what is finished: go on with --resume"
            ) from None
        metrics = sid_folder.finish(folder, config, tokenizer, catalogue, seconds)
    typer.echo(
        f"{metrics['items']:,} items, {metrics['unique_sids']:,} semantic IDs "
        f"({metrics['collision_rate']:.1%} of items share theirs), "
        f"{metrics['error_share']:.1%} of the variance unexplained; in {folder}"
    )


def _catalogue(config: JsonObject, dataset: Dataset | None, finished: Path | None) -> Catalogue:
    """The items; their vectors from the folder ``finished`` if it has them."""
    import torch

    from recops_models.item_vectors import (
        build_item_vectors,
        load_item_vectors,
        read_item_vectors,
    )
    from recops_models.tokenizers.behaviour import load_pairs
    from recops_models.tokenizers.catalogue import Catalogue, read_catalogue
    from recops_models.tokenizers.sid_folder import VECTORS

    vectors = None if config["vectors"] is None else Path(config["vectors"])
    kept = None if finished is None else finished / VECTORS

    def make(dataset: Dataset, train: pa.Table) -> ItemVectors:
        if vectors is not None:
            ids, keys = dataset.item_vocabulary.ids, dataset.text_keys("item")
            return load_item_vectors(vectors, ids, keys, order=config["order"])
        if kept is not None and kept.exists():
            return read_item_vectors(kept)
        encoder, seed = config["text_encoder"], config["seed"]
        return build_item_vectors(dataset, train, text_encoder=encoder, seed=seed)

    if dataset is None:
        assert vectors is not None
        catalogue = Catalogue(load_item_vectors(vectors, order=config["order"]))
    else:
        print_findings(dataset.report)
        catalogue = read_catalogue(dataset, make)
    if config["pairs"] is not None:
        catalogue = dataclasses.replace(catalogue, pairs=load_pairs(Path(config["pairs"])))
    if config["weights"] == ItemWeights.items.value:
        catalogue = dataclasses.replace(catalogue, weights=torch.ones(len(catalogue)))
    return catalogue


def _stream(vectors: Path | None) -> StreamedCatalogue:
    from recops_models.item_vectors.vector_file import VectorFile
    from recops_models.tokenizers.streamed import StreamedCatalogue

    assert vectors is not None
    return StreamedCatalogue(VectorFile(vectors))


def _fitted(
    tokenizer: Tokenizer,
    catalogue: Catalogue | StreamedCatalogue,
    seed: int,
    folder: Path,
    resume: bool,
) -> tuple[Tokenizer, float]:
    """The tokenizer, fitted under a bar a stage, and the seconds that its last sitting took."""
    from rich.console import Console
    from rich.progress import Progress

    from recops_models.cli.fit_bars import FitBars
    from recops_models.tokenizers.sid_folder import finished_tokenizer, seconds_of_fit

    done = finished_tokenizer(folder) if resume else None
    if done is not None:
        return done, seconds_of_fit(folder)
    console = Console(stderr=True)
    started = time.perf_counter()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        show = FitBars(bars, tokenizer.stages)
        catalogue.fit(tokenizer, seed=seed, callbacks=show, folder=folder, resume=resume)
    return tokenizer, time.perf_counter() - started
