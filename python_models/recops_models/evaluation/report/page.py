"""The report as one self-contained HTML page: it fetches no script, no font and no image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template

from recops_models.evaluation.report import figures
from recops_models.evaluation.report.catalogue import (
    branches,
    collisions_text,
    levels,
    tokens_text,
    trie_text,
    usage,
)
from recops_models.evaluation.report.content import ModelResult, Report
from recops_models.evaluation.report.markup import table
from recops_models.evaluation.report.results import differences, metrics
from recops_models.evaluation.report.samples import samples, samples_text
from recops_models.evaluation.report.verdict import headline, sentences
from recops_models.printable import printable


def render(report: Report) -> str:
    """The page, a function of ``report`` alone: equal input gives equal bytes.

    Every text that comes from data is escaped and printable.
    """
    resources = files(__package__)
    verdict = [f"<p>{escape(text)}</p>" for text in sentences(report.differences)]
    trained = [model for model in report.models if model.history]
    page = Template(resources.joinpath("page.html").read_text("utf-8")).substitute(
        title=escape(report.title),
        style=resources.joinpath("style.css").read_text("utf-8").strip(),
        headline=escape(headline(report.differences[0])),
        lead=_lead(report),
        metrics=metrics(report.models),
        differences=differences(report.differences),
        verdict="\n".join(verdict),
        num_users=f"{report.dataset.num_users:,}",
        trained=escape(" and ".join(model.name for model in trained)),
        training=_training(trained),
        tokens_text=tokens_text(report.catalogue),
        usage=usage(report.catalogue),
        levels=levels(report.catalogue),
        collisions=collisions_text(report.catalogue),
        trie=figures.sunburst(report.catalogue),
        trie_text=trie_text(),
        branches=branches(report.catalogue),
        samples_text=samples_text(report.models[0].name, report.samples),
        samples=samples(report.samples),
        made=_made(report),
    )
    return printable(page)


def _lead(report: Report) -> str:
    dataset, main = report.dataset, report.models[0]
    return escape(
        f"{main.name} writes the semantic ID of the item a user will choose next, one token after "
        f"another, along a trie that holds real items only. It was trained on {dataset.name} "
        f"({dataset.num_users:,} users, {dataset.num_items:,} items, {dataset.num_interactions:,} "
        f"interactions), with each user's last choice kept aside for the test. For "
        f"{main.test['hr@10']:.1%} of the users that choice is among its first ten; "
        f"{100 * report.real_items:.4g}% of the IDs it wrote belong to an item."
    )


def _training(models: Sequence[ModelResult]) -> str:
    def curves(key: str, scale: float = 1.0) -> dict[str, list[tuple[float, float]]]:
        return {
            model.name: [
                (epoch["epoch"], scale * epoch[key]) for epoch in model.history if key in epoch
            ]
            for model in models
        }

    loss = figures.lines("Training loss", curves("loss"))
    return loss + "\n" + figures.lines("Validation HR@10, %", curves("hr@10", 100.0))


def _made(report: Report) -> str:
    seconds = {name: f"{value:.1f} s" for name, value in report.seconds.items()}
    seconds["all"] = f"{sum(report.seconds.values()):.1f} s"
    groups = {"Configuration": report.configuration, "Time": seconds, "Versions": report.versions}
    return "\n".join(
        f"<div><h3>{title}</h3>{table(_rows(pairs))}</div>" for title, pairs in groups.items()
    )


def _rows(pairs: Mapping[str, str]) -> list[str]:
    return [
        f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in pairs.items()
    ]
