"""Tokenizers: item vectors to semantic IDs, a short tuple of codes each."""

from recops_models.tokenizers.base import Tokenizer
from recops_models.tokenizers.clustering.sinkhorn import sinkhorn_assignment
from recops_models.tokenizers.collisions import resolve_collisions
from recops_models.tokenizers.diagnosis import diagnose
from recops_models.tokenizers.methods.rq_kmeans import RQKMeans
from recops_models.tokenizers.metrics import sid_metrics
from recops_models.tokenizers.registry import METHODS, load_tokenizer, make_tokenizer
from recops_models.tokenizers.sids import Sids, load_sids, save_sids

__all__ = [
    "METHODS",
    "RQKMeans",
    "Sids",
    "Tokenizer",
    "diagnose",
    "load_sids",
    "load_tokenizer",
    "make_tokenizer",
    "resolve_collisions",
    "save_sids",
    "sid_metrics",
    "sinkhorn_assignment",
]
