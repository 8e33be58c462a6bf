"""Conversion of codebooks from and to faiss: public name of :mod:`recops.integrations.faiss`."""

from recops.integrations.faiss import codebooks_from_faiss, codebooks_to_faiss

__all__ = ["codebooks_from_faiss", "codebooks_to_faiss"]
