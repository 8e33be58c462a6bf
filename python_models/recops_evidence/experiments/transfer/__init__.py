"""Experiments on transfer from a super-domain to a small domain: KEEP and its rivals."""

from recops_evidence.experiments.transfer.experiment import Transfer
from recops_evidence.experiments.transfer.keep_method import SHUFFLED
from recops_evidence.experiments.transfer.source import DomainSource

__all__ = ["SHUFFLED", "DomainSource", "Transfer"]
