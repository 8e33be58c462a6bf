"""``recops tokenize``: item vectors to semantic IDs."""

from __future__ import annotations

import time
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recops_models.cli.application import TextEncoder, app, load_data, make_folder, print_findings

if TYPE_CHECKING:
    from torch import Tensor

    from recops_models.item_vectors import ItemVectors
    from recops_models.tokenizers import RQKMeans


class Method(str, Enum):
    """The tokenizers there are."""

    rq_kmeans = "rq-kmeans"


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
    method: Annotated[Method, typer.Option(help="The tokenizer.")] = Method.rq_kmeans,
    levels: Annotated[int, typer.Option(min=1, help="Codes per item.")] = 3,
    codes: Annotated[int, typer.Option(min=1, help="Codewords per level.")] = 256,
    text_encoder: Annotated[
        TextEncoder, typer.Option(help="For --data; minilm needs 'recops[minilm]'.")
    ] = TextEncoder.tfidf,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same codes.")] = 0,
) -> None:
    """Turn every item into a semantic ID: a few codes, such that like items share the first ones.

    With `--data`, vectors come from text, attributes and the training events (leave-one-out: each
    user's last two events stay unseen). With `--vectors`, they are yours; with both, yours must
    cover the data set's items.

    Leaves `sids.parquet` (item_id, c0, c1, …), `tokenizer.safetensors`, `config.json` and
    `metrics.json` (reconstruction error, collisions, use of the codes) in `--out`.

    Example: `recops tokenize --data ml-100k --levels 3 --codes 64 --out runs/sids`
    """
    if data is None and vectors is None:
        raise typer.BadParameter("name a data set (--data) or a file of vectors (--vectors)")

    import torch

    from recops.files import write_json
    from recops_models.tokenizers import RQKMeans, Sids, save_sids, sid_metrics
    from recops_models.versions import versions

    items = _item_vectors(data, vectors, text_encoder, seed)
    points, item_ids = torch.from_numpy(items.vectors), torch.from_numpy(items.item_ids)
    tokenizer = RQKMeans(levels, codes)
    started = time.perf_counter()
    _fit(tokenizer, points, item_ids, seed)
    seconds = time.perf_counter() - started
    found = tokenizer.encode(points)
    metrics = sid_metrics(tokenizer, points, found)

    folder = make_folder(out)
    save_sids(folder / "sids.parquet", Sids(items.item_ids, found.numpy()))
    tokenizer.save(folder / "tokenizer.safetensors")
    source = {"data": data, "vectors": None if vectors is None else str(vectors)}
    config = {**source, "method": method.value, "text_encoder": text_encoder.value, "seed": seed}
    write_json(folder / "config.json", {**config, **tokenizer.config()}, kind="tokenizer-config")
    result = {**source, "model": method.value, "seed": seed, **metrics, "train_seconds": seconds}
    write_json(folder / "metrics.json", {**result, "versions": versions()}, kind="metrics")
    typer.echo(
        f"{metrics['items']:,} items, {metrics['unique_sids']:,} semantic IDs "
        f"({metrics['collision_rate']:.1%} of items share theirs), "
        f"{metrics['error_share']:.1%} of the variance unexplained; in {folder}"
    )


def _item_vectors(
    data: str | None, vectors: Path | None, text_encoder: TextEncoder, seed: int
) -> ItemVectors:
    from recops_models.data import named_split
    from recops_models.item_vectors import build_item_vectors, load_item_vectors

    if data is None:
        assert vectors is not None
        return load_item_vectors(vectors)
    dataset = load_data(data)
    print_findings(dataset.report)
    if vectors is not None:
        return load_item_vectors(vectors, dataset.item_vocabulary.ids)
    _, split = named_split(dataset)
    return build_item_vectors(dataset, split.train, text_encoder=text_encoder.value, seed=seed)


def _fit(tokenizer: RQKMeans, points: Tensor, item_ids: Tensor, seed: int) -> None:
    """Fit under a progress bar: one bar a level, its error beside it."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks = [
            bars.add_task(f"level {level}", total=tokenizer.iterations)
            for level in range(len(tokenizer.vocab_sizes))
        ]

        def show(level: int, iteration: int, error: float) -> None:
            bars.update(
                tasks[level],
                completed=iteration + 1,
                description=f"level {level}, error {error:.4g}",
            )

        tokenizer.fit(points, item_ids, seed=seed, progress=show)
