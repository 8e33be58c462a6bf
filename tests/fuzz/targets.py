"""Targets of the fuzzer: everything that recops exports, and every op of its library."""

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
    """A parameter: its type, whether it has a default, and its description in a docstring."""

    name: str
    annotation: Any
    optional: bool
    text: str


@dataclass(frozen=True)
class Target:
    """A function to call: an expression that evaluates to it, its parameters and its reference."""

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
    """Return the functions in ``recops.__all__``, and the methods of its holders."""
    targets = []
    for name in recops.__all__:
        value = getattr(recops, name)
        if inspect.isclass(value):
            targets += list(_methods(name, value))
        elif callable(value):
            has_reference = hasattr(recops.reference, name) and name not in _RANDOM
            reference = f"recops.reference.{name}" if has_reference else None
            targets.append(_target(f"recops.{name}", value, reference))
    return targets


_RANDOM = ("code_flip_rate",)
"""Estimates: the reference draws other noise."""

PATHS = frozenset({"path", "folder", "folder_or_repo"})
"""Parameters that name a file or a folder."""

_REMOTE = ("push_to_hub",)
"""Methods that reach the network."""

HOLDERS = {"SidTrie": "T", "SidCatalog": "C", "ItemMask": "M"}
"""Exported classes whose methods are fuzzed, and the variable of an instance."""


def _methods(name: str, kind: type) -> Iterator[Target]:
    yield _target(f"recops.{name}", kind)
    for method, value in vars(kind).items():
        if method.startswith("_") or method in _REMOTE:
            continue
        if isinstance(value, staticmethod | classmethod):
            yield _target(f"recops.{name}.{method}", value.__func__)
        elif inspect.isfunction(value) and name in HOLDERS:
            yield _target(f"{HOLDERS[name]}.{method}", value)


def _target(function: str, value: Any, reference: str | None = None) -> Target:
    constructor = value.__init__ if inspect.isclass(value) else value
    try:
        hints = typing.get_type_hints(value.__new__ if hasattr(value, "_fields") else constructor)
    except (NameError, AttributeError):
        hints = {}
    parameters = []
    for each in inspect.signature(value).parameters.values():
        annotation = hints.get(each.name, Any)
        if each.kind is not each.VAR_KEYWORD and each.name not in ("self", "cls"):
            has_default = each.default is not each.empty
            text = description(value, each.name)
            parameters.append(Parameter(each.name, annotation, has_default, text))
    return Target(function, tuple(parameters), reference)


def raw_targets() -> list[Target]:
    """Return all ops of the library, with the descriptions of the public functions' parameters."""
    targets = []
    for name in sorted(torch._C._dispatch_get_all_op_names()):
        if not name.startswith("recops::"):
            continue
        op = name.removeprefix("recops::")
        public = getattr(recops, op.partition("_backward")[0], None)
        schema = getattr(torch.ops.recops, op).default._schema
        parameters = tuple(
            Parameter(
                argument.name,
                _SCHEMA_TYPES[str(argument.type)],
                argument.has_default_value(),
                description(public, argument.name),
            )
            for argument in schema.arguments
        )
        targets.append(Target(f"torch.ops.recops.{op}", parameters, None))
    return targets


def description(function: Any, name: str) -> str:
    """Return what docstrings say about a parameter, preferably with its shape.

    The function's own docstring comes first, then those that it refers to ("as in
    :func:`recops.coaction`"), then any exported docstring that gives a shape.
    """
    own = _descriptions(function)
    references = re.findall(r"as in :func:`(?:recops\.)?(\w+)`", " ".join(own.values()))
    others = [_descriptions(getattr(recops, other)).get(name, "") for other in references]
    texts = [text for text in (own.get(name, ""), *others) if text]
    shaped = [text for text in texts if "`[" in text]
    return (shaped or texts or [shape_anywhere(name)])[0]


def shape_anywhere(name: str) -> str:
    """Return the first description with a shape of a parameter ``name``, or an empty string."""
    return _shapes().get(name, "")


@cache
def _shapes() -> dict[str, str]:
    shapes: dict[str, str] = {}
    for exported in recops.__all__:
        value = getattr(recops, exported)
        members = vars(value).values() if inspect.isclass(value) else ()
        for each in (value, *members):
            for name, text in _descriptions(each).items():
                if "`[" in text:
                    shapes.setdefault(name, text)
    return shapes


def _descriptions(documented: Any) -> dict[str, str]:
    """Return the description of each argument or attribute in a docstring."""
    docstring = inspect.getdoc(documented) or ""
    texts: dict[str, str] = {}
    for section in re.findall(r"^(?:Args|Attributes):\n(.*?)(?:\n\S|\Z)", docstring, re.S | re.M):
        for name, text in re.findall(r"^    (\w+): (.*?)(?=^    \w|\Z)", section, re.S | re.M):
            texts[name] = " ".join(text.split())
    return texts
