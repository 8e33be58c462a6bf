"""A ranker's programs, compiled ahead of time into one file, and its trie beside it."""

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

_FORMAT = "2"
"""Since 2 ``encode`` may take who asks, and where, which readers of 1 do not give."""


def trie_path(package: Path) -> Path:
    """Where the trie of a package is: ``model.trie.safetensors`` beside ``model.pt2``."""
    return package.with_suffix(".trie.safetensors")


def check_exportable(model: nn.Module, path: Path, *, name: str) -> None:
    """Whether :func:`export_model` would take them, at no cost.

    Raises:
        ValueError: another ending than ``.pt2``; no folder for it; a model that neither spells nor
            scores.
    """
    if path.suffix != ".pt2":
        raise ValueError(f"export: the file must end in .pt2, got {path.name}")
    if not path.parent.is_dir():
        raise ValueError(f"export: {path.parent} must be a folder that is there")
    if not isinstance(model, PathRanker | Scorer):
        raise ValueError(
            f"export: the model must be one that spells items or scores all of them, as unirec, "
            f"tiger and sasrec; got {name}"
        )


def export_model(
    model: nn.Module,
    item_ids: Tensor,
    path: Path,
    *,
    name: str,
    user_ids: Tensor | None = None,
    tasks: Sequence[str] = (),
) -> list[Path]:
    """Compile a model's :func:`~recops_models.export.programs.programs` by AOTInductor to ``path``.

    Of what spells, the trie is left at :func:`trie_path`, with items of one path in the order of
    the model's prior, so that beam search needs no prior: a live catalogue swaps another one in.
    What is compiled runs on CPUs that have the instructions of this one, and with this version of
    torch.

    Every program's metadata tell, all as text:

    - ``recops_model``, ``recops_format``, ``recops_version``, ``torch_version`` and ``isa``;
    - ``window``: T of the histories that it takes;
    - ``told``: what ``encode`` takes beside them, such as ``task,user``; empty: nothing;
    - ``steps``: how many there are;
    - ``rescores``: ``yes`` where there is ``rescore``, else ``no``;
    - of what spells ``beams``, the paths that a request follows unless more items are asked for;
      ``vocab_sizes``, which its trie must have, as ``4,256,256``; and ``tasks``, a JSON list of
      their names.

    Args:
        model: trained.
        item_ids: ``[N]`` i64, ascending: the id of each of the model's items.
        path: ends in ``.pt2``.
        name: of the model.
        user_ids: ``[U]`` i64, ascending: the id of each of the model's users, where it has fields
            of them; else they are not looked at.
        tasks: the names of the tasks that the model tells apart, in the order of their numbers; by
            default they are called by these. Else they are not looked at.

    Returns:
        the files that were written.

    Raises:
        ValueError: another ending; no folder for the file; ids or tasks of another number, or ids
            that do not ascend; a model that cannot be exported.
        OSError: no room; both files stay as they were, or the trie is missing, without which no
            reader takes a package.
        RuntimeError: there is no C++ compiler, or it failed.
    """
    from torch._inductor import aot_compile
    from torch._inductor.package.package import package_aoti

    check_exportable(model, path, name=name)
    _check_ids("item_ids", item_ids)
    inputs = model.inputs if isinstance(model, PathRanker) else RequestInputs()
    _check_inputs(inputs, user_ids, tasks)
    trie = _trie(model, item_ids) if isinstance(model, PathRanker) else None
    made = programs(model.eval(), item_ids, user_ids)
    metadata = _metadata(model, name, tasks)
    options = {"aot_inductor.package": True, "aot_inductor.metadata": metadata}
    compiled = {}
    for part, program in made.items():
        files = aot_compile(program.module(), program.example_inputs[0], options=options)
        assert isinstance(files, list)  # As it says of packages.
        compiled[part] = files
    with tempfile.TemporaryDirectory() as folder:
        package = Path(folder) / path.name
        package_aoti(str(package), compiled)
        with new_file(path) as file:
            file.write(package.read_bytes())
            # Another package's trie would decode other items, were the new one not written.
            trie_path(path).unlink(missing_ok=True)
    if trie is None:
        return [path]
    trie.save(trie_path(path))
    return [path, trie_path(path)]


def _check_ids(name: str, ids: Tensor) -> None:
    if ids.ndim != 1 or not bool((ids.diff() > 0).all()):
        raise ValueError(f"export: {name} must be [N] and ascend")


def _check_inputs(inputs: RequestInputs, user_ids: Tensor | None, tasks: Sequence[str]) -> None:
    if inputs.users:
        count = 0 if user_ids is None else len(user_ids)
        if user_ids is None or count != inputs.users:
            raise ValueError(f"export: user_ids must be {inputs.users}, got {count}")
        _check_ids("user_ids", user_ids)
    if inputs.tasks and tasks and len(tasks) != inputs.tasks:
        raise ValueError(f"export: tasks must be {inputs.tasks} names, got {len(tasks)}")


def _metadata(model: nn.Module, name: str, tasks: Sequence[str]) -> dict[str, str]:
    """See :func:`export_model`."""
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
    """Of the items' own ids; of one path the one with the highest prior comes first."""
    if len(item_ids) != len(model.prior):
        raise ValueError(f"export: item_ids must be {len(model.prior)}, got {len(item_ids)}")
    order = model.prior.argsort(descending=True, stable=True)
    return recops.SidTrie.from_sids(
        (model.paths[1:] - 1)[order].int(), item_ids[order], vocab_sizes=model.trie.vocab_sizes
    )
