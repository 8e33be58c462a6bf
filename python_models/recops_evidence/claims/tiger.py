"""TIGER, the first to retrieve by semantic IDs (arXiv 2305.05065), as UniRec's rival.

Apart from UniRec's other claims: an hour of training for each seed on Beauty.
"""

from __future__ import annotations

from recops_evidence.claims._unirec_models import BESIDE_TIGER

CLAIMS = BESIDE_TIGER
