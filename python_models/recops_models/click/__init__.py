"""Click models: one file a model, each from a batch of features to logits."""
