"""``recops diagnose``: the science of semantic IDs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from recops_models.cli.application import LARGEST_SEED, app, load_data, make_folder
from recops_models.printable import printable

if TYPE_CHECKING:
    from recops_models.tokenizers.diagnosis.inputs import DiagnosisInputs


@app.command()
def diagnose(
    source: Annotated[
        str,
        typer.Argument(
            help="The folder of `recops tokenize`, or of `recops train` for UniRec or TIGER; a "
            "folder with your own sids.parquet; or a data set that has semantic IDs.",
            metavar="DIR|DATA",
            show_default=False,
        ),
    ],
    data: Annotated[
        str | None,
        typer.Option(help="The data set, where config.json names none or it has moved."),
    ] = None,
    vectors: Annotated[
        Path | None, typer.Option(help="The vectors' file, where config.json's has moved.")
    ] = None,
    order: Annotated[
        str | None,
        typer.Option(
            help="The item of each row of --vectors, a .npy file: `id` (ascending item ids), or a "
            "file of item ids. Default: the order in config.json.",
            metavar="id|FILE",
            show_default=False,
        ),
    ] = None,
    attributes: Annotated[
        str,
        typer.Option(
            help="Columns of the items, coarse to fine, that a decoder would spell before the "
            "codes; auto: the one with the fewest values.",
            metavar="NAME,…",
        ),
    ] = "auto",
    seed: Annotated[
        int, typer.Option(min=0, max=LARGEST_SEED, help="Same seed, same noise and samples.")
    ] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="The folder; default: DIR, or runs/diagnose-DATA.", show_default=False),
    ] = None,
) -> None:
    """Tell how good semantic IDs are: use, collisions, noise, exposure, behaviour, decoding cost.

    A lone `sids.parquet` (item_id, c0, c1, …; of any program) is enough for what codes alone tell.
    Errors, noise and capacity need the tokenizer and the vectors beside it; exposure, retention and
    AUC the data set that `config.json` names: training events, and held-out ones as pairs that the
    vectors never saw. Its attributes tell how much of the codes they say, in bits, beside shuffled
    ones. The page says what is missing, and why.

    Leaves `diagnosis.json` and `diagnosis.html`, one self-contained page.

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
        raise typer.BadParameter("--order says what the rows of --vectors follow: name both")
    columns = [name.strip() for name in attributes.split(",") if name.strip()]
    found = _open(source, data, vectors, order, columns)
    default = _default(source)
    kind = CONFIG_KIND
    if (out or default).resolve() == Path(source).resolve() and found.is_of_training:
        kind = TRAINING_KIND
    with out_folder(make_folder(out or default), kind=kind) as folder:
        codes = found.codes
        diagnosis = measure(
            codes,
            found.tokenizer,
            vectors=found.vectors,
            exposure=found.exposure,
            pairs=found.pairs,
            attributes=found.attributes,
            seed=seed,
        )
        diagnosis["missing"] |= found.missing
        page = render(
            diagnosis,
            codes.numpy(),
            title=f"recops diagnose · {found.name}",
            exposure=None if found.exposure is None else found.exposure.numpy(),
            plane=plane_of(found),
            details={"Configuration": found.config, "Versions": versions()},
        )
        content = {"source": found.name, "seed": seed, "config": found.config, **diagnosis}
        write_json(
            folder / "diagnosis.json", {**content, "versions": versions()}, kind="sid-diagnosis"
        )
        write_file(folder / "diagnosis.html", page.encode())
    for what, why in diagnosis["missing"].items():
        typer.echo(printable(f"missing: {what}: {why}"))
    paths = diagnosis["paths"]
    typer.echo(
        f"{diagnosis['items']:,} items, {paths['unique_sid']:,} semantic IDs, "
        f"{paths['uniquely_identified_item_rate']:.1%} of items alone on theirs; "
        f"the page: {folder / 'diagnosis.html'}"
    )


def _open(
    source: str, data: str | None, vectors: Path | None, order: str | None, attributes: list[str]
) -> DiagnosisInputs:
    from recops_models.tokenizers.diagnosis.inputs import find_sids, of_dataset, open_folder

    path = Path(source)
    if find_sids(path) is not None:
        return open_folder(path, data=data, vectors=vectors, order=order, attributes=attributes)
    if path.is_dir() and not _is_data(path):
        raise typer.BadParameter(
            f"{source}: holds no sids.parquet; name the folder of `recops tokenize --out`, or of "
            "`recops train unirec` or `tiger`"
        )
    return of_dataset(load_data(source), attributes)


def _is_data(folder: Path) -> bool:
    return any(folder.glob("interactions.*")) or any(folder.glob("*.inter.json"))


def _default(source: str) -> Path:
    from recops_models.tokenizers.diagnosis.inputs import find_sids

    path = Path(source)
    return Path("runs") / f"diagnose-{path.name}" if find_sids(path) is None else path
