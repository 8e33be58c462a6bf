"""Jobs whose settings are given as texts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from recops_models.recipes.job import Job
from recops_models.recipes.setting_text import parse_settings


def job_of(
    model: str, data: str, texts: Mapping[str, str], *, preset: str | None = None, **options: Any
) -> Job:
    """Return :meth:`Job.of` with parsed settings, as ``recops train --set`` makes it."""
    settings = parse_settings(model, texts, preset=preset)
    return Job.of(model, data, settings, preset=preset, **options)
