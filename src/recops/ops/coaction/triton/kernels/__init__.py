"""Triton kernels of co-action: one program per candidate.

Tiles are converted to float32 right after their load, because the interpreter stores bfloat16 as
16-bit integers. Widths of tiles are powers of two; columns past a layer's width are zero.
"""
