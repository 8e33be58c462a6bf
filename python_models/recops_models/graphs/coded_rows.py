"""Read-only tables of numbers in float32, bfloat16, or int8 with one scale per row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

Coding = Literal["float32", "bfloat16", "int8"]

_LARGEST = 127


@dataclass(frozen=True, eq=False)
class CodedRows:
    """Read-only table ``[N, d]`` in compact form.

    ``x_n ≈ scale_n · values_n``. bfloat16 has a relative error of at most 1/256. int8 has an
    absolute error of at most half a scale, ``max|x_n| / 254``.

    Attributes:
        values: ``[N, d]`` f32, bf16 or i8.
        scale: ``[N]`` f32 for int8, else None; 0 for a row of zeros.

    Examples:
        >>> rows = CodedRows.of(torch.tensor([[1.0, -2.0], [0.0, 0.0]]), "int8")
        >>> rows.take(torch.tensor([0, 1]))
        tensor([[ 1.0079, -2.0000],
                [ 0.0000,  0.0000]])
    """

    values: Tensor
    scale: Tensor | None = None

    @classmethod
    def of(cls, x: Tensor, coding: Coding) -> CodedRows:
        """Encode floats ``x [N, d]``.

        Raises:
            ValueError: an unknown coding, another shape, or a number that is not finite.
        """
        if coding not in get_args(Coding):
            raise ValueError(f"CodedRows: coding must be float32, bfloat16 or int8, got {coding!r}")
        if x.ndim != 2 or not x.is_floating_point():
            raise ValueError(f"CodedRows: x must be floats [N, d], got {x.dtype} {list(x.shape)}")
        if not x.isfinite().all():
            raise ValueError("CodedRows: x must be finite, got NaN or infinity")
        if coding != "int8":
            return cls(x.detach().to(getattr(torch, coding), copy=True))
        x = x.detach().float()
        scale = x.abs().amax(1) / _LARGEST if x.shape[1] else x.new_zeros(len(x))
        rounded = (x / torch.where(scale > 0, scale, 1)[:, None]).round()
        return cls(rounded.to(torch.int8), scale)

    @property
    def coding(self) -> Coding:
        """Coding of the values."""
        if self.scale is not None:
            return "int8"
        return "bfloat16" if self.values.dtype == torch.bfloat16 else "float32"

    @property
    def nbytes(self) -> int:
        """Number of bytes of values and scales."""
        return self.values.nbytes + (0 if self.scale is None else self.scale.nbytes)

    def take(self, rows: Tensor) -> Tensor:
        """Return ``[n, d]`` f32 for ``rows [n]`` i64."""
        values = self.values[rows].float()
        return values if self.scale is None else values * self.scale[rows][:, None]

    def decoded(self) -> Tensor:
        """Return all rows, ``[N, d]`` f32."""
        values = self.values.float()
        return values if self.scale is None else values * self.scale[:, None]
