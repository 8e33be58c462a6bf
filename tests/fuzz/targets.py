"""What is fuzzed: all that recops exports, and all ops of its library."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

import recops

_SCHEMA_TYPES: dict[str, Any] = {
    "Tensor": torch.Tensor,
    "Optional[Tensor]": torch.Tensor | None,
    "List[Tensor]": list[torch.Tensor],
    "Optional[List[Tensor]]": list[torch.Tensor] | None,
    "int": int,
    "Optional[int]": int | None,
    "List[int]": list[int],
    "Optional[List[int]]": list[int] | None,
    "float": float,
    "bool": bool,
    "str": str,
}


@dataclass(frozen=True)
class Parameter:
    """An argument: its type, whether it may be left out, and what its docstring says."""

    name: str
    annotation: Any
    optional: bool
    text: str


@dataclass(frozen=True)
class Target:
    """A function to call: the expression that names it, and its arguments."""

    function: str
    parameters: tuple[Parameter, ...]
    reference: str | None

    @property
    def is_raw(self) -> bool:
        return self.function.startswith("torch.ops.")

    @property
    def is_method(self) -> bool:
        return self.function.partition(".")[0] in HOLDERS.values()


def public_targets() -> list[Target]:
    """Functions of ``recops.__all__``, and methods of its classes by their holder's variable."""
    found = []
    for name in recops.__all__:
        value = getattr(recops, name)
        if inspect.isclass(value):
            found += list(_methods(name, value))
        elif callable(value):
            known = hasattr(recops.reference, name) and name not in _CHANCE
            found.append(_target(f"recops.{name}", value, f"recops.reference.{name}", known))
    return found


_CHANCE = ("code_flip_rate",)
"""Estimates: the reference draws other noise."""

HOLDERS = {"SidTrie": "T", "SidCatalog": "C", "ItemMask": "M"}
"""Exported classes whose methods are fuzzed, and the variable that holds one."""


def _methods(name: str, kind: type) -> Iterator[Target]:
    yield _target(f"recops.{name}", kind)
    for method, value in vars(kind).items():
        if method.startswith("_"):
            continue
        if isinstance(value, staticmethod | classmethod):
            yield _target(f"recops.{name}.{method}", value.__func__)
        elif inspect.isfunction(value) and name in HOLDERS:
            yield _target(f"{HOLDERS[name]}.{method}", value)


def _target(function: str, value: Any, reference: str = "", known: bool = False) -> Target:
    of = value.__init__ if inspect.isclass(value) else value
    try:
        hints = typing.get_type_hints(value.__new__ if hasattr(value, "_fields") else of)
    except (NameError, AttributeError):
        hints = {}
    told = _told(inspect.getdoc(value) or "")
    parameters = tuple(
        Parameter(
            each.name,
            hints.get(each.name, Any),
            each.default is not each.empty,
            told.get(each.name) or told_anywhere(each.name),
        )
        for each in inspect.signature(value).parameters.values()
        if each.name not in ("self", "cls") and each.kind is not each.VAR_KEYWORD
    )
    return Target(function, parameters, reference if known else None)


def _told(docstring: str) -> dict[str, str]:
    """What a docstring says of each argument or attribute."""
    told: dict[str, str] = {}
    for section in re.findall(r"^(?:Args|Attributes):\n(.*?)(?:\n\S|\Z)", docstring, re.S | re.M):
        for name, text in re.findall(r"^    (\w+): (.*?)(?=^    \w|\Z)", section, re.S | re.M):
            told[name] = " ".join(text.split())
    return told


def raw_targets() -> list[Target]:
    """Every op of the library; what its arguments mean is read off the public functions."""
    found = []
    for name in sorted(torch._C._dispatch_get_all_op_names()):
        if not name.startswith("recops::"):
            continue
        op = name.removeprefix("recops::")
        public = getattr(recops, op.removesuffix("_backward"), None)
        own = _told(inspect.getdoc(public) or "")
        schema = getattr(torch.ops.recops, op).default._schema
        parameters = tuple(
            Parameter(
                argument.name,
                _SCHEMA_TYPES[str(argument.type)],
                argument.has_default_value(),
                own.get(argument.name) or told_anywhere(argument.name),
            )
            for argument in schema.arguments
        )
        found.append(Target(f"torch.ops.recops.{op}", parameters, None))
    return found


def told_anywhere(name: str) -> str:
    """What the first of the exported docstrings that gives its shape says of such an argument."""
    return _all_told().get(name, "")


@cache
def _all_told() -> dict[str, str]:
    told: dict[str, str] = {}
    for name in recops.__all__:
        value = getattr(recops, name)
        members = vars(value).values() if inspect.isclass(value) else ()
        for each in (value, *members):
            for argument, text in _told(inspect.getdoc(each) or "").items():
                if "`[" in text:
                    told.setdefault(argument, text)
    return told
