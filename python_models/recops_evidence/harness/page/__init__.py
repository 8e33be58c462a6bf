"""Rendering of ``results.md``, the page of a finished reproduction."""

from recops_evidence.harness.page.document import render_page
from recops_evidence.harness.page.text import signed, span

__all__ = ["render_page", "signed", "span"]
