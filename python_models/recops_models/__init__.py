"""Complete recommenders on the kernels of recops: data, training, evaluation, command line."""
