"""Public functions, one folder per family; each calls ops of the same stem in torch.ops.recops."""
