"""Planted failures of every kind, which the fuzzer reports and simplifies."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

import recops
from fuzz import processes
from fuzz.__main__ import _signature
from fuzz.call import Call
from fuzz.draw import Drawing
from fuzz.shrink import shrink
from fuzz.targets import public_targets, raw_targets
from recops.state.coaction import CoactionOptions

ROOT = Path(__file__).parents[1]
ZERO = ("x", "torch.zeros(3)")
PLANTED = {
    "ok": Call("torch.abs", (("input", "torch.ones(2)"),), ("input",), "torch.abs"),
    "undrawn": Call("torch.abs", (("input", "torch.ones(-2)"),), ("input",)),
    "refused": Call("recops.pack_codes", (("codes", "None"), ("sizes", "[2]")), ("codes", "sizes")),
    "wrong": Call("(lambda x: x + 1)", (ZERO,), ("x",), "(lambda x: x + 1.5)"),
    "exception": Call("(lambda x: x.missing)", (ZERO,), ("x",)),
    "crash": Call("(lambda x: torch.os.abort())", (ZERO,), ("x",)),
    "hang": Call("(lambda x: any(iter(int, 1)))", (ZERO,), ("x",)),
}


def test_each_kind_of_outcome_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "SECONDS", 1)
    outcomes = processes.run(list(PLANTED.values()))
    assert [outcome.kind for outcome in outcomes] == list(PLANTED)


def test_excessive_memory_raises_memory_error() -> None:
    call = Call("(lambda x: bytearray(2**36))", (ZERO,), ("x",))
    (outcome,) = processes.run([call])
    assert (outcome.kind, outcome.text) == ("exception", "MemoryError: ")


def test_a_failing_call_is_simplified() -> None:
    lines = (
        ("x", "torch._neg_view(torch.randint(0, 9, (33, 5)).to(torch.float32).flip(0))"),
        ("y", "[1, 2, None, 3]"),
        ("z", "torch.zeros(3)"),
    )
    call = Call("(lambda x, y, z=None: [each.missing for each in y])", lines, ("x", "y", "z"))
    signature = _signature(call, processes.run([call])[0])
    small = shrink(
        call, lambda other: _signature(other, processes.run([other])[0]) == signature, seconds=60
    )
    assert small.passed == ("x", "y")
    assert dict(small.lines)["y"] in ("[None]", "[1]", "[0]")
    assert len(dict(small.lines)["x"]) < 30
    compile(small.code(), "small", "exec")


def test_equal_seeds_draw_equal_calls() -> None:
    targets = [*public_targets(), *raw_targets()]
    first, again = (
        [Drawing(target, seed).call() for target in targets for seed in range(5)] for _ in range(2)
    )
    assert first == again
    for call in first:
        compile(call.code(), "call", "exec")


def test_nearly_all_drawn_arguments_can_be_built() -> None:
    targets = [*public_targets(), *raw_targets()]
    calls = [
        dataclasses.replace(
            Drawing(target, seed).call(), function="(lambda **arguments: None)", reference=None
        )
        for target in targets
        for seed in range(4)
    ]
    kinds = [outcome.kind for outcome in processes.run(calls)]
    assert kinds.count("undrawn") < 0.02 * len(kinds)


def test_every_exported_function_is_a_target() -> None:
    functions = {target.function for target in public_targets()}
    for name in recops.__all__:
        assert f"recops.{name}" in functions or not callable(getattr(recops, name))
    assert "T.find" in functions
    assert "torch.ops.recops.trie_find" in {target.function for target in raw_targets()}


def test_options_and_references_between_docstrings_are_read() -> None:
    targets = {target.function: target for target in public_targets()}
    for name in ("coaction", "coaction_gather", "coaction_multi"):
        options = {p.name: p for p in targets[f"recops.{name}"].parameters if p.optional}
        assert tuple(options)[-9:] == CoactionOptions._fields
        assert options["lengths"].text.startswith("``[U]``")
        assert options["orders"].annotation is int
    codebooks = next(p for p in targets["recops.rq_decode"].parameters if p.name == "codebooks")
    assert codebooks.text.startswith("``[L, K, D]``")


@pytest.mark.slow
def test_command_line_reports_seed_and_counts() -> None:
    command = [
        sys.executable,
        "-m",
        "fuzz",
        "--seconds",
        "0.1",
        "--seed",
        "1",
        "--only",
        "pack_codes",
    ]
    result = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert " calls of 4 functions from seed 1: " in result.stdout
