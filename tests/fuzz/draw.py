"""Random arguments as expressions: mostly valid by the docstring, sometimes arbitrary values."""

from __future__ import annotations

import collections.abc
import dataclasses
import itertools
import random
import re
import types
import typing
from collections.abc import Iterator
from typing import Any

import torch

import recops
from fuzz.call import Call
from fuzz.targets import PATHS, Parameter, Target, shape_anywhere

_SIZES = [0, 1, 2, 3, 4, 5, 8, 17, 33, 65]
_FLOATS = ["float32", "float32", "float64", "bfloat16", "float16"]
_DTYPES = [*_FLOATS, "int64", "int32", "int16", "int8", "uint8", "uint16", "bool", "complex64"]
_INTS = ["-1", "0", "1", "2", "7", "2**31 - 1", "2**31", "2**62", "2**63 - 1", "-2**63", "2**63"]
_INTS += ["2**70", "True", "None", "1.5", "'2'", "nan", "torch.tensor(2)"]
_REALS = ["0.0", "-1.0", "nan", "inf", "-inf", "1e-320", "1e308", "None", "'x'", "3", "10**400"]
_ARBITRARY = ["None", "0", "'x'", "[]", "()", "{}", "object()", "[None]", "torch.zeros(())", "1.5"]
_HOLDER_FIELDS = ("T.", "M.", "X.")
_TENSORS = ("torch.", "(torch.", *_HOLDER_FIELDS)
_TRIE = ("first_child", "tokens", "item_ids", "item_rows", "id_order", "stamp")
_DIMENSION = re.compile(r"(\d*)([A-Za-z]\w*)?(?: ?([+−-]) ?(\d+))?")


class Drawing:
    """Random call of one function. Its shapes share sizes, and its numbers have one dtype.

    Half of the calls are tame: all arguments have the types and shapes of the docstring.

    Args:
        target: the function.
        seed: seed of all choices.
    """

    def __init__(self, target: Target, seed: int) -> None:
        self.target = target
        self.random = random.Random(seed)
        self.tame = self.random.random() < 0.5
        self.dtype = self.random.choice(_FLOATS)
        self.sizes: dict[str, int] = {}
        self.lines: dict[str, str] = {}

    def call(self) -> Call:
        """Return the call; a tame one can be compared with the reference."""
        for parameter in sorted(self.target.parameters, key=_holds_tensors):
            if parameter.optional and self.random.random() < 0.6:
                continue
            self.lines[parameter.name] = self._argument(parameter)
        passed = tuple(p.name for p in self.target.parameters if p.name in self.lines)
        holders = self._holders()
        if not self.tame and passed and self.random.random() < 0.15:
            self._alias(passed)
        by_rounding = any("'cosine'" in expression for expression in self.lines.values())
        reference = self.target.reference if self.tame and not by_rounding else None
        return Call(self.target.function, (*holders, *self.lines.items()), passed, reference)

    def _holders(self) -> list[tuple[str, str]]:
        """Return definitions of the trie, the mask, the bans and the catalogue, as far as used."""
        text = " ".join([self.target.function, *self.lines.values()])
        depth, items, vocab = (
            self.size("L") or 1,
            self.size("num_items"),
            self.random.choice([3, 9]),
        )
        sids = f"torch.randint(0, {vocab}, ({items}, {depth}), generator={self._generator()})"
        definitions = {
            "C": f"recops.SidCatalog({[vocab] * depth})",
            "T": f"recops.SidTrie.from_sids({sids}, vocab_sizes={vocab})",
            "M": f"T.mask(keep=torch.arange(0, {items}, 2))",
            "X": f"recops.item_bans(T, [torch.arange({items})] * {self.size('B')})",
        }
        used = {name for name in definitions if re.search(rf"\b{name}\b", text)}
        if used & {"M", "X"}:
            used.add("T")
        return [(name, definitions[name]) for name in ("C", "T", "M", "X") if name in used]

    def _alias(self, passed: tuple[str, ...]) -> None:
        name = self.random.choice(passed)
        before = list(self.lines)[: list(self.lines).index(name)]
        if before:
            self.lines[name] = self.random.choice(before)

    def size(self, symbol: str) -> int:
        """Return the size of the dimension named ``symbol`` in this call."""
        if symbol not in self.sizes:
            self.sizes[symbol] = self.random.choice(_SIZES)
        return self.sizes[symbol]

    def _argument(self, parameter: Parameter) -> str:
        if not self.tame and self.random.random() < 0.03:
            return self.random.choice(_ARBITRARY)
        special = self._special(parameter)
        if special is None:
            return self._value(parameter.annotation, parameter)
        return special if self.tame or self.random.random() < 0.7 else self._changed(special)

    def _special(self, parameter: Parameter) -> str | None:
        """Return an argument whose relation to others is not in the signature, or None."""
        name, annotation = parameter.name, parameter.annotation
        if self.target.is_raw and name in _TRIE and "trie" in self.target.function:
            return f"T.{name}" if annotation is torch.Tensor else f"[T.{name}]"
        if name == "depth":
            return "T.depth" if self.random.random() < 0.8 else self._int()
        if name == "nodes":
            shape = self._shape(parameter.text)
            return f"torch.randint(-1, 9, {shape}, generator={self._generator()})"
        if name.startswith("grad") and self.random.random() < 0.7:
            likely = next((p.text for p in self.target.parameters if "`[" in p.text), "")
            return self._tensor_of(self._shape(likely), self.dtype)
        if name == "dims":
            self.sizes["d0"] = self.size("d0") or 1
            dims = [self.sizes["d0"], *(self.random.choice([1, 3, 4]) for _ in range(2))]
            self.sizes["P"] = sum(a * b for a, b in itertools.pairwise(dims))
            return str(dims)
        if name == "sizes":
            sizes = [
                self.random.choice([1, 2, 5, 16, 33]) for _ in range(self.random.choice([1, 2, 3]))
            ]
            self.sizes |= {"L": len(sizes), "sum": sum(sizes)}
            return str(sizes)
        if name == "layers":
            wide, hidden = 2 * self.size("d"), self.random.choice([1, 4, 16])
            shapes = [(hidden, wide), (hidden,), (1, hidden), (1,)]
            return f"[{', '.join(self._tensor_of(shape, self.dtype) for shape in shapes)}]"
        if name == "offsets":
            return f"torch.tensor([0, {self.random.choice(_SIZES)}])"
        if self.target.is_raw and name in _RAW_LISTS:
            return _RAW_LISTS[name]
        if name == "codewords":
            return self._tensor_of((self.size("sum"), self.size("D")), self.dtype)
        return None

    def _value(self, kind: Any, parameter: Parameter) -> str:
        if "device" in parameter.name:
            return self.random.choice(["'cpu'", "'meta'"])
        if parameter.name in PATHS:
            return self.random.choice(["'nowhere/at/all'", "'saved'", "'.'"])
        origin, arguments = typing.get_origin(kind), typing.get_args(kind)
        match kind:
            case torch.Tensor:
                return self._tensor(parameter)
            case recops.SidTrie:
                return (
                    "T" if self.tame or self.random.random() < 0.7 else self._hand_made("T", _TRIE)
                )
            case recops.ItemMask:
                fields = ("words", "stamp")
                return (
                    "M" if self.tame or self.random.random() < 0.7 else self._hand_made("M", fields)
                )
            case recops.ItemBans:
                fields = ("positions", "offsets", "stamps")
                return (
                    "X" if self.tame or self.random.random() < 0.7 else self._hand_made("X", fields)
                )
        if kind is bool:
            return self.random.choice(
                ["True", "False"] if self.tame else ["True", "False", "None", "2"]
            )
        if kind is int:
            return self._int()
        if kind is float:
            return self.random.choice(["0.5", "1.0", "1e-8"] if self.tame else _REALS)
        if kind is types.NoneType:
            return "None"
        if kind is str:
            quoted = re.findall(r"\"+(\w+)\"+", parameter.text)
            words = [*quoted, *_WORDS.get(parameter.name, ["sum", "x"])]
            return repr(self.random.choice(words if self.tame else [*words, "", "\0", "ü"]))
        if origin is typing.Literal:
            return repr(self.random.choice(arguments if self.tame else [*arguments, "", None]))
        if origin in (typing.Union, types.UnionType):
            first = self.random.random() < 0.6
            return self._value(arguments[0] if first else self.random.choice(arguments), parameter)
        if origin is tuple and Ellipsis not in arguments:
            return f"({', '.join(self._elements(arguments, parameter))},)"
        if origin in (list, tuple, collections.abc.Sequence, collections.abc.Iterable):
            count = self.random.choice([1, 2, 3] if self.tame else [0, 1, 2, 3, 7])
            inner = dataclasses.replace(parameter, text=_element_text(parameter.text))
            return f"[{', '.join(self._value(arguments[0], inner) for _ in range(count))}]"
        if origin is collections.abc.Callable:
            shape = (
                f"({self.size('B')}, 1 if parents is None else parents.shape[1], {self.size('V')})"
            )
            return f"lambda tokens, parents: torch.zeros({shape}, dtype=torch.{self.dtype})"
        return (
            self._tensor(parameter)
            if self.random.random() < 0.7
            else self.random.choice(_ARBITRARY)
        )

    def _elements(self, kinds: tuple[Any, ...], parameter: Parameter) -> Iterator[str]:
        """Yield the elements of a tuple; the docstring may name them, as in ``(weight, ids)``."""
        named = re.search(r"``\(([\w, ]+)\)``", parameter.text)
        names = named[1].split(", ") if named else []
        for index, kind in enumerate(kinds):
            name = names[index] if len(names) == len(kinds) else parameter.name
            own = re.search(rf"``{name}`` is (.*?)(?=``\w+`` is |\Z)", parameter.text)
            text = own[1] if own else shape_anywhere(name)
            element = Parameter(name, kind, False, text)
            yield self._special(element) or self._value(kind, element)

    def _hand_made(self, holder: str, fields: tuple[str, ...]) -> str:
        field = self.random.choice(fields)
        tensor = f"{holder}.{field}"
        return f"dataclasses.replace({holder}, {field}={self._changed(tensor)})"

    def _int(self) -> str:
        return self.random.choice(
            ["1", "2", "3", "4", "8"] if self.tame else [*_INTS, "1", "2", "3", "4"]
        )

    def _shape(self, text: str) -> tuple[int, ...]:
        """Return one of the shapes in ``[…]`` in the docstring, or a random one."""
        shapes = re.findall(r"\[([^\[\]]*)\]`", text)
        shapes = [shape for shape in shapes if "_" not in shape or len(shapes) == 1]
        if not shapes:
            return tuple(
                self.random.choice(_SIZES) for _ in range(self.random.choice([1, 1, 2, 2, 3]))
            )
        return tuple(
            self._dimension(part.strip())
            for part in self.random.choice(shapes).split(",")
            if part.strip()
        )

    def _dimension(self, text: str) -> int:
        match = _DIMENSION.fullmatch(text)
        if match is None or not text:
            return self.random.choice(_SIZES)
        times, symbol, sign, more = match.groups()
        if symbol and "_" in symbol:  # The size differs between the elements of a list.
            return self.random.choice(_SIZES)
        size = int(times or 1) * (1 if symbol is None else self.size(symbol))
        return max(0, size + int(more or 0) * (1 if sign == "+" else -1))

    def _tensor(self, parameter: Parameter) -> str:
        text = parameter.text
        shape = self._shape(text)
        integers = re.search(
            r"\bint(32|64)|integer|uint8|index|ids|codes|lengths", f"{text} {parameter.name}"
        )
        if "float" in text or "dtype" in text or not integers:
            tensor = self._tensor_of(shape, self.dtype)
            if re.search("at least 0|not negative|≥ 0", text):
                tensor = f"{tensor}.abs()"
        else:
            dtype = "uint8" if "uint8" in text else self.random.choice(["int64", "int32"])
            high = max(1, self.random.choice([1, 2, 3, *self.sizes.values()]))
            drawn = f"torch.randint(0, {high}, {shape}, generator={self._generator()})"
            tensor = f"{drawn}.to(torch.{dtype})"
        if self.tame:
            return tensor if self.random.random() < 0.6 else self._viewed(tensor)
        return tensor if self.random.random() < 0.5 else self._changed(tensor)

    def _tensor_of(self, shape: tuple[int, ...], dtype: str) -> str:
        # Sums of integers need no rounding, so the nearest codeword does not depend on it.
        return f"torch.randint(-3, 4, {shape}, generator={self._generator()}).to(torch.{dtype})"

    def _generator(self) -> str:
        return f"torch.Generator().manual_seed({self.random.randrange(100)})"

    def _viewed(self, tensor: str) -> str:
        """Return a tensor of the same values in other strides, or of their negatives."""
        views = [f"torch.stack([{tensor}, {tensor}], -1)[..., 1]"]
        if _dtype(tensor) in _FLOATS:
            views += [f"torch._neg_view({tensor})", f"{tensor}.requires_grad_()"]
        return self.random.choice(views)

    def _changed(self, value: str) -> str:
        """Return another value for ``value``; a tensor may change its type or shape."""
        if not value.startswith(_TENSORS) or value == "T.depth":
            return self.random.choice([*_INTS, *_ARBITRARY, f"({value} * 2)", f"({value} * 5000)"])
        if ".to_sparse()" in value:  # Few functions take a sparse tensor.
            return value
        dtype = _dtype(value)
        changes = [
            self._viewed(value),
            f"{value}.to('meta')",
            f"{value}.to(torch.{self.random.choice(_DTYPES)})",
            f"{value}.transpose(0, -1)",
            f"torch.cat([{value}] * 3)[1:]",
            f"torch.nn.Parameter({value}, requires_grad={dtype in _FLOATS})",
            f"{value}.flip(0)",
            f"{value}[:1].expand_as({value})",
            f"{value}[:0]",
            f"{value}[1:]",
            f"{value}.unsqueeze(0)",
            f"{value}.flatten()",
            f"torch.empty({self.random.choice(['2**40, 0', '0, 2**40', '0', '1, 0, 1', '()'])})",
            f"torch.full_like({value}, {self.random.choice(_fills(dtype))})",
        ]
        if "'meta'" not in value:
            changes.append(f"{value}.to_sparse()")
        if dtype in ("float32", "float64", "float16"):
            changes.append(f"torch.complex({value}, {value}).conj().imag")
        factors = ["-1", "1e30", "1e-40", *(["2**40"] if dtype in ("int64", *_FLOATS) else [])]
        changes.append(f"({value} * {self.random.choice(factors)})")
        changed = self.random.choice(changes)
        return changed if self.random.random() < 0.8 else self._changed(changed)


def _dtype(tensor: str) -> str:
    """Return the dtype of an expression, that of its last conversion; without one int64."""
    if tensor.startswith("torch.empty("):
        return "float32"
    named = re.findall(r"\bto\(torch\.(\w+)\)", tensor)
    if named:
        return str(named[-1])
    return "int32" if tensor.startswith(_HOLDER_FIELDS) else "int64"


def _fills(dtype: str) -> list[str]:
    """Return numbers that a tensor of ``dtype`` can hold, and infinities where it can."""
    if dtype in ("float16", "bfloat16", "complex64"):
        return ["nan", "inf", "-inf", "-1", "100", "1"]
    if dtype in _FLOATS:
        return ["nan", "inf", "-inf", "1e38", "-1e38", "-1", "2**31 - 1", "100", "1"]
    if dtype in ("int32", "int64"):
        return ["-1", "2**31 - 1", "-2**31", "100", "1"]
    return ["100", "1"]


_RAW_LISTS = {
    "allowed": "[M.words, M.stamp]",
    "bans": "[X.positions, X.offsets, X.stamps]",
    "trie": "[T.first_child, T.tokens, T.stamp]",
}
"""Lists of tensors that the raw ops take, and the public functions as one holder."""

_WORDS = {
    "cell": ["gru", "agru", "augru"],
    "reset": ["after", "before"],
    "update": ["paper", "or"],
    "keep": ["nothing", "states", "gates", "all"],
    "kernel": ["bhattacharyya", "gaussian"],
    "normalize": ["vocab", "children", "none"],
    "pool": ["sum", "mean"],
    "activation": ["tanh", "selu", "relu", "none"],
}
"""Valid values of the raw ops' parameters of type ``str``."""


def _element_text(text: str) -> str:
    """Return the description of one tensor of a list, with its shape, such as ``[K_l, D]``."""
    shapes = re.findall(r"`\[[^\[\]]*_\w[^\[\]]*\]`", text)
    return f"{shapes[0]} {re.sub(r'`[^`]*`', '', text)}" if shapes else text


def _holds_tensors(parameter: Parameter) -> bool:
    """Return whether a parameter is drawn after the scalars, on which shapes depend."""
    return "Tensor" in str(parameter.annotation)
