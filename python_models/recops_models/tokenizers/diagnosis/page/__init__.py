"""HTML page of a diagnosis."""

from recops_models.tokenizers.diagnosis.page.document import render

__all__ = ["render"]
