"""``results.md``: what a reproduction found, for a colleague to read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def page(content: Mapping[str, Any]) -> str:
    """The Markdown of what :func:`~recops_models.evidence.results.results` gives."""
    tables = content["tables"]
    claims = list(zip(content["claims"], tables["differences"], strict=True))
    texts = {claim["id"]: claim for claim, _ in claims}
    lines = [f"# {content['paper']}: claims, measured", ""]
    if tables["quick"]:
        lines += [
            "**Quick: two epochs, nothing tuned. A look at the experiment, no evidence.**",
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
        f"`{content['command']}`, {content['seconds']:,.0f} s of training. Every arm had equally",
        "many tuning trials, and kept the one best on validation by the claim's metric; these",
        "settings were trained once a seed, and test was measured there alone. Differences are",
        "paired by seed. The interval over seeds (Student's t) decides the verdict: it holds what",
        "the draw of seeds explains, on these users. The interval over users (a bootstrap, pooled",
        "over the seeds) holds what another draw of users could change.",
        "",
        *(f"- Not measured: {line}" for line in tables["skipped"]),
        f"- {', '.join(f'{name} {number}' for name, number in tables['versions'].items())}",
    ]
    return "\n".join(lines) + "\n"


def _verdicts(claims: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> list[str]:
    head = ("claim", "data", "difference", "measured", "95 % over seeds", "over users", "seeds")
    rows = (
        (
            claim["id"],
            claim["data"],
            f"{difference['metric']}, {' − '.join(difference['arms'])}",
            signed(claim["measured"]),
            span(claim["interval"]),
            span(difference["users_interval"]),
            str(claim["seeds"]),
            f"**{claim['verdict']}**",
        )
        for claim, difference in claims
    )
    return _table((*head, "verdict"), rows)


def _arms(arms: Sequence[Mapping[str, Any]]) -> list[str]:
    """One table a claim and data set: each arm's test figures, mean ± standard deviation."""
    lines: list[str] = []
    for place in dict.fromkeys((arm["id"], arm["data"]) for arm in arms):
        some = [arm for arm in arms if (arm["id"], arm["data"]) == place]
        (chosen_by,) = some[0]["validation"]
        metrics = list(dict.fromkeys(name for arm in some for name in arm["test"]))
        head = ("arm", *metrics, f"{chosen_by} on validation", "trials", "best settings")
        rows = (
            (
                f"{arm['arm']} (`{arm['model']}`)",
                *(_spread(arm["test"].get(name)) for name in metrics),
                f"{arm['validation'][chosen_by]:.4f}",
                str(arm["trials"]),
                ", ".join(f"{key}={value}" for key, value in arm["settings"].items()),
            )
            for arm in some
        )
        lines += [f"{place[0]}, {place[1]}:", "", *_table(head, rows), ""]
    return lines[:-1]


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _spread(figure: Mapping[str, float] | None) -> str:
    return "" if figure is None else f"{figure['mean']:.4f} ± {figure['std']:.4f}"


def signed(value: float) -> str:
    """``+0.0123``, with a true minus sign."""
    return f"{value:+.4f}".replace("-", "−")


def span(interval: Sequence[float] | None) -> str:
    """``+0.0012 to +0.0200``; nothing for None."""
    return "" if interval is None else f"{signed(interval[0])} to {signed(interval[1])}"
