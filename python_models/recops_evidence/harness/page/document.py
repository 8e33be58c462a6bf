"""The complete page: warnings, verdicts, claims, arms and method."""

from __future__ import annotations

from recops_evidence.harness.page.arms import arm_tables
from recops_evidence.harness.page.floors import lost_to_floors
from recops_evidence.harness.page.method import method
from recops_evidence.harness.page.verdicts import verdict_table
from recops_evidence.harness.results import Results
from recops_models.printable import printable


def render_page(content: Results) -> str:
    """Return the Markdown page of a reproduction.

    Args:
        content: figures of the reproduction, see
            :func:`~recops_evidence.harness.stored_results.read_results`.
    """
    tables = content["tables"]
    claims = {claim["id"]: claim for claim in content["claims"]}
    lines = [f"# {content['paper']}: claims and figures", ""]
    for warning in _warnings(content):
        lines += [f"**{warning}**", ""]
    for text in lost_to_floors(content):
        lines += [text, ""]
    lines += ["## Verdicts", "", *verdict_table(content), "", "## Claims", ""]
    for claim in claims.values():
        lines += [
            f"**{claim['id']}**: {claim['text']}  ",
            f"Source: {claim['source']}  ",
            f"Reported: {claim['reported']}",
            "",
        ]
    lines += ["## Arms", "", *arm_tables(tables), ""]
    lines += ["## Method", "", *method(content), ""]
    lines += [f"- Not measured: {text}" for text in tables["skipped"]]
    packages = (f"{name} {version}" for name, version in tables["versions"].items())
    lines += [f"- {', '.join(packages)}"]
    return printable("\n".join(lines) + "\n")


def _warnings(content: Results) -> list[str]:
    warnings = []
    if content["tables"]["quick"]:
        warnings.append("Quick: small runs without tuning. The figures are not evidence.")
    if not any("power" in claim for claim in content["claims"]):
        warnings.append(
            "Older format without floors and power: the verdicts do not account for other users or "
            "for the number of claims."
        )
    return warnings
