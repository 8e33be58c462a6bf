"""Evidence: claims of papers as paired experiments, with equal tuning and an interval."""

from recops_models.evidence.claim import Arm, Claim
from recops_models.evidence.experiment import Experiment
from recops_models.evidence.harness import Finding, Progress
from recops_models.evidence.reproduce import reproduce

__all__ = ["Arm", "Claim", "Experiment", "Finding", "Progress", "reproduce"]
