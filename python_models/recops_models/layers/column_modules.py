"""Modules by the names of columns, whatever these are."""

from __future__ import annotations

from torch import nn

# Attributes of a module: as a name, `type` would be read as the method. A torch that has more of
# them refuses, by its key, a state that was written before.
_TAKEN = frozenset(name.rstrip("_") for name in dir(nn.ModuleDict()))


class ColumnModules(nn.ModuleDict):
    """An ``nn.ModuleDict`` that takes every name, as ``type`` and ``shop.kind``, which torch
    refuses. In its keys, and so in a state's, names of torch's own end with ``_``, and ``%`` and
    ``.`` are ``%25`` and ``%2E``; other names are as they are.
    """

    def __getitem__(self, key: str) -> nn.Module:
        return super().__getitem__(_free(key))

    def __setitem__(self, key: str, module: nn.Module) -> None:
        super().__setitem__(_free(key), module)

    def __contains__(self, key: str) -> bool:
        return super().__contains__(_free(key))


def _free(name: str) -> str:
    """Different for different names."""
    if name.rstrip("_") in _TAKEN:
        name += "_"
    return name.replace("%", "%25").replace(".", "%2E")
