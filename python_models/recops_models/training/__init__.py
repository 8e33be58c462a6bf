"""Training: one trainer for every model that learns by gradient."""

from recops_models.training.config import TrainingConfig
from recops_models.training.curve import Epoch, Fit
from recops_models.training.task import Pass, Task
from recops_models.training.trainer import fit

__all__ = ["Epoch", "Fit", "Pass", "Task", "TrainingConfig", "fit"]
