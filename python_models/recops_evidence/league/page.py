"""The league as a page: a table per set, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from recops_evidence.harness.page.claim_tables import DISCOVERY_RATE
from recops_evidence.league.claims import ClaimFigures
from recops_evidence.league.comparison import Mean
from recops_evidence.league.figures import NOT_STARTED, LeagueResults, RowResult, SetResult
from recops_evidence.league.sets import SETS, Kind
from recops_models.evaluation.benjamini_hochberg import benjamini_hochberg

_TITLE = {"clicks": "Clicks", "ranking": "Next items"}
_SHOWN: dict[Kind, dict[str, str]] = {
    "clicks": {
        "auc": "AUC",
        "logloss": "logloss",
        "gauc_known": "GAUC, known items",
        "gauc_frozen": "GAUC, frozen",
        "auc_frozen": "AUC, frozen",
    },
    "ranking": {"hr@10": "HR@10", "hr@50": "HR@50"},
}
"""Further columns of a table, by metric."""
HEADLINE: dict[Kind, str] = {"clicks": "GAUC", "ranking": "NDCG@10"}


def league_page(results: LeagueResults) -> str:
    """Return the page in Markdown."""
    discoveries = _discoveries(results)
    parts = [_HEAD, _progress(results)]
    parts += [_verdicts(results)] if results["claims"] else []
    parts += [_set_section(each, discoveries) for each in results["sets"] if each["rows"]]
    parts += [_missing(results), _METHOD, _appendix(results)]
    return "\n\n".join(parts) + "\n"


_HEAD = """# League

All models and tuned baselines on the same data, split, features and tuning budget. Brackets are
95 % intervals over seeds and users; "users alone" is the interval for these trained models. Gains
in bold are exploratory discoveries: at most a tenth of them is expected to be false
(Benjamini–Hochberg)."""

_METHOD = """## Method

- **Clicks.** Every event of the training part is an example. Each user's last tenth of the events,
  at least two, is the test part, and the tenth before it validation. Users with too few events for
  both are only in training. Sets with real negatives use them. Elsewhere each event has one
  negative by popularity; in validation and test, a negative is unknown to the model if and only if
  its positive is. GAUC, the mean AUC within users, selects epochs and settings, because a
  recommender ranks items for one user. It selects overconfident epochs: compare logloss before you
  use scores as probabilities. *Frozen*: histories and rates end before the user's test
  part. Scores that follow a user's recent labels lower the live GAUC by construction, because a
  click raises the scores of all later examples; the frozen columns have no such effect.
- **Next items.** The last item of each user is the test part, the one before it validation. All
  items that the user has not met are ranked, and equal scores are ordered at random. NDCG@10
  selects.
- **Left out.** KEEP needs a second domain; [its page](keep.md) compares it with DIN. One run of
  UniRec with all item scores on Yelp exceeds the limit.
- **Tuning.** Each row has 8 trials from its grid under one seed; the best 2 continue under all
  three tuning seeds. While the best value lies at an edge of a grid, the next value beyond it is
  tried under one seed, and under all seeds if it is better there. Trials use two seeds and a third
  of the users on sets above 500,000 events, and two seeds and half of the users for SASRec on Yelp
  and UniRec outside ml-100k, whose training exceeds ten core-minutes. Some rows take the best
  settings of another one and tune only the learning rate and what that one lacks: SASRec with
  sampled softmax those of SASRec, UniRec of UniRec with all item scores, DIEN of DIEN with the
  released gate; on toys-ctr MIMN and DIEN those of DIN, which five more rows share; on Grocery
  recurrent rows and on Beauty UniRec those on Toys, because DIN and SASRec, tuned on both, have
  the same best settings on both; on Yelp UniRec those on Toys to save time, although SASRec's
  best settings differ there. No trial reads the test part.
- **Seeds.** Ten; five if a run exceeds two core-minutes, three if it exceeds ten. A run has one
  thread and at most 30 core-minutes.
- **Costs.** Computing time on one core. A request scores 100 items for one user (clicks), or finds
  10 of all items (next items). Other programs shared the cores, so the same net can differ by a
  factor of three: SASRec with both losses, the light net with and without a booster."""


def _progress(results: LeagueResults) -> str:
    finished = [each for each in results["sets"] if each["rows"]]
    note = " These are small runs, which are no evidence." if results["quick"] else ""
    return (
        f"{results['runs']:,} runs took {results['core_hours']:.2f} core-hours. {len(finished)} of "
        f"{len(SETS)} sets have figures; [what is missing](#missing) is listed below.{note}"
    )


def _verdicts(results: LeagueResults) -> str:
    return (
        f"## Headline claims\n\n{claims_table(results['claims'])}\n\n"
        "Differences are in GAUC or NDCG@10. p-values are adjusted by Holm. *Detectable* is the "
        "smallest difference that is found with a probability of 80 %. All other gains on this "
        "page are exploratory."
    )


def claims_table(claims: Sequence[ClaimFigures]) -> str:
    """Return a table of claims with their outcomes."""
    header = ["claim", "set", "difference", "users alone", "detectable", "verdict"]
    rows = [
        [
            each["text"],
            each["of_set"],
            difference_text(each["difference"]),
            interval_text(each["difference"]["users"]),
            f"{each['difference']['detectable']:.4f}",
            f"{each['verdict']}, p = {each['adjusted_p']:.2g}",
        ]
        for each in claims
    ]
    return table(header, rows)


def _discoveries(results: LeagueResults) -> set[float]:
    """Return the p-values of the gains of all tables that are discoveries."""
    rows = [row for each in results["sets"] for row in each["rows"]]
    p_values = [gain["p"] or 0.0 for row in rows for gain in row["gains"].values()]
    adjusted = benjamini_hochberg(p_values)
    return {p for p, q in zip(p_values, adjusted, strict=True) if q <= DISCOVERY_RATE}


def _set_section(each: SetResult, discoveries: set[float]) -> str:
    counts = each["description"]
    about = (
        f"{counts['users']:,} users, {counts['items']:,} items, {counts['events']:,} events; "
        f"{counts['train']:,} are training, {counts['test']:,} test, of {counts['test_users']:,} "
        "users."
    )
    negatives = f" Negatives: {counts['negatives']}." if "negatives" in counts else ""
    parts = [f"## {set_title(each)}", f"{about}{negatives}"]
    return "\n\n".join([*parts, _table(each, discoveries), _cost_table(each)])


def set_title(each: SetResult) -> str:
    """Return the title of a set."""
    return f"{_TITLE[each['kind']]}: {each['data']}"


def _table(each: SetResult, discoveries: set[float]) -> str:
    shown = _SHOWN[each["kind"]]
    rival = each["baseline"] or "best baseline"
    header = ["row", HEADLINE[each["kind"]], *shown.values()]
    header += [f"gain over {rival}", "users alone", f"gain over {each['plain']}", "users alone"]
    rows = [
        [
            row["row"],
            f"{row['headline']['mean']:.4f} {interval_text(row['headline']['interval'])}",
            *(f"{mean_of(row, metric):.4f}" for metric in shown),
            *_gain(row["gains"].get("baseline"), discoveries),
            *_gain(row["gains"].get("plain"), discoveries),
        ]
        for row in ordered(each)
    ]
    return table(header, rows)


def _cost_table(each: SetResult) -> str:
    header = [
        "row",
        "training (core-min)",
        "parameters",
        "request (ms)",
        "seeds",
        "use it when",
        "avoid it when",
    ]
    rows = [
        [
            row["row"],
            f"{row['costs']['train_seconds'] / 60:.2g}",
            f"{row['costs']['parameters']:,.0f}",
            f"{row['costs']['request_ms']:.2f}",
            str(len(row["seeds"])),
            row["use"],
            row["avoid"],
        ]
        for row in ordered(each)
    ]
    return table(header, rows)


def ordered(each: SetResult) -> list[RowResult]:
    """Return the rows, best headline metric first."""
    return sorted(each["rows"], key=lambda row: -row["headline"]["mean"])


def mean_of(row: RowResult, metric: str) -> float:
    """Return the mean of a metric over the seeds."""
    values = row["per_seed"][metric]
    return sum(values) / len(values)


def _gain(gain: Mean | None, discoveries: set[float]) -> tuple[str, str]:
    if gain is None:
        return "", ""
    text = difference_text(gain)
    return (f"**{text}**" if gain["p"] in discoveries else text), interval_text(gain["users"])


def difference_text(gain: Mean) -> str:
    """Return a difference with its interval over seeds and users."""
    return f"{gain['mean']:+.4f} {interval_text(gain['interval'])}"


def interval_text(ends: tuple[float, float]) -> str:
    """Return the two ends of an interval."""
    return f"[{ends[0]:.4f}, {ends[1]:.4f}]"


def _missing(results: LeagueResults) -> str:
    lines = [
        f"- {set_title(each)}: {_reasons(each)}" for each in results["sets"] if each["missing"]
    ]
    measured = {each["name"] for each in results["sets"]}
    lines += [f"- {each.name}: not started" for each in SETS if each.name not in measured]
    return "## Missing\n\n" + ("\n".join(lines) if lines else "Nothing.")


def _reasons(each: SetResult) -> str:
    """Return the missing rows by reason; rows that wait are not listed if none is finished."""
    waiting = [row for row, why in each["missing"].items() if why == NOT_STARTED]
    texts = [f"{row} ({why})" for row, why in each["missing"].items() if why != NOT_STARTED]
    if waiting:
        rows = f": {'; '.join(waiting)}" if each["rows"] or texts else ""
        texts.append(f"{NOT_STARTED}{rows}")
    return "; ".join(texts)


def _appendix(results: LeagueResults) -> str:
    rows = [
        [
            set_title(each),
            row["row"],
            str(row["trials"]),
            ", ".join(row["edges"]),
            " ".join(f"{name}={value}" for name, value in row["settings"].items()),
        ]
        for each in results["sets"]
        for row in each["rows"]
    ]
    header = ["set", "row", "trials", "values at an edge", "settings"]
    return f"## Appendix: settings\n\n`{results['command']}`\n\n{table(header, rows)}"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
