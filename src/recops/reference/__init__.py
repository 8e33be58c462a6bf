"""Each op once more in plain, obvious PyTorch: the specification that tests and benches compare with."""
