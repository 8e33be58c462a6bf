"""A diagnosis as an HTML page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from html import escape
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from recops_models.evaluation.drawing.markup import entries, ramp_swatches, table
from recops_models.evaluation.drawing.page import page
from recops_models.evaluation.drawing.sunburst import sunburst
from recops_models.tokenizers.diagnosis.content import Diagnosis, LevelFigures, StepEntropy
from recops_models.tokenizers.diagnosis.page import figures
from recops_models.tokenizers.diagnosis.page.words import at_headline, headline, lead, meanings
from recops_models.tokenizers.diagnosis.paths import number_paths
from recops_models.tokenizers.diagnosis.plane import Plane


def render(
    found: Diagnosis,
    codes: NDArray[np.int32],
    *,
    title: str,
    exposure: NDArray[np.integer] | None = None,
    plane: Plane | None = None,
    made: Mapping[str, Mapping[str, object]],
) -> str:
    """The page; equal input gives equal bytes; what comes from data is escaped and printable.

    Args:
        found: of :func:`~recops_models.tokenizers.diagnosis.diagnose`.
        codes: ``[N, L]``, those that were diagnosed.
        title: the page's.
        exposure: ``[N]``, as it was given there.
        plane: level 0 in two dimensions, where there are codebooks and vectors.
        made: heading → entries, for the page's end.
    """
    sections = [_usage(found), _noise(found), _plane(plane), _trie(found, codes, exposure)]
    sections += [_paths(codes, exposure), _chain(found)]
    rows = [
        f"<tr><td>{escape(name)}</td><td>{escape(value)}</td><td>{escape(meaning)}</td></tr>"
        for name, value, meaning in meanings(found)
    ]
    return page(
        title=title,
        headline=headline(found),
        lead=lead(found),
        body="\n\n".join(
            [
                *(section for section in sections if section),
                _section("The figures, and what they mean", table(rows, name="meanings")),
                _missing(found["missing"]),
            ]
        ),
        details=made,
        style=files(__package__).joinpath("style.css").read_text("utf-8"),
    )


def _section(heading: str, *body: str) -> str:
    content = "\n".join(body)
    return f"<section>\n<h2>{heading}</h2>\n{content}\n</section>"


def _panels(drawn: Iterator[str], name: str = "panels small") -> str:
    joined = "\n".join(drawn)
    return f'<div class="{name}">\n{joined}\n</div>'


def _usage(found: Diagnosis) -> str:
    levels = found["levels"]
    logarithmic = any(map(figures.steep, levels))
    axis = ", on a logarithmic axis" if logarithmic else ""
    return _section(
        "How the codes are used",
        f"<p>Items on each code, fullest first{axis}. An even spread (dashed) makes the best use "
        "of a level; a steep start means that a few codes carry most items. Perplexity and 1/Σπ² "
        "are the equally used codes that would be as uncertain, or on which two items would meet "
        "as often.</p>",
        _panels(
            figures.usage(depth, level, logarithmic=logarithmic)
            for depth, level in enumerate(levels)
        ),
        _level_table(found),
    )


def _level_table(found: Diagnosis) -> str:
    columns: dict[str, Callable[[LevelFigures], str]] = {
        "Codes": lambda level: f"{level['codes']:,}",
        "In use": lambda level: f"{level['active']:,}",
        "Perplexity": lambda level: f"{level['perplexity']:,.1f}",
        "1/Σπ²": lambda level: f"{level['capacity']:,.1f}",
        "Gini": lambda level: f"{level['gini']:.2f}",
    }
    if "error_share" in found:
        columns["Unexplained"] = lambda level: f"{level['error_share']:.1%}"
    flips = at_headline(found.get("flips", []))
    head = ["Level", *columns]
    if flips is not None:
        head += ["K<sub>eff</sub>, ρ = ¼", "Flips, ρ = ¼"]
    rows = []
    for depth, level in enumerate(found["levels"]):
        cells = [str(depth), *(cell(level) for cell in columns.values())]
        if flips is not None:
            noise = at_headline(level["noise"])
            cells += ["" if noise is None else f"{noise['k_eff']:,.1f}"]
            cells += [f"{flips['levels'][depth]:.1%}"]
        rows.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    return table(rows, head=head, name="facts wide")


def _noise(found: Diagnosis) -> str:
    levels = [(depth, level) for depth, level in enumerate(found["levels"]) if level.get("noise")]
    if not levels:
        return ""
    return _section(
        "What noise leaves of them",
        "<p>How many even and disjoint codes each level is worth (K<sub>eff</sub>) once its input "
        "is seen with Gaussian noise, on logarithmic axes. It never passes 1/Σπ², nor that K. "
        'What lies in <i class="key" style="background:var(--series-2)"></i> is lost to uneven '
        'use, what lies in <i class="key" style="background:var(--series-3)"></i> to codewords '
        "too close for the noise.</p>",
        _panels(figures.capacity(depth, level) for depth, level in levels),
    )


def _plane(plane: Plane | None) -> str:
    if plane is None:
        return ""
    unused = int((plane.load == 0).sum())
    rings = f" The {unused:,} open rings are codewords without an item." if unused else ""
    return _section(
        "Level 0, seen from above",
        '<div class="duo">',
        f"<figure>\n{figures.plane(plane)}\n</figure>",
        "<div>",
        "<p>Codewords of level 0 on their first two principal axes, which show "
        f"{plane.explained:.0%} of their variance. A disc's area is the number of its items; its "
        f"shade {ramp_swatches()} how easily it is taken for its nearest "
        "neighbour under noise of ρ = ¼, in fifths of the codewords.</p>",
        f"<p>The dots are items, at most 1,500 of them; numbers name the fullest codes.{rings} "
        "Discs that overlap here may lie apart in the dimensions that are not shown.</p>",
        "</div>\n</div>",
    )


def _trie(found: Diagnosis, codes: NDArray[np.int32], exposure: NDArray[np.integer] | None) -> str:
    seen = np.ones(len(codes), dtype=np.int64) if exposure is None else exposure
    drawn = sunburst(codes, seen)
    shade = "" if exposure is None else "; its shade, how often they were chosen in training"
    rows = [
        f"<tr><td>{level['level']}</td><td>{level['nodes']:,}</td><td>{level['mean']:,.1f}</td>"
        f"<td>{level['p50']:,}</td><td>{level['p90']:,}</td><td>{level['p99']:,}</td>"
        f"<td>{level['max']:,}</td></tr>"
        for level in found["branching"]
    ]
    return _section(
        "The trie",
        '<div class="trie">',
        f"<figure>\n{drawn}\n<figcaption>Every real path from the root (centre) to an item (rim). "
        f"A sector's angle is its share of the items{shade}.</figcaption>\n</figure>",
        "<div>",
        f"<figure>\n{figures.branching(found['branching'])}\n<figcaption>Of the nodes above each "
        "level: the median number of children (dot), the 90th (dark bar) and 99th percentile "
        "(stroke), and the most. A step of constrained beam search scans real children: these "
        "numbers are what it costs.</figcaption>\n</figure>",
        table(
            rows,
            head=["Above level", "Nodes", "Mean", "p50", "p90", "p99", "Most"],
            name="facts",
        ),
        "</div>\n</div>",
    )


def _paths(codes: NDArray[np.int32], exposure: NDArray[np.integer] | None) -> str:
    path = number_paths(codes)
    items = np.bincount(path)
    curves: dict[str, NDArray[np.number]] = {"items": items}
    if exposure is not None:
        curves["exposure"] = np.bincount(path, weights=exposure)
    return _section(
        "Whole paths",
        "<p>Items on one path cannot be told apart by their ID. Where exposure runs far ahead of "
        "items, a few paths decide what most users see.</p>",
        _panels(iter([figures.crowding(items), figures.concentration(curves)]), "panels"),
    )


def _chain(found: Diagnosis) -> str:
    if "chain" not in found:
        return ""
    chain = found["chain"]
    kinds = {
        "without attributes": chain["none"],
        "behind the attributes": chain["attributes"],
        "behind shuffled ones": chain["shuffled"],
    }
    estimators: dict[str, Callable[[StepEntropy], float]] = {
        "held-out bits": lambda step: step["held_out"],
        "Miller–Madow bits": lambda step: step["miller_madow"],
        "plug-in bits": lambda step: step["plug_in"],
    }
    rows = []
    for estimator, of in estimators.items():
        for kind, steps in kinds.items():
            bits = [of(step) for step in steps]
            cells = [f"{estimator}, {kind}", *(f"{each:.2f}" for each in [*bits, sum(bits)])]
            rows.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    names = [f"Code {depth}" for depth in range(len(chain["none"]))]
    return _section(
        "What attributes say of the codes",
        "<p>Entropy of each code once the tokens before it are known. Where a decoder spells "
        "attributes first, what they take from the codes is no longer uncertain. Attributes dealt "
        "at random seem to take much too, as they tell items apart: only the held-out figure, the "
        "cross-entropy of items under the shares of others, does not believe them.</p>",
        table(rows, head=["Entropy", *names, "Sum"], name="facts wide"),
    )


def _missing(missing: Mapping[str, str]) -> str:
    if not missing:
        return ""
    return _section("What is missing", entries(missing))
