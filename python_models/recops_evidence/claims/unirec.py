"""UniRec: generative recommendation with an attribute prefix, Shopee, 2026."""

from __future__ import annotations

from recops_evidence.claims._unirec_capacity import CAPACITY
from recops_evidence.claims._unirec_levers import LEVERS
from recops_evidence.claims._unirec_parts import ALIGNMENT, CONTROLS, NEW_ITEMS, PARTS
from recops_evidence.claims._unirec_published import PUBLISHED

CLAIMS = (
    *CAPACITY,
    *PARTS,
    *LEVERS,
    *ALIGNMENT,
    *CONTROLS,
    *NEW_ITEMS,
    *PUBLISHED,
)
