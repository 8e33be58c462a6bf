"""Training: one trainer for every model that learns by gradient."""

from recops_models.training.trainer import Epoch, Fit, Trainable, TrainingConfig, fit

__all__ = ["Epoch", "Fit", "Trainable", "TrainingConfig", "fit"]
