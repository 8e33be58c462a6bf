"""Evidence: claims of papers as paired experiments, with equal tuning and an interval."""

from recops_models.evidence.harness.claim import Arm, Claim
from recops_models.evidence.harness.experiment import Experiment
from recops_models.evidence.harness.finding import Finding
from recops_models.evidence.harness.reproduce import reproduce

__all__ = ["Arm", "Claim", "Experiment", "Finding", "reproduce"]
