"""Compiled kernels for recommender systems, as torch custom ops."""

from recops._load import build_info, cpu_isa, load_ops

load_ops()

# After load_ops(): the modules register fakes and gradients for ops that must be there.
from recops.ops.residual_quantization import (  # noqa: E402
    accumulate_codes,
    nearest_codes,
    rq_decode,
    rq_encode,
)

__version__ = str(build_info()["version"])

__all__ = [
    "__version__",
    "accumulate_codes",
    "build_info",
    "cpu_isa",
    "nearest_codes",
    "rq_decode",
    "rq_encode",
]
