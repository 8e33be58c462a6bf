"""Option ``--device`` of the commands that run models."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("typer", reason="needs recops[models]")

import importlib

import typer

from recops_models.cli import COMMANDS, run
from recops_models.training import device as devices

WITHOUT = {
    "data list",
    "data get",
    "data import",
    "data describe",
    "data sequences",
    "info",
    "uic stats",
    "uic snapshot",
    "uic restore",
    "uic rollback",
    "uic forget",
    "uic expire",
}
"""Commands that run no model."""


def leaves(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the commands below a group with their names."""
    for key, child in getattr(command, "commands", {}).items():
        path = f"{name} {key}".strip()
        if hasattr(child, "commands"):
            yield from leaves(child, path)
        else:
            yield path, child


def commands() -> dict[str, Any]:
    """Return all commands by name."""
    application = importlib.import_module("recops_models.cli.application")
    for module in COMMANDS:
        importlib.import_module(f"recops_models.cli.{module}")
    return dict(leaves(typer.main.get_command(application.app)))


@pytest.fixture
def without_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        devices, "_COUNT", {"cpu": lambda: 1, **dict.fromkeys(("cuda", "mps", "xpu"), lambda: 0)}
    )


def test_every_command_that_runs_models_takes_a_device(capsys: pytest.CaptureFixture[str]) -> None:
    all_commands = commands()
    with_option = {
        name
        for name, command in all_commands.items()
        if any("--device" in parameter.opts for parameter in command.params)
    }
    assert with_option == all_commands.keys() - WITHOUT
    assert with_option >= {"train", "tokenize", "evaluate", "recommend", "diagnose", "uic score"}
    for name in sorted(with_option):
        assert run([*name.split(), "--help"]) == 0
        assert "--device" in capsys.readouterr().out, name


@pytest.mark.usefixtures("without_cuda")
@pytest.mark.parametrize("command", ["train din --data ml-100k", "evaluate runs/din", "bench trie"])
@pytest.mark.parametrize(
    ("device", "reason"),
    [
        ("cuda", "device must be available, got cuda; this machine has cpu"),
        ("cuda:1", "device must be available, got cuda:1; this machine has cpu"),
        ("tpu", "device must be auto, cpu, cuda[:i], mps or xpu[:i], got 'tpu'"),
    ],
)
def test_a_missing_device_is_refused_in_one_line(
    command: str,
    device: str,
    reason: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run([*command.split(), "--device", device]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert reason in error
    assert not list(tmp_path.iterdir())
