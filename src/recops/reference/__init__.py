"""Each op in plain PyTorch: the specification that tests and benches compare with."""

from recops.reference.residual_quantization import (
    accumulate_codes,
    nearest_codes,
    rq_decode,
    rq_encode,
)

__all__ = ["accumulate_codes", "nearest_codes", "rq_decode", "rq_encode"]
