"""Ahead-of-time compilation of a ranker into one package file and a trie file."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn

import recops
from recops.files import new_file
from recops_models.export.programs import Scorer, programs
from recops_models.generative.path_ranker import PathRanker, RequestInputs
from recops_models.training.device import device_of, to_device, to_host

_FORMAT = "2"
"""Format of the package. Since format 2 ``encode`` may take the task and the user of a request."""


def trie_path(package: Path) -> Path:
    """Return the path of a package's trie: ``model.trie.safetensors`` for ``model.pt2``."""
    return package.with_suffix(".trie.safetensors")


def check_exportable(model: nn.Module, path: Path, *, name: str) -> None:
    """Check the arguments of :func:`export_model` without compiling.

    Raises:
        ValueError: ``path`` does not end in ``.pt2``, its folder does not exist, or the model is
            neither a PathRanker nor a Scorer, or ranks items that its beams did not find.
    """
    if path.suffix != ".pt2":
        raise ValueError(f"export: the file must end in .pt2, got {path.name}")
    if not path.parent.is_dir():
        raise ValueError(f"export: {path.parent} must be an existing folder")
    if not isinstance(model, PathRanker | Scorer):
        raise ValueError(
            f"export: the model must be a generative model or score all items, such as unirec, "
            f"tiger or sasrec, got {name}"
        )
    if isinstance(model, PathRanker) and not model.ranks_beams_only:
        raise ValueError(f"export: {name} must have candidates='beams', got further candidates")


def export_model(
    model: nn.Module,
    item_ids: Tensor,
    path: Path,
    *,
    name: str,
    user_ids: Tensor | None = None,
    tasks: Sequence[str] = (),
) -> list[Path]:
    """Compile a model's :func:`~recops_models.export.programs.programs` with AOTInductor.

    The trie of a PathRanker is written to :func:`trie_path`. Items with the same path are ordered
    by the model's prior, so that beam search needs no prior. A live catalogue can replace the trie.
    The package runs on the device type of the model, on CPUs with the instruction set of this
    machine, and with this torch version.

    The metadata of every program is text:

    - ``recops_model``, ``recops_format``, ``recops_version``, ``torch_version`` and ``isa``;
    - ``window``: T, the length of the histories;
    - ``told``: additional inputs of ``encode``, such as ``task,user``; empty for none;
    - ``steps``: number of decoding steps;
    - ``rescores``: ``yes`` if there is a program ``rescore``, else ``no``;
    - for a PathRanker also ``beams``, the default number of beams; ``vocab_sizes`` of its trie,
      such as ``4,256,256``; and ``tasks``, a JSON list of names.

    Args:
        model: trained model.
        item_ids: ``[N]`` i64 on the host, ascending: id of each item of the model.
        path: path of the package, ending in ``.pt2``.
        name: name of the model.
        user_ids: ``[U]`` i64, ascending: id of each user of the model. Used only if the model has
            user fields.
        tasks: names of the model's tasks in order; by default their numbers. Used only if the model
            has tasks.

    Returns:
        paths of the files that were written.

    Raises:
        ValueError: an argument is invalid, or the model cannot be exported.
        OSError: the disk is full. Then either both old files are unchanged, or the trie is
            missing and no reader accepts the package.
        RuntimeError: there is no C++ compiler, or it failed.
    """
    from torch._inductor import aot_compile
    from torch._inductor.package.package import package_aoti

    check_exportable(model, path, name=name)
    _check_ids("item_ids", item_ids)
    inputs = model.inputs if isinstance(model, PathRanker) else RequestInputs()
    _check_inputs(inputs, user_ids, tasks)
    trie = _trie(model, item_ids) if isinstance(model, PathRanker) else None
    ids = to_device((item_ids, user_ids), device_of(model))
    exported = programs(model.eval(), *ids)
    metadata = _metadata(model, name, tasks)
    options = {"aot_inductor.package": True, "aot_inductor.metadata": metadata}
    compiled = {}
    for part, program in exported.items():
        files = aot_compile(program.module(), program.example_inputs[0], options=options)
        assert isinstance(files, list)  # aot_compile returns a list for a package.
        compiled[part] = files
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / path.name
        package_aoti(str(package), compiled)
        with new_file(path) as file:
            file.write(package.read_bytes())
            # Without this, a failed write of the new trie would pair the old one with the package.
            trie_path(path).unlink(missing_ok=True)
    if trie is None:
        return [path]
    trie.save(trie_path(path))
    return [path, trie_path(path)]


def _check_ids(name: str, ids: Tensor) -> None:
    if ids.ndim != 1 or not bool((ids.diff() > 0).all()):
        raise ValueError(f"export: {name} must have 1 dimension and ascending values")


def _check_inputs(inputs: RequestInputs, user_ids: Tensor | None, tasks: Sequence[str]) -> None:
    if inputs.users:
        count = 0 if user_ids is None else len(user_ids)
        if user_ids is None or count != inputs.users:
            raise ValueError(f"export: user_ids must have {inputs.users} entries, got {count}")
        _check_ids("user_ids", user_ids)
    if inputs.tasks and tasks and len(tasks) != inputs.tasks:
        raise ValueError(f"export: tasks must have {inputs.tasks} names, got {len(tasks)}")


def _metadata(model: nn.Module, name: str, tasks: Sequence[str]) -> dict[str, str]:
    """Return the metadata that :func:`export_model` describes."""
    path_ranker = model if isinstance(model, PathRanker) else None
    inputs = RequestInputs() if path_ranker is None else path_ranker.inputs
    metadata = {
        "window": str(model.window),
        "told": ",".join(inputs.names),
        "steps": str(0 if path_ranker is None else path_ranker.paths.shape[1]),
        "rescores": "yes" if path_ranker is not None and path_ranker.rescores else "no",
        "recops_format": _FORMAT,
        "recops_model": name,
        "recops_version": version("recops"),
        "torch_version": torch.__version__,
        "isa": recops.cpu_isa(),
    }
    if path_ranker is not None:
        names = [*(tasks or map(str, range(inputs.tasks)))] if inputs.tasks else []
        metadata["beams"] = str(path_ranker.beams)
        metadata["vocab_sizes"] = ",".join(map(str, path_ranker.trie.vocab_sizes))
        metadata["tasks"] = json.dumps(names)
    return metadata


def _trie(model: PathRanker, item_ids: Tensor) -> recops.SidTrie:
    """Return the trie of the item ids. Items with the same path are in descending prior order."""
    if len(item_ids) != len(model.prior):
        count = len(model.prior)
        raise ValueError(f"export: item_ids must have {count} entries, got {len(item_ids)}")
    paths, prior = to_host((model.paths[1:] - 1, model.prior))
    order = prior.argsort(descending=True, stable=True)
    return recops.SidTrie.from_sids(
        paths[order].int(), item_ids[order], vocab_sizes=model.trie.vocab_sizes
    )
