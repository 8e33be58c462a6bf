"""Paired experiments on the papers' claims, with equal tuning and confidence intervals."""

from recops_evidence.harness.claim import Arm, Claim
from recops_evidence.harness.experiment import Experiment
from recops_evidence.harness.finding import Finding
from recops_evidence.harness.reproduce import reproduce

__all__ = ["Arm", "Claim", "Experiment", "Finding", "reproduce"]
