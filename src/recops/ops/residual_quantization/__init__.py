"""Residual quantization: encoding, decoding and the sums that train codebooks.

A vector x is approximated by a sum of codewords, one per level. Starting from r₀ = x, level l takes
the codeword c nearest to r_l and leaves the residual r_{l+1} = r_l − c. The codes of all levels are
the semantic ID of the vector. "Nearest" is by squared distance or by cosine. In a product of G
groups, x is cut into G pieces, and each piece has separate levels.
"""
