"""Experiments that transfer what a super-domain shows into a small domain (KEEP and rivals)."""

from recops_evidence.experiments.transfer.experiment import Transfer
from recops_evidence.experiments.transfer.keep_method import SHUFFLED
from recops_evidence.experiments.transfer.source import DomainSource

__all__ = ["SHUFFLED", "DomainSource", "Transfer"]
