"""Each op once more in plain, obvious PyTorch: the specification for tests and benches."""
