"""Option ``--label``: a label, or labels with weights."""

from __future__ import annotations

import typer


def label_weights(text: str | None) -> dict[str, float] | None:
    """Parse ``purchase`` or ``click=1,purchase=0.5``; None stays None.

    Raises:
        typer.BadParameter: a part is no label with a number, or a label is named twice.
    """
    if text is None:
        return None
    weights: dict[str, float] = {}
    for part in text.split(","):
        name, separator, number = (each.strip() for each in part.partition("="))
        try:
            weight = float(number) if separator else 1.0
        except ValueError:
            name = ""
        if not name or name in weights:
            raise typer.BadParameter(f"--label must be like click=1,purchase=0.5, got {text!r}")
        weights[name] = weight
    return weights
