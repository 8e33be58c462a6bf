"""Tokenizers, one file per method, and their common parts."""
