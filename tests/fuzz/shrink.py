"""Simplification of failing calls."""

from __future__ import annotations

import ast
import dataclasses
import time
from collections.abc import Callable, Iterator

from fuzz.call import Call


def shrink(call: Call, fails: Callable[[Call], bool], *, seconds: float) -> Call:
    """Replace the call by a simpler one that still ``fails`` until there is none or time is up."""
    end = time.monotonic() + seconds
    smaller: Call | None = call
    while smaller is not None:
        call = smaller
        tried = (each for each in simpler(call) if time.monotonic() < end)
        smaller = next((each for each in tried if fails(each)), None)
    return call


def simpler(call: Call) -> Iterator[Call]:
    """Yield calls that are one change simpler, the largest changes first."""
    for name in call.passed:
        others = tuple(each for each in call.passed if each != name)
        lines = tuple(line for line in call.lines if line[0] != name)
        yield dataclasses.replace(call, passed=others, lines=lines)
    for index, (name, expression) in enumerate(call.lines):
        for other in _simpler_expressions(expression):
            lines = (*call.lines[:index], (name, other), *call.lines[index + 1 :])
            yield dataclasses.replace(call, lines=lines)


def _simpler_expressions(expression: str) -> Iterator[str]:
    tree = ast.parse(expression, mode="eval")
    for node in ast.walk(tree):
        for other in _simpler_nodes(node):
            swapped = _Swap(node, other).visit(ast.parse(expression, mode="eval"))
            text = ast.unparse(swapped)
            if len(text) < len(expression) or isinstance(node, ast.Constant):
                yield text


def _simpler_nodes(node: ast.AST) -> Iterator[ast.expr]:
    match node:
        case ast.Call(func=function, args=arguments):
            if isinstance(function, ast.Attribute):
                yield function.value
            yield from arguments
        case ast.BinOp(left=left, right=right):
            yield left
            yield right
        case ast.Subscript(value=value):
            yield value
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            for index in range(len(elements)):
                yield type(node)([*elements[:index], *elements[index + 1 :]], ast.Load())
        case ast.Constant(value=int(value)) if type(value) is int and value > 1:
            for less in sorted({0, 1, value // 2} - {value}):
                yield ast.Constant(less)


class _Swap(ast.NodeTransformer):
    """Transformer that replaces ``old`` in another tree of the same source."""

    def __init__(self, old: ast.AST, new: ast.expr) -> None:
        self._old, self._new = old, new

    def visit(self, node: ast.AST) -> ast.AST:
        old = self._old
        if type(node) is type(old) and ast.dump(node, include_attributes=True) == ast.dump(
            old, include_attributes=True
        ):
            return self._new
        return self.generic_visit(node)
