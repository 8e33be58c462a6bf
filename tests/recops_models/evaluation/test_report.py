"""The report page: self-contained, escaped, deterministic, with text that fits the numbers."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from recops_models.evaluation.drawing.sunburst import sunburst
from recops_models.evaluation.report import (
    CatalogueFigures,
    DatasetFigures,
    Difference,
    Level,
    ModelResult,
    Report,
    UserSample,
    render,
    verdict,
)
from recops_models.evaluation.report.verdict import points

NAMES = ("UniRec", "SASRec", "popularity")
VOID = {"meta", "br", "hr", "img", "link", "input"}


def history(epochs: int, final: float) -> list[dict[str, float]]:
    return [
        {"epoch": epoch, "loss": 9.0 / epoch, "hr@10": final * epoch / epochs}
        for epoch in range(1, epochs + 1)
    ]


@pytest.fixture
def catalogue() -> CatalogueFigures:
    rng = np.random.default_rng(0)
    paths = rng.integers(0, 6, size=(60, 3))
    titles = [f"Film {item} (19{item + 30})" for item in range(60)]
    levels = [
        Level("genre", ["Action", "Comedy", "Drama", "Horror", "Musical", "Western"]),
        Level("code 1", [str(code) for code in range(6)]),
        Level("code 2", [str(code) for code in range(8)]),
    ]
    return CatalogueFigures(levels, 1, paths, titles, rng.integers(1, 500, size=60))


@pytest.fixture
def report(catalogue: CatalogueFigures) -> Report:
    sample = UserSample(
        user_id=405,
        num_interactions=737,
        history=catalogue.titles[:10],
        target=catalogue.titles[20],
        recommended=dict.fromkeys(NAMES, catalogue.titles[15:25]),
        hits={"UniRec": 5, "SASRec": None, "popularity": None},
    )
    return Report(
        title="recops quickstart · ml-100k · seed 0",
        dataset=DatasetFigures("ml-100k", 943, 1682, 100_000),
        tested_users=941,
        models=[
            ModelResult("UniRec", metrics(0.118), history(25, 0.125)),
            ModelResult("SASRec", metrics(0.126), history(40, 0.131)),
            ModelResult("popularity", metrics(0.054)),
        ],
        differences=[
            Difference("UniRec", "popularity", "hr@10", 0.0639, 0.041, 0.087),
            Difference("UniRec", "SASRec", "hr@10", -0.0082, -0.027, 0.011),
        ],
        catalogue=catalogue,
        samples=[sample, replace(sample, user_id=13)],
        real_items=1.0,
        configuration={"data": "ml-100k", "seed": "0"},
        versions={"recops": "0.1.0"},
        seconds={"data": 2.0, "UniRec": 98.0},
    )


def metrics(hit_rate: float) -> dict[str, float]:
    return {"hr@10": hit_rate, "hr@50": 3 * hit_rate, "ndcg@10": hit_rate / 2, "coverage": 0.4}


class Page(HTMLParser):
    """Parser that checks the nesting of elements, and collects tags, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_loads_no_external_resources(report: Report) -> None:
    page = render(report)
    parsed = Page(page)
    assert not {"script", "link", "img", "iframe", "object"} & {tag for tag, _ in parsed.tags}
    for _, attributes in parsed.tags:
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    assert "@import" not in page
    assert re.findall(r"url\((?!#)", page) == []


def test_equal_reports_give_equal_bytes(report: Report) -> None:
    assert render(report) == render(report)


def test_charts_use_the_colours_of_the_page(report: Report) -> None:
    page = render(report)
    assert "#0000" not in page
    declared = set(re.findall(r"(--[a-z0-9-]+):", page))
    assert set(re.findall(r"var\((--[a-z0-9-]+)\)", page)) <= declared
    assert "prefers-color-scheme: dark" in page


@pytest.mark.filterwarnings("ignore:Glyph")  # matplotlib has no glyph for a control character
def test_text_from_data_is_escaped(report: Report) -> None:
    hostile = "<script>\x1b[31m\u202ealert('&')</script>"
    sample = replace(
        report.samples[0],
        user_id=hostile,
        history=[hostile],
        target=hostile,
        recommended={hostile + name: [hostile] for name in NAMES},
        hits={hostile + name: 0 for name in NAMES},
    )
    hostile_catalogue = replace(
        report.catalogue, titles=[hostile] * 60, levels=[Level(hostile, [hostile] * 8)] * 3
    )
    hostile_report = replace(
        report,
        title=hostile,
        dataset=replace(report.dataset, name=hostile),
        models=[replace(model, name=hostile + model.name) for model in report.models],
        differences=[replace(report.differences[0], model=hostile, against=hostile)],
        catalogue=hostile_catalogue,
        samples=[sample],
        configuration={hostile: hostile},
        versions={hostile: hostile},
        seconds={hostile: 1.0},
    )
    page = render(hostile_report)
    assert "<script" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "alert" in Page(page).text


def test_page_shows_metrics_samples_and_hits(report: Report) -> None:
    page = render(report)
    text = Page(page).text
    for expected in (
        "11.8%",
        "0.0590",
        "+6.4",
        "User 405",
        "User 13",
        "Film 20 (1950)",
        "100.0 s",
    ):
        assert expected in text
    assert page.count('<li class="hit">') == len(report.samples)


@pytest.mark.parametrize(
    ("low", "high", "headline", "word"),
    [
        (0.01, 0.05, "UniRec beats popularity", ": significant"),
        (-0.05, -0.01, "Popularity beats UniRec", ": significant"),
        (-0.01, 0.03, "No significant difference between UniRec and popularity", ": not"),
        (0.0, 0.03, "No significant difference between UniRec and popularity", ": not"),
    ],
)
def test_verdict_follows_the_interval(low: float, high: float, headline: str, word: str) -> None:
    difference = Difference("UniRec", "popularity", "hr@10", (low + high) / 2, low, high)
    assert verdict.headline(difference) == headline
    (sentence,) = verdict.sentences([difference])
    assert word in sentence
    assert ("behind" if low + high < 0 else "ahead of") in sentence


def test_sunburst_draws_every_node_once(catalogue: CatalogueFigures) -> None:
    svg = sunburst(catalogue.paths, catalogue.interactions)
    nodes = sum(len(np.unique(catalogue.paths[:, :depth], axis=0)) for depth in (1, 2, 3))
    paths = re.findall(r'<path d="([^"]*)"[^>]*fill: var\(--ramp', svg)
    assert sum(path.count("M") for path in paths) == nodes


def test_a_single_item_and_a_single_epoch_make_a_page(report: Report) -> None:
    paths = np.zeros((1, 1), dtype=np.int32)
    tiny = CatalogueFigures([Level("code 1", ["0"])], 0, paths, ["Only"], np.array([3]))
    models = [replace(report.models[0], history=history(1, 0.1)), *report.models[1:]]
    text = Page(render(replace(report, catalogue=tiny, models=models, samples=[]))).text
    assert "Each of the 1 items has a unique semantic ID" in text


def test_a_zero_difference_has_no_minus_sign() -> None:
    assert points(-0.0001) == points(0.0) == "+0.0"
    assert points(-0.0012) == "−0.1"
