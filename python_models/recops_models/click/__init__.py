"""Click models, one file per model: from a batch of features to logits."""
