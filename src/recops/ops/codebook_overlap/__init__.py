"""How much the codewords of a codebook overlap, and how many codewords it is worth.

Blur every codeword into a Gaussian of width σ. Two codewords that are far apart stay distinct, two
that are close are confused with each other. The overlap is the expected confusion of two codes
drawn by their usage; its inverse is the size of a uniform codebook without overlap that is as hard
to confuse: the effective capacity.
"""
