"""A ranker's programs, compiled ahead of time into one file, and its trie beside it."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

import recops
from recops.files import write_file
from recops_models.export.programs import Scorer, programs
from recops_models.generative.speller import Speller, ToldSpeller

_FORMAT = "1"


def trie_path(package: Path) -> Path:
    """Where the trie of a package is: ``model.trie.safetensors`` beside ``model.pt2``."""
    return package.with_suffix(".trie.safetensors")


def check_exportable(model: nn.Module, path: Path, *, name: str) -> None:
    """Whether :func:`export_model` would take them, at no cost.

    Raises:
        ValueError: another ending than ``.pt2``; a model that neither spells nor scores, or one
            that must be told who asks, or where.
    """
    if path.suffix != ".pt2":
        raise ValueError(f"export: the file must end in .pt2, got {path.name}")
    if not isinstance(model, Speller | Scorer):
        raise ValueError(
            f"export: the model must be one that spells items or scores all of them, as unirec, "
            f"tiger and sasrec; got {name}"
        )
    if isinstance(model, ToldSpeller) and model.must_be_told:
        raise ValueError(
            "export: the model must go by histories alone, which is all that programs take; got "
            f"{name} with scenes or fields of users"
        )


def export_model(model: nn.Module, item_ids: Tensor, path: Path, *, name: str) -> list[Path]:
    """Compile a model's :func:`~recops_models.export.programs.programs` by AOTInductor to ``path``.

    Of what spells, the trie is left at :func:`trie_path`, with items of one path in the order of
    the model's prior, so that beam search needs no prior: a live catalogue swaps another one in.
    What is compiled runs on CPUs that have the instructions of this one, and with this version of
    torch.

    Args:
        model: trained.
        item_ids: ``[N]`` i64, ascending: the id of each of the model's items.
        path: ends in ``.pt2``.
        name: of the model. Every program's metadata tell it, ``window`` (T of the histories that
            it takes), the number of ``steps``, whether it ``rescores``, and the
            versions.

    Returns:
        the files that were written.

    Raises:
        ValueError: another ending; ids of another number, or that do not ascend; a model that
            cannot be exported.
        OSError: no room; files that were there stay.
        RuntimeError: there is no C++ compiler, or it failed.
    """
    from torch._inductor import aot_compile
    from torch._inductor.package.package import package_aoti

    check_exportable(model, path, name=name)
    if item_ids.ndim != 1 or not bool((item_ids.diff() > 0).all()):
        raise ValueError("export: item_ids must be [N] and ascend")
    trie = _trie(model, item_ids) if isinstance(model, Speller) else None
    made = programs(model.eval(), item_ids)
    told = {
        "window": str(model.window),
        "steps": str(sum(part.startswith("step_") for part in made)),
        "rescores": "yes" if "rescore" in made else "no",
        "recops_format": _FORMAT,
        "recops_model": name,
        "recops_version": version("recops"),
        "torch_version": torch.__version__,
        "isa": recops.cpu_isa(),
    }
    options = {"aot_inductor.package": True, "aot_inductor.metadata": told}
    compiled = {}
    for part, program in made.items():
        files = aot_compile(program.module(), program.example_inputs[0], options=options)
        assert isinstance(files, list)  # As it says of packages.
        compiled[part] = files
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / path.name
        package_aoti(str(package), compiled)
        write_file(path, package.read_bytes())
    if trie is None:
        return [path]
    trie.save(trie_path(path))
    return [path, trie_path(path)]


def _trie(model: Speller, item_ids: Tensor) -> recops.SidTrie:
    """Of the items' own ids; of one path the one with the highest prior comes first."""
    if len(item_ids) != len(model.prior):
        raise ValueError(f"export: item_ids must be {len(model.prior)}, got {len(item_ids)}")
    order = model.prior.argsort(descending=True, stable=True)
    return recops.SidTrie.from_sids(
        (model.paths[1:] - 1)[order].int(), item_ids[order], vocab_sizes=model.trie.vocab_sizes
    )
