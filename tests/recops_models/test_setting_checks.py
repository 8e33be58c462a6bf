"""Checks of settings and their error messages."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from recops_models import setting_checks as checks
from recops_models.training.config import TrainingConfig

NAN, INFINITY = float("nan"), float("inf")


def check_at_least_one(owner: str, settings: object, name: str) -> None:
    checks.check_at_least(owner, settings, **{name: 1})


def check_length_one(owner: str, settings: object, name: str) -> None:
    checks.check_lengths(owner, settings, **{name: 1})


@pytest.mark.parametrize(
    ("check", "valid", "invalid"),
    [
        (check_at_least_one, [1, 1.5, None, (), (1, 2)], [0, 0.5, (2, 0), NAN, INFINITY]),
        (checks.check_above_zero, [1, 1e-9, None, (2.0,)], [0, -1, (1, 0), NAN, -INFINITY]),
        (checks.check_shares, [0, 0.999, None], [1, -1e-9, NAN]),
        (check_length_one, [(0,)], [()]),
    ],
)
def test_values_out_of_range_are_refused(
    check: Callable[[str, object, str], None], valid: list[object], invalid: list[object]
) -> None:
    for value in valid:
        check("net", SimpleNamespace(size=value), "size")
    for value in invalid:
        with pytest.raises(ValueError, match=r"^net: size must .*, got ") as refused:
            check("net", SimpleNamespace(size=value), "size")
        assert str(refused.value).endswith(f"got {value}")


def test_heads_divide_the_width() -> None:
    checks.check_heads("net", 6, 3)
    with pytest.raises(ValueError, match="net: heads must divide width 6, got 4"):
        checks.check_heads("net", 6, 4)


def test_a_file_must_exist(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for missing in (path, tmp_path):
        with pytest.raises(
            FileNotFoundError, match=f"net: table must be an existing file, got {missing}"
        ):
            checks.check_file("net", "table", missing)
    path.touch()
    checks.check_file("net", "table", path)


def test_zero_is_accepted_for_optional_parts_of_training() -> None:
    config = TrainingConfig(
        learning_rate=0.0,
        table_learning_rate=0.0,
        weight_decay=0.0,
        warmup_epochs=0.0,
        decay=0.0,
        clip=0.0,
        checkpoint_minutes=0.0,
    )
    assert config.rate(1.0, 0.0) == 1.0
