"""The stub of the op library, from the schemas it registers.

After a schema changes: ``python tools/write_stubs.py > src/recops/_ops.pyi``.
"""

from __future__ import annotations

import torch

import recops  # noqa: F401 (registers the ops)

DOCSTRING = '"""The ops of the compiled library in ``torch.ops.recops`` (tools/write_stubs.py)."""'

SCALARS = {
    "IntType": "int",
    "SymIntType": "int",
    "FloatType": "float",
    "SymFloatType": "float",
    "BoolType": "bool",
    "StringType": "str",
    "TensorType": "Tensor",
}


def annotation(kind: torch._C.JitType, *, returned: bool = False) -> str:
    name = kind.kind()
    if name == "OptionalType":
        return f"{annotation(kind.getElementType(), returned=returned)} | None"
    if name == "ListType":
        element = annotation(kind.getElementType(), returned=returned)
        return f"list[{element}]" if returned else f"Sequence[{element}]"
    return SCALARS[name]


def signature(schema: torch._C.FunctionSchema) -> str:
    parts: list[str] = []
    for argument in schema.arguments:
        if argument.kwarg_only and "*" not in parts:
            parts.append("*")
        default = " = ..." if argument.has_default_value() else ""
        parts.append(f"{argument.name}: {annotation(argument.real_type)}{default}")
    returns = [annotation(value.real_type, returned=True) for value in schema.returns]
    result = {0: "None", 1: "".join(returns)}.get(len(returns), f"tuple[{', '.join(returns)}]")
    name = schema.name.removeprefix("recops::")
    line = f"def {name}({', '.join(parts)}) -> {result}: ..."
    if len(line) <= 100:
        return line
    lines = "".join(f"    {part},\n" for part in parts)
    return f"def {name}(\n{lines}) -> {result}: ..."


def render() -> str:
    schemas = [s for s in torch._C._jit_get_all_schemas() if s.name.startswith("recops::")]
    ops = "\n".join(signature(schema) for schema in sorted(schemas, key=lambda s: s.name))
    parts = [DOCSTRING]
    if "Sequence[" in ops:
        parts.append("from collections.abc import Sequence")
    if "Tensor" in ops:
        parts.append("from torch import Tensor")
    return "\n\n".join([*parts, ops]) + "\n"


if __name__ == "__main__":
    print(render(), end="")
