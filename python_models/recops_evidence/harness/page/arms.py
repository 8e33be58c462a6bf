"""Tables of arms: test figures, selected settings and the edges of grids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from scipy import stats

from recops_evidence.harness.page.text import decimals, number, scope_text, table, without_empty
from recops_evidence.harness.results import (
    ArmResult,
    FloorResult,
    MeasuredArm,
    ResultTables,
)


def arm_tables(tables: ResultTables) -> list[str]:
    """Return one table per data set: arms with mean ± half-width of the interval, then floors."""
    lines: list[str] = []
    for data, label in dict.fromkeys((arm["data"], arm.get("label", "")) for arm in tables["arms"]):
        # Several claims can share an arm. Rows differ if the claims selected different settings.
        arms = {
            (arm["arm"], str(arm["settings"])): arm
            for arm in tables["arms"]
            if (arm["data"], arm.get("label", "")) == (data, label)
        }
        floors = [
            floor
            for floor in tables.get("floors", [])
            if (floor["data"], floor["label"]) == (data, label)
        ]
        lines += [
            f"{scope_text(data, label)}: mean over seeds ± half-width of the 95 % interval.",
            "",
            *_table(list(arms.values()), tables["measured"], floors),
            "",
        ]
        edges = [text for arm in arms.values() for text in _edges(arm)]
        lines += [*edges, ""] if edges else []
    return lines[:-1]


def _table(
    arms: Sequence[ArmResult], measured: Sequence[MeasuredArm], floors: Sequence[FloorResult]
) -> list[str]:
    names = dict.fromkeys(name for arm in arms for name in measured[arm["measured"]]["mean"])
    # Logarithms serve claims about factors; the figure itself has a column too.
    metrics = [name for name in names if not name.startswith("ln_")]
    selected_by = list(dict.fromkeys(name for arm in arms for name in arm["validation"]))
    head = ["arm", *metrics, *(f"{name} on validation" for name in selected_by)]
    rows = [
        [
            f"{arm['arm']} (`{arm['model']}`)",
            *(_spread(measured[arm["measured"]], name) for name in metrics),
            *(number(arm["validation"].get(name)) for name in selected_by),
            str(arm["trials"]) if arm["trials"] > 1 else "",
            ", ".join(f"{key}={value}" for key, value in arm["settings"].items()),
        ]
        for arm in arms
    ]
    rows += [
        [
            f"floor: {floor['name']}",
            *(number(floor["test"].get(name)) for name in metrics),
            *[""] * (len(selected_by) + 2),
        ]
        for floor in floors
    ]
    return table(*without_empty([*head, "trials", "settings"], rows))


def _spread(arm: MeasuredArm, metric: str) -> str:
    """Return the mean over seeds and the half-width of its interval (Student's t)."""
    if metric not in arm["mean"]:
        return ""
    mean, seeds = arm["mean"][metric], arm["seeds"]
    half_width = stats.t(seeds - 1).ppf(0.975) * arm["std"][metric] / seeds**0.5
    return f"{mean:,.{decimals(mean)}f} ± {half_width:,.{decimals(mean)}f}"


def _edges(arm: ArmResult) -> Iterator[str]:
    """Yield one line per setting whose grid was widened or whose best value is at an edge."""
    for name, values in arm.get("grid", {}).items():
        at_edge, widened = name in arm.get("edges", ()), name in arm.get("widened", ())
        if not (at_edge or widened):
            continue
        tried = ", ".join(str(value) for value in values)
        notes = [*["widened"] * widened, *["the best value is at an edge"] * at_edge]
        yield f"- {arm['arm']}: {name} {tried} ({'; '.join(notes)})."
