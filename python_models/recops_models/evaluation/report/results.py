"""Tables of the metrics of each model and of their differences."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from recops_models.evaluation.drawing.markup import table, when
from recops_models.evaluation.report.content import Difference, ModelResult
from recops_models.evaluation.report.verdict import capitalised, points

_METRICS = {
    "hr@10": ("HR@10", "{:.1%}"),
    "hr@50": ("HR@50", "{:.1%}"),
    "ndcg@10": ("NDCG@10", "{:.4f}"),
    "coverage": ("Coverage", "{:.1%}"),
}
"""Metric → column header and number format."""


def metrics(models: Sequence[ModelResult]) -> str:
    """Return the table of test metrics per model, with the best of each column in bold."""
    best = {key: max(model.test[key] for model in models) for key in _METRICS}
    rows = []
    for model in models:
        cells = "".join(
            f"<td{when('best', model.test[key] == best[key])}>{form.format(model.test[key])}</td>"
            for key, (_, form) in _METRICS.items()
        )
        name = escape(capitalised(model.name))
        rows.append(f"<tr{when('main', model is models[0])}><td>{name}</td>{cells}</tr>")
    return table(rows, head=["Model", *(label for label, _ in _METRICS.values())])


def differences(pairs: Sequence[Difference]) -> str:
    """Return a forest plot in HTML: one common axis, a line at zero, and intervals as bars."""
    low = min(0.0, *(pair.low for pair in pairs))
    high = max(0.0, *(pair.high for pair in pairs))
    margin = 0.06 * (high - low or 1.0)

    def position(value: float) -> str:
        return f"{(value - low + margin) / (high - low + 2 * margin):.2%}"

    rows = []
    for pair in pairs:
        span = f"left:{position(pair.low)};right:calc(100% - {position(pair.high)})"
        axis = (
            f'<span class="axis"><i class="zero" style="left:{position(0)}"></i>'
            f'<i class="span" style="{span}"></i>'
            f'<i class="dot" style="left:{position(pair.value)}"></i></span>'
        )
        name = escape(capitalised(f"{pair.model} − {pair.against}"))
        rows.append(
            f"<tr{when('clear', pair.sign != 0)}><td>{name}</td>"
            f'<td class="bar">{axis}</td><td>{points(pair.value)}</td></tr>'
        )
    return table(rows, head=["Difference", "", "Percentage points"], name="differences")
