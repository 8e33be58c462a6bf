"""HTML page of a diagnosis."""

from recops_models.tokenizers.diagnosis.page.page import render

__all__ = ["render"]
