"""The public functions, a folder a family, on the ops of the same stem in ``torch.ops.recops``."""
