"""Rendering of the report as an HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template

from recops_models.evaluation.drawing.page import page
from recops_models.evaluation.drawing.sunburst import sunburst
from recops_models.evaluation.report.catalogue import (
    branches,
    collisions_text,
    levels,
    tokens_text,
    trie_text,
    usage,
)
from recops_models.evaluation.report.content import ModelResult, Report
from recops_models.evaluation.report.curves import lines
from recops_models.evaluation.report.results import differences, metrics
from recops_models.evaluation.report.samples import samples, samples_text
from recops_models.evaluation.report.verdict import headline, sentences


def render(report: Report) -> str:
    """Return the HTML page of ``report``; equal reports give equal bytes.

    All text from data is escaped and printable.
    """
    body = Template(files(__package__).joinpath("body.html").read_text("utf-8"))
    verdict = [f"<p>{escape(text)}</p>" for text in sentences(report.differences)]
    trained = [model for model in report.models if model.history]
    seconds = {name: f"{value:.1f} s" for name, value in report.seconds.items()}
    seconds["all"] = f"{sum(report.seconds.values()):.1f} s"
    return page(
        title=report.title,
        headline=headline(report.differences[0]),
        lead=_lead(report),
        body=body.substitute(
            metrics=metrics(report.models),
            differences=differences(report.differences),
            verdict="\n".join(verdict),
            tested_users=f"{report.tested_users:,}",
            trained=escape(" and ".join(model.name for model in trained)),
            training=_training(trained),
            tokens_text=tokens_text(report.catalogue),
            usage=usage(report.catalogue),
            levels=levels(report.catalogue),
            collisions=collisions_text(report.catalogue),
            trie=sunburst(report.catalogue.paths, report.catalogue.interactions),
            trie_text=trie_text(),
            branches=branches(report.catalogue),
            samples_text=samples_text(report.models[0].name, report.samples),
            samples=samples(report.samples),
        ).strip(),
        details={
            "Configuration": report.configuration,
            "Time": seconds,
            "Versions": report.versions,
        },
    )


def _lead(report: Report) -> str:
    dataset, main = report.dataset, report.models[0]
    return (
        f"{main.name} generates the semantic ID of the user's next item token by token, along a "
        f"trie of the existing items. It was trained on {dataset.name} "
        f"({dataset.num_users:,} users, {dataset.num_items:,} items, {dataset.num_interactions:,} "
        f"interactions). Each user's last item is held out for the test. For "
        f"{main.test['hr@10']:.1%} of the users, the held-out item is in the top 10; "
        f"{100 * report.real_items:.4g}% of the generated IDs belong to an item."
    )


def _training(models: Sequence[ModelResult]) -> str:
    def curves(key: str, scale: float = 1.0) -> dict[str, list[tuple[float, float]]]:
        return {
            model.name: [
                (epoch["epoch"], scale * epoch[key]) for epoch in model.history if key in epoch
            ]
            for model in models
        }

    loss = lines("Training loss", curves("loss"))
    return loss + "\n" + lines("Validation HR@10, %", curves("hr@10", 100.0))
