"""Module dictionary whose keys are names of columns."""

from __future__ import annotations

from torch import nn

# Attributes of a module, which cannot be names of submodules. A torch with more attributes refuses
# an older state that uses one of them as a key.
_RESERVED = frozenset(name.rstrip("_") for name in dir(nn.ModuleDict()))


class ColumnModules(nn.ModuleDict):
    """``nn.ModuleDict`` that accepts every name, such as ``type`` and ``shop.kind``.

    Torch refuses such names as keys, so keys are encoded. A name that torch reserves gets a
    trailing ``_``, ``%`` becomes ``%25`` and ``.`` becomes ``%2E``. Other names are unchanged.

    Example:
        >>> from torch import nn
        >>> from recops_models.layers.column_modules import ColumnModules
        >>> tables = ColumnModules({"shop.kind": nn.Embedding(3, 4), "type": nn.Embedding(2, 4)})
        >>> tables["shop.kind"]
        Embedding(3, 4)
        >>> list(tables.keys())
        ['shop%2Ekind', 'type_']
    """

    def key(self, name: str) -> str:
        """Return the key under which torch stores the module ``name``."""
        return _key(name)

    def __getitem__(self, key: str) -> nn.Module:
        return super().__getitem__(_key(key))

    def __setitem__(self, key: str, module: nn.Module) -> None:
        super().__setitem__(_key(key), module)

    def __contains__(self, key: str) -> bool:
        return super().__contains__(_key(key))


def _key(name: str) -> str:
    """Return the key of a name; different names have different keys."""
    if name.rstrip("_") in _RESERVED:
        name += "_"
    return name.replace("%", "%25").replace(".", "%2E")
