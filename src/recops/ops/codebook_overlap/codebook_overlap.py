"""Expected overlap of two codewords drawn by usage."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, get_args

import torch
from torch import Tensor

from recops._checks import FLOATS, check_choice, check_number, check_tensor
from recops._dtypes import compute_dtype
from recops._load import ops
from recops.ops._autocast import autocast_to_float32
from recops.ops._autograd import refuse_derivative, register_autograd

__all__ = ["OverlapKernel", "codebook_overlap"]

OverlapKernel: TypeAlias = Literal["bhattacharyya", "product", "minimum"]

# Within these bounds, all powers of sigma that the kernels need stay in the range of float32.
_SIGMA_RANGE = (1e-15, 1e15)


def codebook_overlap(
    codebook: Tensor, usage: Tensor, sigma: float, *, kernel: OverlapKernel = "bhattacharyya"
) -> tuple[Tensor, Tensor]:
    """Compute the expected overlap of two codewords drawn by usage, and each codeword's share.

    ``row_sums[i] = Σ_j usage[j] · κ_ij`` and ``overlap = Σ_i usage[i] · row_sums[i]``, where κ_ij
    is the overlap of the Gaussians N(c_i, σ²I) and N(c_j, σ²I) at distance δ = ‖c_i − c_j‖:

    - ``"bhattacharyya"``: exp(−δ²/8σ²), the Bhattacharyya coefficient;
    - ``"product"``: exp(−δ²/4σ²), the normalised L² product;
    - ``"minimum"``: erfc(δ/(2√2 σ)) = ∫ min, twice the Bayes error of separating the two Gaussians.

    κ_ii is exactly 1, because squared distances are sums of squared differences. Usage is not
    normalised; if it sums to 1, then Σ usage² ≤ overlap ≤ 1.

    Differentiable once in ``codebook`` and ``usage``. The kernel "minimum" has a cusp where two
    codewords coincide; such a pair adds nothing to the gradient. An overlap that is too small for
    float32 counts as 2⁻¹²⁶.

    Args:
        codebook: ``[K, D]`` float32, bfloat16, float16 or float64, any strides; finite.
        usage: ``[K]`` floating point, finite: the share of items, or of exposure, of each code.
        sigma: σ, in the codebook's unit, from 1e-15 to 1e15.
        kernel: the overlap to compute.

    Returns:
        ``overlap []`` and ``row_sums [K]``, float32 (float64 for a float64 codebook). Sums run over
        the codewords in order, so results are bit-identical at any thread count.

    Raises:
        TypeError: a tensor has an unsupported dtype.
        ValueError: shapes do not match, there are no codewords, values are not finite, sigma is out
            of range, or the kernel is unknown.

    Time is O(K² · D) and memory O(K · D): the K × K matrix is never made. On a CUDA GPU, the
    backward pass stores blocks of rows of it, at most 67 MB. There, a value that is not finite
    raises an error only within :func:`recops.debug`; otherwise the results that it reaches are NaN.

    Source: O_π of "Decoupled residual quantization for robust semantic IDs" (DRQ), 2026. The paper
    defines the perturbation as an isotropic Gaussian but no kernel; the kernels are our
    interpretation.

    Examples:
        >>> codebook = torch.tensor([[0.0], [100.0], [100.0]])
        >>> usage = torch.tensor([0.5, 0.25, 0.25])
        >>> recops.codebook_overlap(codebook, usage, 1.0)  # the last two coincide
        (tensor(0.5000), tensor([0.5000, 0.5000, 0.5000]))
    """
    op = "codebook_overlap"
    check_tensor(op, "codebook", codebook, ndim=2, dtypes=FLOATS)
    check_tensor(op, "usage", usage, ndim=1, dtypes=FLOATS, device=codebook.device)
    if codebook.shape[0] == 0:
        raise ValueError(f"{op}: codebook must hold at least one codeword, got none")
    if usage.shape[0] != codebook.shape[0]:
        raise ValueError(
            f"{op}: usage must have {codebook.shape[0]} entries, one per codeword, "
            f"got {usage.shape[0]}"
        )
    check_number(op, "sigma", sigma, least=_SIGMA_RANGE[0], most=_SIGMA_RANGE[1])
    check_choice(op, "kernel", kernel, get_args(OverlapKernel))
    dtype = compute_dtype(codebook.dtype)
    return ops.codebook_overlap(codebook.to(dtype), usage.to(dtype), sigma, kernel)


def _fake_overlap(
    codebook: Tensor, usage: Tensor, sigma: float, kernel: str
) -> tuple[Tensor, Tensor]:
    return codebook.new_empty(()), codebook.new_empty(codebook.shape[0])


def _fake_backward(
    grad_overlap: Tensor,
    grad_row_sums: Tensor,
    codebook: Tensor,
    usage: Tensor,
    sigma: float,
    kernel: str,
) -> tuple[Tensor, Tensor]:
    return codebook.new_empty(codebook.shape), codebook.new_empty(codebook.shape[0])


def _save(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
    codebook, usage, ctx.sigma, ctx.kernel = inputs
    ctx.save_for_backward(codebook, usage)


def _grad(
    ctx: Any, grad_overlap: Tensor, grad_row_sums: Tensor
) -> tuple[Tensor, Tensor, None, None]:
    codebook, usage = ctx.saved_tensors
    grad_codebook, grad_usage = ops.codebook_overlap_backward(
        grad_overlap, grad_row_sums, codebook, usage, ctx.sigma, ctx.kernel
    )
    return grad_codebook, grad_usage, None, None


torch.library.register_fake("recops::codebook_overlap", _fake_overlap)
torch.library.register_fake("recops::codebook_overlap_backward", _fake_backward)
register_autograd("codebook_overlap", _grad, _save)
refuse_derivative("codebook_overlap_backward", "codebook overlap has")
autocast_to_float32("codebook_overlap")
