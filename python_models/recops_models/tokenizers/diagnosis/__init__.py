"""What is good and what is wrong about semantic IDs: figures, and a page that shows them."""

from recops_models.tokenizers.diagnosis.capacity import RHOS
from recops_models.tokenizers.diagnosis.diagnose import diagnose

__all__ = ["RHOS", "diagnose"]
