"""``results.md``: what a reproduction found, for a colleague to read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scipy import stats

from recops_evidence.harness.results import (
    ArmResult,
    ClaimResult,
    DifferenceResult,
    FloorResult,
    GapClosed,
    Results,
    SeedFigures,
)
from recops_models.printable import printable
from recops_models.training.curve import LOWER_IS_BETTER


def page(content: Results) -> str:
    """The Markdown of what :func:`~recops_evidence.harness.results.results` gives."""
    tables = content["tables"]
    claims = list(zip(content["claims"], tables["differences"], strict=True))
    texts = {claim["id"]: claim for claim, _ in claims}
    lines = [f"# {content['paper']}: claims, measured", ""]
    if tables["quick"]:
        lines += [
            "**Quick: small runs, nothing tuned. A look at the experiment, no evidence.**",
            "",
        ]
    if not any("power" in claim for claim in content["claims"]):
        lines += [
            "**From before floors and power were told: verdicts count neither other users nor the",
            "number of claims.**",
            "",
        ]
    lines += [line for told in _not_beaten(content) for line in (told, "")]
    lines += ["## Verdicts", "", *_verdicts(claims), ""]
    lines += ["## The claims", ""]
    for claim in texts.values():
        lines += [
            f"**{claim['id']}**: {claim['text']}  ",
            f"Source: {claim['source']}  ",
            f"Reported: {claim['reported']}",
            "",
        ]
    lines += ["## The arms", "", *_arms(tables["arms"], tables.get("floors", [])), ""]
    lines += [
        "## How",
        "",
        *_how(content),
        "",
        *(f"- Not measured: {line}" for line in tables["skipped"]),
        f"- {', '.join(f'{name} {number}' for name, number in tables['versions'].items())}",
    ]
    return printable("\n".join(lines) + "\n")


def _verdicts(claims: Sequence[tuple[ClaimResult, DifferenceResult]]) -> list[str]:
    head = ["claim", "data", "verdict", "difference", "claimed", "measured", "95 % over seeds"]
    head += ["over users", "over both", "p", "p of all (Holm)", "could see", "share of the gap"]
    rows = [
        [
            claim["id"],
            claim["data"],
            _verdict(claim, difference),
            f"{difference['metric']}, {' − '.join(difference['arms'])}",
            _claimed(difference),
            signed(claim["measured"]),
            span(difference.get("seeds_interval", claim["interval"])),
            span(difference["users_interval"]),
            span(claim["interval"] if difference["users_interval"] and "power" in claim else None),
            _p_value(difference.get("p")),
            _p_value(difference.get("p_holm")),
            _number(claim["power"]) if "power" in claim else "",
            _gap(difference.get("gap")),
            str(claim["seeds"]),
        ]
        for claim, difference in claims
    ]
    return _table(*_without_empty([*head, "seeds"], rows))


def _verdict(claim: ClaimResult, difference: DifferenceResult) -> str:
    """``**inconclusive** (12 seeds would tell)``."""
    told = f"**{claim['verdict']}**"
    if claim["verdict"] != "inconclusive" or "seeds_needed" not in difference:
        return told
    needed = difference["seeds_needed"]
    return f"{told} ({f'{needed} seeds would tell' if needed else 'no 1,000 seeds would tell'})"


def _p_value(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3f}" if value >= 0.001 else "< .001"


def _claimed(difference: DifferenceResult) -> str:
    """``> 0``, or ``< −0.0123`` where a lower figure is claimed, and by so much."""
    sign, least = (">", 1) if difference["direction"] == "higher" else ("<", -1)
    return f"{sign} {signed(least * difference['minimum']) if difference['minimum'] else 0}"


def _gap(gap: GapClosed | None) -> str:
    """``31 % of that to DIN (12 to 50 %)``."""
    if gap is None:
        return ""
    share = f"{100 * gap['closed']:.0f} % of that to {gap['to']}".replace("-", "−")
    if gap["interval"] is None:
        return f"{share} (unbounded)"
    low, high = (f"{100 * value:.0f}".replace("-", "−") for value in gap["interval"])
    return f"{share} ({low} to {high} %)"


def _not_beaten(content: Results) -> list[str]:
    """A line for each data set and metric on which no arm beats the floors."""
    tables, lines = content["tables"], []
    for data, label, metric in dict.fromkeys(
        (arm["data"], arm.get("label", ""), told["metric"])
        for told in tables["differences"]
        for arm in tables["arms"]
        if arm["data"] == told["data"] and arm["arm"] in told["arms"]
    ):
        place = (data, label)
        floors = {
            floor["name"]: value
            for floor in tables.get("floors", [])
            if (floor["data"], floor["label"]) == place
            and (value := floor["test"].get(metric)) is not None
        }
        arms = [
            (arm["test"][metric]["mean"], arm["arm"])
            for arm in tables["arms"]
            if (arm["data"], arm.get("label", "")) == place and metric in arm["test"]
        ]
        if not floors or not arms:
            continue
        best = min if metric in LOWER_IS_BETTER else max
        floor = best(floors, key=lambda name: floors[name])
        reached, arm = best(arms)
        if best(floors[floor], reached) == floors[floor]:
            lines.append(
                f"**On {_place(data, label)} no arm beats the floors in {metric}** "
                f"({floor} has {_number(floors[floor])}, the best arm, {arm}, "
                f"{_number(reached)}): verdicts there are no evidence about models."
            )
    return lines


def _place(data: str, label: str) -> str:
    return f"{data}, {label}" if label else data


def _arms(arms: Sequence[ArmResult], floors: Sequence[FloorResult]) -> list[str]:
    """One table a data set: each arm's test figures, mean ± half of the 95 % interval; then the
    floors, which have no seeds.
    """
    lines: list[str] = []
    for place in dict.fromkeys((arm["data"], arm.get("label", "")) for arm in arms):
        # Claims share arms; with other settings, which another claim's metric chose, it is another.
        some = {
            (arm["arm"], str(arm["settings"])): arm
            for arm in arms
            if (arm["data"], arm.get("label", "")) == place
        }.values()
        # Logarithms, for claims of factors, have the figure itself beside them.
        metrics = [
            name
            for name in dict.fromkeys(name for arm in some for name in arm["test"])
            if not name.startswith("ln_")
        ]
        chosen_by = list(dict.fromkeys(name for arm in some for name in arm["validation"]))
        head = ["arm", *metrics, *(f"{name} on validation" for name in chosen_by), "trials"]
        rows = [
            [
                f"{arm['arm']} (`{arm['model']}`)",
                *(_spread(arm["test"].get(name)) for name in metrics),
                *(
                    _number(arm["validation"][name]) if name in arm["validation"] else ""
                    for name in chosen_by
                ),
                str(arm["trials"]) if arm["trials"] > 1 else "",
                ", ".join(f"{key}={value}" for key, value in arm["settings"].items()),
            ]
            for arm in some
        ]
        rows += [
            [
                f"floor: {floor['name']}",
                *(_number(floor["test"].get(name)) for name in metrics),
                *[""] * (len(chosen_by) + 2),
            ]
            for floor in floors
            if (floor["data"], floor["label"]) == place
        ]
        caption = f"{_place(*place)}, mean over seeds ± half the width of its 95 % interval:"
        lines += [caption, "", *_table(*_without_empty([*head, "settings"], rows)), ""]
        grids = [line for arm in some for line in _grid(arm)]
        lines += [*grids, ""] if grids else []
    return lines[:-1]


def _grid(arm: ArmResult) -> list[str]:
    """What was tried of an arm's settings whose best value stood at an edge."""
    told = []
    for name, values in arm.get("grid", {}).items():
        at_edge, widened = name in arm.get("edges", ()), name in arm.get("widened", ())
        if not (at_edge or widened):
            continue
        tried = ", ".join(str(value) for value in values)
        words = [*["widened"] * widened, *["the best still at an edge"] * at_edge]
        told.append(f"- {arm['arm']}: {name} {tried} ({'; '.join(words)}).")
    return told


def _how(content: Results) -> list[str]:
    tables = content["tables"]
    tuned = [arm for arm in tables["arms"] if arm["trials"] > 1]
    users = any(difference["users_interval"] for difference in tables["differences"])
    gaps = any("gap" in difference for difference in tables["differences"])
    lines = [f"`{content['command']}`, {content['seconds']:,.0f} s of runs."]
    lines += (
        [
            "Every arm had equally many tuning trials, and kept the one best on validation by",
            "the claim's metric; these settings were run once a seed, and test was measured there",
            "alone.",
        ]
        if tuned
        else ["Nothing was tuned; every arm was run once a seed."]
    )
    metrics = {told["id"]: told["metric"] for told in tables["differences"]}
    lines += dict.fromkeys(
        f"Settings of claims about {metrics[arm['id']]} were chosen by {', '.join(names)}."
        for arm in tuned
        if (names := [arm["chosen_by"]] if "chosen_by" in arm else list(arm["validation"]))
        and metrics[arm["id"]] not in names
    )
    seeds = sorted({arm.get("tuning_seeds", 1) for arm in tuned})
    if seeds and seeds[-1] > 1:
        lines.append(f"A trial was run under {_or(seeds)} seeds and counts by its mean over them.")
    if kept := sorted({arm["kept"] for arm in tuned if arm.get("kept")}):
        some = "" if all(arm.get("kept") for arm in tuned) else " of some claims"
        lines.append(f"Trials{some} began under one seed; the best {_or(kept)} of an arm went on.")
    shares = sorted({arm.get("tuning_share", 1) for arm in tuned})
    if shares and shares[0] < 1:
        told = _or([f"{share:.0%}" for share in shares])
        lines.append(f"Trials were run on {told} of the users, as each claim says.")
    if any(arm.get("widened") for arm in tables["arms"]):
        lines += [
            "Where an arm's best value stood at an edge of its grid, every arm got one trial more",
            "beyond that edge.",
        ]
    lines.append("Differences are paired by seed.")
    lines += (
        [
            "The verdict follows from the p-value over seeds and users (users are drawn anew,",
            "seeds by Student's law around them), adjusted for all claims of this page (Holm): it",
            "is inconclusive from .05 on. What could be seen is the smallest difference from the",
            "claimed one that these runs show with a probability of 80 %, by their own spread, at",
            "the level of Holm's first step; so is the number of seeds that would tell.",
        ]
        if any("p_holm" in difference for difference in tables["differences"])
        else [
            "The interval over seeds (Student's t) decides the verdict: it holds what the draw of",
            "seeds explains, on this data.",
        ]
    )
    if users:
        lines += [
            "The interval over users (a bootstrap, pooled over the seeds) holds what another draw",
            "of users could change.",
        ]
        if not all(difference["users_interval"] for difference in tables["differences"]):
            lines += ["Where there is none, the verdict counts seeds alone, not other users."]
    if gaps:
        lines += [
            "The share of the gap is that of the way from the second arm to the named one, with",
            "its 95 % interval over seeds (Fieller's); unbounded where the gap itself may be none.",
        ]
    return lines


def _or(values: Sequence[object]) -> str:
    """``1, 2 or 3``."""
    *others, last = (str(value) for value in values)
    return f"{', '.join(others)} or {last}" if others else last


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def _without_empty(
    head: Sequence[str], rows: Sequence[Sequence[str]]
) -> tuple[list[str], list[list[str]]]:
    """Without the columns in which no row has anything."""
    kept = [column for column in range(len(head)) if any(row[column] for row in rows)]
    return [head[column] for column in kept], [[row[column] for column in kept] for row in rows]


def _spread(figure: SeedFigures | None) -> str:
    """The mean and its interval over seeds: Student's, as that of a difference."""
    if figure is None:
        return ""
    number = len(figure["per_seed"])
    reach = stats.t(number - 1).ppf(0.975) * figure["std"] / number**0.5
    digits = _digits(figure["mean"])
    return f"{figure['mean']:,.{digits}f} ± {reach:,.{digits}f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.{_digits(value)}f}"


def _digits(value: float) -> int:
    """Decimals: four, but one from 10 on."""
    return 4 if abs(value) < 10 else 1


def signed(value: float) -> str:
    """``+0.0123``, with a true minus sign."""
    return f"{value:+,.{_digits(value)}f}".replace("-", "−")


def span(interval: Sequence[float] | None) -> str:
    """``+0.0012 to +0.0200``; nothing for None."""
    return "" if interval is None else f"{signed(interval[0])} to {signed(interval[1])}"
