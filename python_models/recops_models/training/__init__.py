"""Trainer, tasks, optimizers and checkpoints for all models that are trained by gradient."""
