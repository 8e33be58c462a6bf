"""``recops diagnose``: quality report of semantic IDs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recops_models.cli.application import (
    LARGEST_SEED,
    DeviceOption,
    JsonOption,
    app,
    load_data,
    make_folder,
    print_json,
)
from recops_models.printable import printable

if TYPE_CHECKING:
    from recops_models.tokenizers.diagnosis.inputs import DiagnosisInputs


@app.command()
def diagnose(
    source: Annotated[
        str,
        typer.Argument(
            help="Folder of `recops tokenize`, or of `recops train` for UniRec or TIGER; a folder "
            "with your own sids.parquet; or a data set with semantic IDs.",
            metavar="DIR|DATA",
            show_default=False,
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(help="Data set, if config.json names none or it has moved."),
    ] = None,
    vectors: Annotated[
        Path | None, typer.Option(help="File of vectors, if the one in config.json has moved.")
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            help="Item of each row of a .npy file of --vectors: `id` (ascending item ids), or a "
            "file of item ids. Default: the order in config.json.",
            metavar="id|FILE",
            show_default=False,
        ),
    ] = None,
    attributes: Annotated[
        str,
        typer.Option(
            help="Item columns, coarse to fine, that a decoder would generate before the codes. "
            "auto: the column with the fewest values.",
            metavar="NAME,…",
        ),
    ] = "auto",
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            max=LARGEST_SEED,
            help="Random seed. The same seed gives the same noise and samples.",
        ),
    ] = 0,
    as_json: JsonOption = False,
    device: DeviceOption = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            help="Output folder. Default: DIR, or runs/diagnose-DATA.", show_default=False
        ),
    ] = None,
) -> None:
    """Measure semantic IDs: usage, collisions, noise, exposure, behaviour and decoding cost.

    A `sids.parquet` of any program (item_id, c0, c1, …) is enough for the metrics of the codes.
    Errors, noise and capacity also need the tokenizer and the vectors. Exposure, retention and AUC
    need the data set that `config.json` names; held-out events serve as unseen pairs. For the
    item attributes, the report gives their mutual information with the codes in bits, compared
    with shuffled attributes. The page lists what is missing, and why.

    Writes `diagnosis.json` and `diagnosis.html`, a self-contained page.

    Example: `recops diagnose runs/sids`
    """
    from recops.files import write_file, write_json
    from recops_models.out_folder import TRAINING_KIND, out_folder
    from recops_models.tokenizers.diagnosis import diagnose as measure
    from recops_models.tokenizers.diagnosis.inputs import plane_of
    from recops_models.tokenizers.diagnosis.page import render
    from recops_models.tokenizers.sid_folder import CONFIG_KIND
    from recops_models.versions import versions

    if order is not None and vectors is None:
        raise typer.BadParameter("--order requires --vectors")
    columns = [name.strip() for name in attributes.split(",") if name.strip()]
    inputs = _open(source, data, vectors, order, columns)
    default = _default_folder(source)
    kind = CONFIG_KIND
    if (out or default).resolve() == Path(source).resolve() and inputs.is_of_training:
        kind = TRAINING_KIND
    with out_folder(make_folder(out or default), kind=kind) as folder:
        codes = inputs.codes
        diagnosis = measure(
            codes,
            inputs.tokenizer,
            vectors=inputs.vectors,
            exposure=inputs.exposure,
            pairs=inputs.pairs,
            attributes=inputs.attributes,
            seed=seed,
            device=device,
        )
        diagnosis["missing"] |= inputs.missing
        page = render(
            diagnosis,
            codes.numpy(),
            title=f"recops diagnose · {inputs.name}",
            exposure=None if inputs.exposure is None else inputs.exposure.numpy(),
            plane=plane_of(inputs),
            details={"Configuration": inputs.config, "Versions": versions()},
        )
        content = {"source": inputs.name, "seed": seed, "config": inputs.config, **diagnosis}
        write_json(
            folder / "diagnosis.json", {**content, "versions": versions()}, kind="sid-diagnosis"
        )
        write_file(folder / "diagnosis.html", page.encode())
    if as_json:
        print_json({"out": str(folder), **content})
        return
    for name, reason in diagnosis["missing"].items():
        typer.echo(printable(f"missing: {name}: {reason}"))
    paths = diagnosis["paths"]
    typer.echo(
        f"{diagnosis['items']:,} items, {paths['unique_sid']:,} semantic IDs, "
        f"{paths['uniquely_identified_item_rate']:.1%} of items have a unique one; "
        f"report: {folder / 'diagnosis.html'}"
    )


def _open(
    source: str, data: str | None, vectors: Path | None, order: str | None, attributes: list[str]
) -> DiagnosisInputs:
    from recops_models.tokenizers.diagnosis.inputs import find_sids, of_dataset, open_folder

    path = Path(source)
    if find_sids(path) is not None:
        return open_folder(path, data=data, vectors=vectors, order=order, attributes=attributes)
    if path.is_dir() and not _is_dataset(path):
        raise typer.BadParameter(
            f"{source}: holds no sids.parquet; name the folder of `recops tokenize --out`, or of "
            "`recops train unirec` or `tiger`"
        )
    return of_dataset(load_data(source), attributes)


def _is_dataset(folder: Path) -> bool:
    return any(folder.glob("interactions.*")) or any(folder.glob("*.inter.json"))


def _default_folder(source: str) -> Path:
    from recops_models.tokenizers.diagnosis.inputs import find_sids

    path = Path(source)
    return Path("runs") / f"diagnose-{path.name}" if find_sids(path) is None else path
