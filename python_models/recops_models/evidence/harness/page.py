"""``results.md``: what a reproduction found, for a colleague to read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from scipy import stats

from recops_models.evidence.harness.results import (
    ArmResult,
    ClaimResult,
    DifferenceResult,
    GapClosed,
    Results,
    SeedFigures,
)
from recops_models.printable import printable


def page(content: Results) -> str:
    """The Markdown of what :func:`~recops_models.evidence.harness.results.results` gives."""
    tables = content["tables"]
    claims = list(zip(content["claims"], tables["differences"], strict=True))
    texts = {claim["id"]: claim for claim, _ in claims}
    lines = [f"# {content['paper']}: claims, measured", ""]
    if tables["quick"]:
        lines += [
            "**Quick: small runs, nothing tuned. A look at the experiment, no evidence.**",
            "",
        ]
    for claim in texts.values():
        lines += [
            f"**{claim['id']}**: {claim['text']}  ",
            f"Source: {claim['source']}  ",
            f"Reported: {claim['reported']}",
            "",
        ]
    lines += ["## Verdicts", "", *_verdicts(claims), ""]
    lines += ["## The arms", "", *_arms(tables["arms"]), ""]
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
    head = ["claim", "data", "difference", "claimed", "measured", "95 % over seeds", "over users"]
    rows = [
        [
            claim["id"],
            claim["data"],
            f"{difference['metric']}, {' − '.join(difference['arms'])}",
            _claimed(difference),
            signed(claim["measured"]),
            span(claim["interval"]),
            span(difference["users_interval"]),
            _gap(difference.get("gap")),
            str(claim["seeds"]),
            f"**{claim['verdict']}**",
        ]
        for claim, difference in claims
    ]
    return _table(*_without_empty([*head, "share of the gap", "seeds", "verdict"], rows))


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


def _arms(arms: Sequence[ArmResult]) -> list[str]:
    """One table a data set: each arm's test figures, mean ± half of the 95 % interval."""
    lines: list[str] = []
    for data in dict.fromkeys(arm["data"] for arm in arms):
        # Claims share arms; with other settings, which another claim's metric chose, it is another.
        some = {
            (arm["arm"], str(arm["settings"])): arm for arm in arms if arm["data"] == data
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
        caption = f"{data}, mean over seeds ± half the width of its 95 % interval:"
        lines += [caption, "", *_table(*_without_empty([*head, "settings"], rows)), ""]
    return lines[:-1]


def _how(content: Results) -> list[str]:
    tables = content["tables"]
    tuned = [arm.get("tuning_seeds", 1) for arm in tables["arms"] if arm["trials"] > 1]
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
    if (seeds := max(tuned, default=1)) > 1:
        lines.append(f"A trial was run under {seeds} seeds and counts by its mean over them.")
    lines += [
        "Differences are paired by seed. The interval over seeds (Student's t) decides the",
        "verdict: it holds what the draw of seeds explains, on this data.",
    ]
    if users:
        lines += [
            "The interval over users (a bootstrap, pooled over the seeds) holds what another draw",
            "of users could change.",
        ]
    if gaps:
        lines += [
            "The share of the gap is that of the way from the second arm to the named one, with",
            "its 95 % interval over seeds (Fieller's); unbounded where the gap itself may be none.",
        ]
    return lines


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


def _number(value: float) -> str:
    return f"{value:,.{_digits(value)}f}"


def _digits(value: float) -> int:
    """Decimals: four, but one from 10 on."""
    return 4 if abs(value) < 10 else 1


def signed(value: float) -> str:
    """``+0.0123``, with a true minus sign."""
    return f"{value:+,.{_digits(value)}f}".replace("-", "−")


def span(interval: Sequence[float] | None) -> str:
    """``+0.0012 to +0.0200``; nothing for None."""
    return "" if interval is None else f"{signed(interval[0])} to {signed(interval[1])}"
