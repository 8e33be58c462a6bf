"""Triton kernels of residual quantization, one file per step of the encoding.

A row or codeword tile is converted to float32 right after its load, because the interpreter stores
bfloat16 as 16-bit integers.
"""
