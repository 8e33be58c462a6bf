"""The report as one self-contained HTML page: it fetches no script, no font and no image."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from string import Template

import numpy as np

from recops_models.evaluation.report import figures, verdict
from recops_models.evaluation.report.content import (
    Catalogue,
    Difference,
    ModelResult,
    Report,
    UserSample,
)

_METRICS = (
    ("hr@10", "HR@10"),
    ("hr@50", "HR@50"),
    ("ndcg@10", "NDCG@10"),
    ("coverage@10", "Coverage"),
)
_BRANCHES, _BRANCH_ITEMS = 3, 8


def render(report: Report) -> str:
    """The page, a function of ``report`` alone: equal input gives equal bytes.

    Every text that comes from data is escaped.
    """
    dataset, main = report.dataset, report.models[0]
    resources = files(__package__)
    return Template(resources.joinpath("page.html").read_text("utf-8")).substitute(
        title=escape(report.title),
        style=resources.joinpath("style.css").read_text("utf-8").strip(),
        kicker=escape(report.title),
        headline=escape(verdict.headline(report.differences[0])),
        lead=_lead(report),
        metrics=_metrics(report.models),
        differences=_differences(report.differences),
        verdict="\n".join(
            f"<p>{escape(text)}</p>" for text in verdict.sentences(report.differences)
        ),
        note=(
            "HR@k: share of users whose held-out item is among the first k. NDCG@10 also counts "
            "how high it stands. Coverage: share of all items that stand in anybody's first ten. "
            f"Intervals: paired bootstrap over the {dataset.num_users:,} users."
        ),
        training_text=_training_text(report.models),
        training=_training(report.models),
        tokens_text=_tokens_text(report.catalogue),
        usage="\n".join(_usage(report.catalogue)),
        tokens=_collisions(report.catalogue),
        trie=figures.sunburst(report.catalogue),
        trie_text=_trie_text(report.catalogue),
        branches=_branches(report.catalogue),
        samples_text=_samples_text(main.name),
        samples="\n".join(_sample(sample) for sample in report.samples),
        made=_made(report),
    )


def _lead(report: Report) -> str:
    dataset, main = report.dataset, report.models[0]
    share = f"{100 * report.real_items:.4g}\u00a0%"
    return escape(
        f"{main.name} writes the semantic ID of the item a user will choose next, one token after "
        f"another, along a trie that holds real items only. It was trained on {dataset.name} "
        f"({dataset.num_users:,} users, {dataset.num_items:,} items, {dataset.num_interactions:,} "
        f"interactions), with each user's last choice kept aside for the test. For "
        f"{100 * main.test['hr@10']:.1f}\u00a0% of the users that choice is among its first ten; "
        f"{share} of the IDs it wrote belong to an item."
    )


def _metrics(models: Sequence[ModelResult]) -> str:
    best = {key: max(model.test[key] for model in models) for key, _ in _METRICS}
    body = []
    for index, model in enumerate(models):
        cells = [f"<td>{escape(verdict.capitalised(model.name))}</td>"]
        for key, _ in _METRICS:
            value = model.test[key]
            text = f"{value:.4f}" if key.startswith("ndcg") else f"{100 * value:.1f}\u00a0%"
            cells.append(f"<td{_class('best', value == best[key])}>{text}</td>")
        body.append(f"<tr{_class('main', index == 0)}>{''.join(cells)}</tr>")
    head = "".join(f"<th>{label}</th>" for _, label in _METRICS)
    return (
        f"<table><thead><tr><th>Model</th>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    )


def _differences(differences: Sequence[Difference]) -> str:
    """A forest plot in plain HTML: one axis for all rows, zero marked, the interval as a bar."""
    low = min(0.0, *(difference.low for difference in differences))
    high = max(0.0, *(difference.high for difference in differences))
    margin = 0.06 * (high - low or 1.0)

    def place(value: float) -> str:
        return f"{100 * (value - low + margin) / (high - low + 2 * margin):.2f}%"

    rows = []
    for difference in differences:
        span = f"left:{place(difference.low)};right:calc(100% - {place(difference.high)})"
        bar = (
            f'<span class="axis"><i class="zero" style="left:{place(0)}"></i>'
            f'<i class="span" style="{span}"></i>'
            f'<i class="dot" style="left:{place(difference.value)}"></i></span>'
        )
        rows.append(
            f"<tr{_class('clear', difference.sign != 0)}>"
            f"<td>{escape(_pair(difference))}</td>"
            f'<td class="bar">{bar}</td><td>{verdict.points(difference.value)}</td></tr>'
        )
    return (
        '<table class="differences"><thead><tr><th>Difference</th><th></th><th>HR@10</th></tr>'
        f"</thead><tbody>{''.join(rows)}</tbody></table>"
    )


def _pair(difference: Difference) -> str:
    return verdict.capitalised(f"{difference.model} − {difference.against}")


def _training_text(models: Sequence[ModelResult]) -> str:
    trained = [model.name for model in models if model.history]
    return escape(
        f"{' and '.join(trained)} were trained in the same run on the same sequences; the epoch "
        "with the best validation figure was kept. The losses are not comparable with each other: "
        "one is a sum over the tokens of an ID, the other a choice among all items."
    )


def _training(models: Sequence[ModelResult]) -> str:
    trained = [model for model in models if model.history]

    def curves(key: str, scale: float = 1.0) -> dict[str, list[tuple[float, float]]]:
        return {
            model.name: [
                (epoch["epoch"], scale * epoch[key]) for epoch in model.history if key in epoch
            ]
            for model in trained
        }

    return "\n".join(
        [
            figures.lines("Training loss", curves("loss")),
            figures.lines("Validation HR@10, %", curves("hr@10", 100.0)),
        ]
    )


def _usage(catalogue: Catalogue) -> Iterable[str]:
    for level, size in enumerate(catalogue.vocab_sizes):
        yield figures.usage(level + 1, np.bincount(catalogue.sids[:, level], minlength=size))


def _tokens_text(catalogue: Catalogue) -> str:
    depth = len(catalogue.vocab_sizes)
    return escape(
        f"Residual k-means turns an item's vector into {depth} codes, each one refining what the "
        "codes before it left over. An even spread over the codes (dashed) uses the codebook best; "
        "a steep start means that a few codes carry most items."
    )


def _collisions(catalogue: Catalogue) -> str:
    rows = []
    for level, size in enumerate(catalogue.vocab_sizes):
        counts = np.bincount(catalogue.sids[:, level], minlength=size)
        share = counts[counts > 0] / counts.sum()
        perplexity = np.exp(-(share * np.log(share)).sum())
        prefixes = np.unique(catalogue.sids[:, : level + 1], axis=0)
        rows.append(
            f"<tr><td>Level {level + 1}</td><td>{size:,}</td><td>{np.count_nonzero(counts):,}</td>"
            f"<td>{perplexity:,.1f}</td><td>{len(prefixes):,}</td></tr>"
        )
    _, sizes = np.unique(catalogue.sids, axis=0, return_counts=True)
    shared = sizes[sizes > 1]
    fate = (
        f"{shared.sum():,} of the {sizes.sum():,} items share their semantic ID with another one "
        f"({len(shared):,} shared IDs, at most {shared.max()} items on one); the decoder returns "
        "all items of an ID it reaches."
        if len(shared)
        else f"Each of the {sizes.sum():,} items has a semantic ID of its own."
    )
    head = "<th></th><th>Codes</th><th>In use</th><th>Perplexity</th><th>Distinct prefixes</th>"
    return (
        f'<table class="facts"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'
        f'<p class="caption">{escape(fate)}</p>'
    )


def _trie_text(catalogue: Catalogue) -> str:
    swatches = "".join(f'<i style="background:var(--ramp-{shade})"></i>' for shade in range(1, 6))
    return (
        "Every real path from the root (centre) to an item (rim). A sector's angle is its share of "
        f'the items; its shade <span class="swatches">{swatches}</span> how often they were '
        "chosen, in fifths of a ring's sectors. The beam search walks these paths and no others."
    )


def _branches(catalogue: Catalogue) -> str:
    """The most-chosen branches of the first level, each with its most-chosen items in SID order."""
    demand = np.bincount(catalogue.sids[:, 0], weights=catalogue.interactions)
    tables = []
    for code in np.argsort(-demand, kind="stable")[:_BRANCHES]:
        members = np.flatnonzero(catalogue.sids[:, 0] == code)
        chosen = members[np.argsort(-catalogue.interactions[members], kind="stable")]
        chosen = chosen[:_BRANCH_ITEMS]
        chosen = chosen[np.lexsort(catalogue.sids[chosen].T[::-1])]
        rows = "".join(
            f"<tr><td>{_sid(catalogue.sids[item])}</td><td>{escape(catalogue.titles[item])}</td>"
            f"<td>{catalogue.interactions[item]:,}</td></tr>"
            for item in chosen
        )
        tables.append(
            f"<table><thead><tr><th>Branch {code}</th><th></th><th>{len(members):,} items</th></tr>"
            f"</thead><tbody>{rows}</tbody></table>"
        )
    return "\n".join(tables)


def _class(name: str, applies: bool) -> str:
    return f' class="{name}"' if applies else ""


def _sid(codes: Iterable[int]) -> str:
    return " · ".join(str(code) for code in codes)


def _samples_text(model: str) -> str:
    return escape(
        f"Users drawn at random: two for whom {model} hit, two for whom it missed. Each list is a "
        "model's first ten, without what the user had chosen before; a mark shows the held-out "
        "item."
    )


def _sample(sample: UserSample) -> str:
    past = "".join(f"<li>{escape(title)}</li>" for title in sample.history)
    lists = [f'<div><h3>Before, latest last</h3><ol class="past">{past}</ol></div>']
    for model, titles in sample.recommended.items():
        hit = sample.hits[model]
        items = "".join(
            f"<li{_class('hit', place == hit)}>{escape(title)}</li>"
            for place, title in enumerate(titles)
        )
        lists.append(f"<div><h3>{escape(verdict.capitalised(model))}</h3><ol>{items}</ol></div>")
    return (
        f'<article class="user"><p>User {sample.user_id}, {sample.num_interactions:,} choices, '
        f"then chose <strong>{escape(sample.target)}</strong></p>"
        f'<div class="lists">{"".join(lists)}</div></article>'
    )


def _made(report: Report) -> str:
    seconds = {name: f"{value:.1f} s" for name, value in report.seconds.items()}
    seconds["all"] = f"{sum(report.seconds.values()):.1f} s"
    groups = {
        "Configuration": report.configuration,
        "Time": seconds,
        "Versions": report.versions,
    }
    return "\n".join(
        f"<div><h3>{title}</h3>{_pairs(pairs)}</div>" for title, pairs in groups.items()
    )


def _pairs(pairs: Mapping[str, str]) -> str:
    rows = "".join(
        f"<tr><td>{escape(name)}</td><td>{escape(value)}</td></tr>" for name, value in pairs.items()
    )
    return f"<table><tbody>{rows}</tbody></table>"
