"""Python interface of the recommenders; :mod:`recops_models` exports its names."""
