"""Click examples: their schema and features, blocks, negatives, loaders and streams."""
