"""``recops tokenize``: compute semantic IDs from item vectors."""

from __future__ import annotations

import dataclasses
import time
from contextlib import ExitStack
from enum import Enum
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
    setting_pairs,
)
from recops_models.settings import JsonObject

if TYPE_CHECKING:
    import pyarrow as pa
    import torch

    from recops_models.data import Dataset
    from recops_models.item_vectors import ItemVectors
    from recops_models.tokenizers import Tokenizer
    from recops_models.tokenizers.catalogue import Catalogue
    from recops_models.tokenizers.streamed import StreamedCatalogue


class ItemWeights(str, Enum):
    """Item weights of methods that balance the load of codes."""

    exposure = "exposure"
    items = "items"


@app.command()
def tokenize(
    context: typer.Context,
    out: Annotated[
        Path, typer.Option(help="Folder to write to.", file_okay=False, show_default=False)
    ],
    data: Annotated[
        str | None, typer.Option(help="Data set: a name from `recops data list`, or a folder.")
    ] = None,
    vectors: Annotated[
        Path | None,
        typer.Option(help="Your own vectors: .npy [N, D], or Parquet with item_id and a list."),
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            help="Item of each row of a .npy file: `id` (ascending item ids of --data), or a file "
            "with one item id per row: the column item_id of .csv or .parquet, or text lines.",
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
        typer.Option(help="Your own pairs of items that occur together: .npy [E, 2], or Parquet."),
    ] = None,
    text_encoder: Annotated[
        TextEncoderOption,
        typer.Option(help="Encoder of item text, with --data. minilm needs 'recops[minilm]'."),
    ] = TextEncoderOption.tfidf,
    weights: Annotated[
        ItemWeights | None,
        typer.Option(
            help="Load that balanced-rq distributes evenly: training events or items. Default: "
            "events, if there are any.",
            show_default=False,
        ),
    ] = None,
    stream: Annotated[
        bool,
        typer.Option(
            "--stream",
            help="Fit to a Parquet file of --vectors that exceeds memory; not for balanced-rq and "
            "drq-vae-cl.",
        ),
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue from the finished levels.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace semantic IDs with other settings in --out.")
    ] = False,
    as_json: JsonOption = False,
    device: DeviceOption = "auto",
    seed: Annotated[
        int,
        typer.Option(
            min=0, max=LARGEST_SEED, help="Random seed. The same seed gives the same codes."
        ),
    ] = 0,
    num_workers: Annotated[
        int,
        typer.Option(
            "--workers",
            min=1,
            help="Worker processes on this machine, one GPU each if there are any. They share "
            "every batch of items; the first one fits balanced-rq and drq-vae-cl alone.",
        ),
    ] = 1,
) -> None:
    """Compute a semantic ID for every item: a few codes, of which similar items share the first.

    With `--data`, vectors come from text, attributes and the training events (leave-one-out: each
    user's last two events are excluded). So do the item pairs and exposures that some methods use.
    `--vectors` gives your own vectors; with `--data` they must cover the items of the data set. A
    Parquet file names its items. For a `.npy` file, `--order` gives the item of each row. Without
    `--data` and `--order`, row i is item i.

    Writes `sids.parquet` (item_id, c0, c1, …), `tokenizer.safetensors`, `config.json` and
    `metrics.json` (reconstruction error, collisions, code usage) to `--out`; with `--data`, also
    `item_vectors.safetensors`. Ctrl-C keeps the finished levels. `--resume` continues from them
    with bitwise the same result.

    `--workers 2` starts two workers by torchrun. On several machines, use torchrun itself, as in
    `torchrun … -m recops_models.cli tokenize …`, with a shared `--out`.

    Example: `recops tokenize --data ml-100k --levels 3 --codes 64 --out runs/sids`
    """
    if data is None and vectors is None:
        raise typer.BadParameter("give a data set (--data) or a file of vectors (--vectors)")

    from recops_models.cli.launch import is_worker, launch
    from recops_models.item_vectors.row_order import check_order
    from recops_models.tokenizers import make_tokenizer

    try:
        check_order(vectors, order, has_catalogue=data is not None)
        tokenizer = make_tokenizer(method, levels, codes, setting_pairs(settings or []))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if tokenizer.uses_pairs and data is None and pairs is None:
        raise typer.BadParameter(
            f"{method} uses pairs of items that occur together: give a data set (--data) or a file "
            "of pairs (--pairs)"
        )
    if weights is ItemWeights.exposure and data is None:
        raise typer.BadParameter("--weights exposure counts training events and requires --data")
    if stream and (data is not None or vectors is None or vectors.suffix != ".parquet"):
        raise typer.BadParameter("--stream requires a Parquet file in --vectors, without --data")
    if num_workers > 1 and not is_worker():
        raise typer.Exit(launch(num_workers, context.obj))

    from recops_models.cli.worker_output import one_voice
    from recops_models.training.distributed import join_workers

    weights = weights or (ItemWeights.items if data is None else ItemWeights.exposure)
    inputs: JsonObject = {
        "data": data,
        "vectors": None if vectors is None else str(vectors),
        "order": order,
        "stream": stream,
        "pairs": None if pairs is None else str(pairs),
        "weights": weights.value if tokenizer.uses_weights else None,
        "method": method,
        "text_encoder": text_encoder.value,
        "seed": seed,
    }
    with one_voice(), join_workers(device) as chosen:
        _tokenize(tokenizer, inputs, out, chosen, resume=resume, force=force, as_json=as_json)


def _tokenize(
    tokenizer: Tokenizer,
    inputs: JsonObject,
    out: Path,
    device: torch.device,
    *,
    resume: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Fit a tokenizer, write its folder and print its metrics; all workers call this."""
    from recops_models import workers
    from recops_models.item_vectors.row_order import BY_ID
    from recops_models.out_folder import out_folder
    from recops_models.tokenizers import sid_folder
    from recops_models.tokenizers.catalogue import Catalogue

    data, order = inputs["data"], inputs["order"]
    dataset = None if data is None else workers.others_after_first(lambda: load_data(data))
    if dataset is not None and workers.is_first():
        print_findings(dataset.report, err=as_json)
    vectors, pairs = (_path(inputs[name]) for name in ("vectors", "pairs"))
    row_ids = None if order == BY_ID else _path(order)
    own_digests = workers.on_first(lambda: sid_folder.digests(dataset, vectors, pairs, row_ids))
    config = {**inputs, **tokenizer.config(), **own_digests}

    def continues() -> bool:
        if not (resume or force):
            sid_folder.check_replaceable(out, config)
        return resume and sid_folder.holds_run(out, config)

    continued = workers.on_first(continues)
    catalogue: Catalogue | StreamedCatalogue
    if inputs["stream"]:
        catalogue = _stream(vectors)
    else:
        catalogue = _catalogue(config, dataset, out if continued else None)
    workers.on_first(lambda: catalogue.check(tokenizer))
    items = catalogue.items if isinstance(catalogue, Catalogue) and vectors is None else None
    with ExitStack() as lock:

        def start() -> Path:
            folder = lock.enter_context(out_folder(make_folder(out), kind=sid_folder.CONFIG_KIND))
            sid_folder.start(folder, config, items, resume=continued)
            return folder

        folder = workers.on_first(start)
        state = f"{folder} has the finished levels: continue with --resume"
        try:
            fitted, seconds = _fit(tokenizer, catalogue, inputs["seed"], folder, continued, device)
        except KeyboardInterrupt:
            raise RuntimeError(f"interrupted; {state}") from None
        except workers.WorkerLostError as error:
            raise RuntimeError(f"{error}; {state}") from error
        metrics = workers.on_first(
            lambda: sid_folder.finish(folder, config, fitted, catalogue, seconds)
        )
    if as_json:
        print_json({"out": str(folder), **metrics})
        return
    typer.echo(
        f"{metrics['items']:,} items, {metrics['unique_sids']:,} semantic IDs "
        f"({metrics['collision_rate']:.1%} of items share one), "
        f"{metrics['error_share']:.1%} of the variance unexplained; in {folder}"
    )


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text)


def _catalogue(config: JsonObject, dataset: Dataset | None, finished: Path | None) -> Catalogue:
    """Return the items with their vectors, which may come from the folder ``finished``."""
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
    stored_vectors = None if finished is None else finished / VECTORS

    def make(dataset: Dataset, train: pa.Table) -> ItemVectors:
        if vectors is not None:
            ids, keys = dataset.item_vocabulary.ids, dataset.text_keys("item")
            return load_item_vectors(vectors, ids, keys, order=config["order"])
        if stored_vectors is not None and stored_vectors.exists():
            return read_item_vectors(stored_vectors)
        encoder, seed = config["text_encoder"], config["seed"]
        return build_item_vectors(dataset, train, text_encoder=encoder, seed=seed)

    if dataset is None:
        assert vectors is not None
        catalogue = Catalogue(load_item_vectors(vectors, order=config["order"]))
    else:
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


def _fit(
    tokenizer: Tokenizer,
    catalogue: Catalogue | StreamedCatalogue,
    seed: int,
    folder: Path,
    resume: bool,
    device: torch.device,
) -> tuple[Tokenizer, float]:
    """Return the fitted tokenizer, and the seconds of the last run. Shows a bar per stage."""
    from rich.console import Console
    from rich.progress import Progress

    from recops_models import workers
    from recops_models.callbacks import Callbacks
    from recops_models.cli.fit_bars import FitBars
    from recops_models.tokenizers.sid_folder import finished_tokenizer, seconds_of_fit

    finished = finished_tokenizer(folder) if resume else None
    if finished is not None:
        return finished, seconds_of_fit(folder)
    console = Console(stderr=True)
    started = time.perf_counter()
    is_shown = console.is_terminal and workers.is_first()
    with Progress(console=console, transient=True, disable=not is_shown) as bars:
        callbacks = FitBars(bars, tokenizer.stages) if workers.is_first() else Callbacks()
        catalogue.fit(
            tokenizer,
            seed=seed,
            callbacks=callbacks,
            folder=folder,
            resume=resume,
            device=device,
        )
    return tokenizer, time.perf_counter() - started
