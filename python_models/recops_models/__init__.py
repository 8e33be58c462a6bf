"""Recommender systems on the kernels of recops: data, training, evaluation and command line."""
