"""League tables: all models and tuned baselines on the same data, split, features and budget."""
