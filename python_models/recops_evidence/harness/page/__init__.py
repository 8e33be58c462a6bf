"""Rendering of ``results.md``, the page of a finished reproduction."""

from recops_evidence.harness.page.page import page
from recops_evidence.harness.page.text import signed, span

__all__ = ["page", "signed", "span"]
