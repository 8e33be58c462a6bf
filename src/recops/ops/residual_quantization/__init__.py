"""Residual quantization: vectors to codes, codes to vectors, and the sums codebooks are made of.

A vector x is written as a sum of codewords, one a level: r₀ = x; level l takes the codeword nearest
to r_l and leaves r_{l+1} = r_l − c. The codes of all levels together are the vector's semantic ID.
Nearest is by squared distance or by cosine; in a product of G groups, each piece of x has levels
of its own.
"""
