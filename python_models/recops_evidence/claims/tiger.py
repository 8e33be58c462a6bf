"""TIGER (arXiv 2305.05065), the first retrieval by semantic IDs, as a rival of UniRec.

These claims are separate from UniRec's, because a seed on Beauty takes an hour of training.
"""

from __future__ import annotations

from recops_evidence.claims._unirec_models import TIGER_CLAIMS

CLAIMS = TIGER_CLAIMS
