"""Pytest plugin: take the Triton kernels from a folder with a defect in them.

The folder, in ``RECOPS_DEFECT``, holds a changed copy of ``ops/residual_quantization/triton``.
"""

from __future__ import annotations

import os

import recops.ops.residual_quantization

recops.ops.residual_quantization.__path__.insert(0, os.environ["RECOPS_DEFECT"])
