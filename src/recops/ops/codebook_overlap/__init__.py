"""Overlap of the codewords of a codebook, and its effective capacity.

Replace every codeword by a Gaussian of width σ. Codewords that are far apart stay distinct, and
close ones are confused with each other. The overlap is the expected confusion of two codes that
are drawn by their usage. Its inverse is the effective capacity: the size of a uniform codebook
without overlap that has the same expected confusion.
"""
