"""Diagnosis of semantic IDs: metrics, and an HTML page that shows them."""

from recops_models.tokenizers.diagnosis.capacity import RHOS
from recops_models.tokenizers.diagnosis.diagnose import diagnose

__all__ = ["RHOS", "diagnose"]
