"""The public functions, one file a family, on the ops of the same stem in ``torch.ops.recops``."""
