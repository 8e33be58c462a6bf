"""The public functions, one file a family. Each is backed by ops of the same stem in ``torch.ops.recops``."""
