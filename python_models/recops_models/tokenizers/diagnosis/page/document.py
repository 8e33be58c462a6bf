"""HTML page of a diagnosis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from html import escape
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from recops_models.evaluation.drawing.markup import entries, ramp_swatches, table
from recops_models.evaluation.drawing.page import page
from recops_models.evaluation.drawing.sunburst import sunburst
from recops_models.tokenizers.diagnosis.content import DiagnosisFigures, LevelFigures, StepEntropy
from recops_models.tokenizers.diagnosis.page import figures
from recops_models.tokenizers.diagnosis.page.words import at_headline, headline, lead, meanings
from recops_models.tokenizers.diagnosis.paths import number_paths
from recops_models.tokenizers.diagnosis.plane import Plane


def render(
    diagnosis: DiagnosisFigures,
    codes: NDArray[np.int32],
    *,
    title: str,
    exposure: NDArray[np.integer] | None = None,
    plane: Plane | None = None,
    details: Mapping[str, Mapping[str, object]],
) -> str:
    """Return the page as HTML; equal input gives equal bytes, and text from data is escaped.

    Args:
        diagnosis: result of :func:`~recops_models.tokenizers.diagnosis.diagnose`.
        codes: ``[N, L]``, the diagnosed codes.
        title: title of the page.
        exposure: ``[N]``, the exposure of the diagnosis; None: unknown.
        plane: projection of level 0; None: unknown.
        details: heading → entries, at the end of the page.
    """
    sections = [
        _usage(diagnosis),
        _noise(diagnosis),
        _plane(plane),
        _trie(diagnosis, codes, exposure),
    ]
    sections += [_paths(codes, exposure), _chain(diagnosis)]
    rows = [
        f"<tr><td>{escape(name)}</td><td>{escape(value)}</td><td>{escape(meaning)}</td></tr>"
        for name, value, meaning in meanings(diagnosis)
    ]
    return page(
        title=title,
        headline=headline(diagnosis),
        lead=lead(diagnosis),
        body="\n\n".join(
            [
                *(section for section in sections if section),
                _section("Metrics and their meaning", table(rows, name="meanings")),
                _missing(diagnosis["missing"]),
            ]
        ),
        details=details,
        style=files(__package__).joinpath("style.css").read_text("utf-8"),
    )


def _section(heading: str, *body: str) -> str:
    content = "\n".join(body)
    return f"<section>\n<h2>{heading}</h2>\n{content}\n</section>"


def _panels(drawn: Iterator[str], name: str = "panels small") -> str:
    joined = "\n".join(drawn)
    return f'<div class="{name}">\n{joined}\n</div>'


def _usage(diagnosis: DiagnosisFigures) -> str:
    levels = diagnosis["levels"]
    logarithmic = any(map(figures.is_steep, levels))
    axis = ", on a logarithmic axis" if logarithmic else ""
    return _section(
        "Usage of codes",
        f"<p>Items per code, fullest first{axis}. An even use (dashed) is the best use of a level; "
        "a steep start means that a few codes hold most items. Perplexity is the number of equally "
        "used codes with the same entropy. 1/Σπ² is the number of equally used codes with the same "
        "chance that two items share a code.</p>",
        _panels(
            figures.usage(depth, level, logarithmic=logarithmic)
            for depth, level in enumerate(levels)
        ),
        _level_table(diagnosis),
    )


def _level_table(diagnosis: DiagnosisFigures) -> str:
    columns: dict[str, Callable[[LevelFigures], str]] = {
        "Codes": lambda level: f"{level['codes']:,}",
        "In use": lambda level: f"{level['active']:,}",
        "Perplexity": lambda level: f"{level['perplexity']:,.1f}",
        "1/Σπ²": lambda level: f"{level['capacity']:,.1f}",
        "Gini": lambda level: f"{level['gini']:.2f}",
    }
    if "error_share" in diagnosis:
        columns["Unexplained variance"] = lambda level: f"{level['error_share']:.1%}"
    flips = at_headline(diagnosis.get("flips", []))
    head = ["Level", *columns]
    if flips is not None:
        head += ["K<sub>eff</sub>, ρ = ¼", "Flips, ρ = ¼"]
    rows = []
    for depth, level in enumerate(diagnosis["levels"]):
        cells = [str(depth), *(cell(level) for cell in columns.values())]
        if flips is not None:
            noise = at_headline(level["noise"])
            cells += ["" if noise is None else f"{noise['k_eff']:,.1f}"]
            cells += [f"{flips['levels'][depth]:.1%}"]
        rows.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    return table(rows, head=head, name="facts wide")


def _noise(diagnosis: DiagnosisFigures) -> str:
    levels = diagnosis["levels"]
    panels = [(depth, level) for depth, level in enumerate(levels) if level.get("noise")]
    if not panels:
        return ""
    return _section(
        "Effective capacity under noise",
        "<p>The effective capacity K<sub>eff</sub> of a level is the number of equally used, "
        "disjoint codes with the same overlap under Gaussian noise on its input. It is at most "
        "1/Σπ², which is at most K. Axes are logarithmic. The area "
        '<i class="key" style="background:var(--series-2)"></i> is the loss from uneven use, the '
        'area <i class="key" style="background:var(--series-3)"></i> the loss from codewords that '
        "are too close for the noise.</p>",
        _panels(figures.capacity(depth, level) for depth, level in panels),
    )


def _plane(plane: Plane | None) -> str:
    if plane is None:
        return ""
    unused = int((plane.load == 0).sum())
    rings = f" The {unused:,} open rings are codewords without items." if unused else ""
    return _section(
        "Codewords of level 0",
        '<div class="duo">',
        f"<figure>\n{figures.plane(plane)}\n</figure>",
        "<div>",
        "<p>Codewords of level 0 on their first two principal axes, which explain "
        f"{plane.explained:.0%} of their variance. The area of a disc is its number of items. Its "
        f"shade {ramp_swatches()} is the overlap with the nearest codeword under noise of ρ = ¼, "
        "in fifths of the codewords.</p>",
        f"<p>Dots are at most 1,500 sampled items; numbers label the fullest codes.{rings} Discs "
        "that overlap here can be distant in other dimensions.</p>",
        "</div>\n</div>",
    )


def _trie(
    diagnosis: DiagnosisFigures, codes: NDArray[np.int32], exposure: NDArray[np.integer] | None
) -> str:
    seen = np.ones(len(codes), dtype=np.int64) if exposure is None else exposure
    drawn = sunburst(codes, seen)
    shade = "" if exposure is None else ", its shade their number of training events"
    rows = [
        f"<tr><td>{level['level']}</td><td>{level['nodes']:,}</td><td>{level['mean']:,.1f}</td>"
        f"<td>{level['p50']:,}</td><td>{level['p90']:,}</td><td>{level['p99']:,}</td>"
        f"<td>{level['max']:,}</td></tr>"
        for level in diagnosis["branching"]
    ]
    return _section(
        "The trie",
        '<div class="trie">',
        f"<figure>\n{drawn}\n<figcaption>All paths from the root (centre) to the items (rim). The "
        f"angle of a sector is its share of the items{shade}.</figcaption>\n</figure>",
        "<div>",
        f"<figure>\n{figures.branching(diagnosis['branching'])}\n<figcaption>Children per node, by "
        "level: median (dot), 90th percentile (dark bar), 99th percentile (stroke) and maximum. "
        "The cost of a step of constrained beam search is proportional to the number of "
        "children.</figcaption>\n</figure>",
        table(
            rows,
            head=["Above level", "Nodes", "Mean", "p50", "p90", "p99", "Maximum"],
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
        "Paths",
        "<p>Items on one path have the same ID. If the curve of exposure is far above the curve of "
        "items, a few paths receive most events.</p>",
        _panels(iter([figures.crowding(items), figures.concentration(curves)]), "panels"),
    )


def _chain(diagnosis: DiagnosisFigures) -> str:
    if "chain" not in diagnosis:
        return ""
    chain = diagnosis["chain"]
    kinds = {
        "without attributes": chain["none"],
        "after the attributes": chain["attributes"],
        "after shuffled attributes": chain["shuffled"],
    }
    estimators: dict[str, Callable[[StepEntropy], float]] = {
        "held-out bits": lambda step: step["held_out"],
        "Miller–Madow bits": lambda step: step["miller_madow"],
        "plug-in bits": lambda step: step["plug_in"],
    }
    rows = []
    for estimator, bits_of in estimators.items():
        for kind, steps in kinds.items():
            bits = [bits_of(step) for step in steps]
            cells = [f"{estimator}, {kind}", *(f"{each:.2f}" for each in [*bits, sum(bits)])]
            rows.append(f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>")
    names = [f"Code {depth}" for depth in range(len(chain["none"]))]
    return _section(
        "Entropy of codes given attributes",
        "<p>Entropy of each code, given the tokens before it. Attributes that are decoded first "
        "reduce it. Shuffled attributes also reduce the plug-in and Miller–Madow estimates, since "
        "they distinguish items; the held-out estimate, a cross-entropy under the frequencies of "
        "other items, does not have this bias.</p>",
        table(rows, head=["Entropy", *names, "Sum"], name="facts wide"),
    )


def _missing(missing: Mapping[str, str]) -> str:
    if not missing:
        return ""
    return _section("Missing metrics", entries(missing))
