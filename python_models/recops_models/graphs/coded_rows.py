"""Rows of numbers at rest: in float32, in bfloat16, or in int8 with a scale a row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

Coding = Literal["float32", "bfloat16", "int8"]

_LARGEST = 127


@dataclass(frozen=True, eq=False)
class CodedRows:
    """A table that is only read.

    ``x_n ≈ scale_n · values_n``. In bfloat16 a number keeps 8 bits, so that it is off by at most
    1/256 of itself; in int8 by at most half a scale, ``max|x_n| / 254``.

    Attributes:
        values: ``[N, d]`` f32, bf16 or i8.
        scale: ``[N]`` f32, of int8 alone; a row of zeros has 0.

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
        """``x [N, d]`` floats, coded.

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
        whole = (x / torch.where(scale > 0, scale, 1)[:, None]).round()
        return cls(whole.to(torch.int8), scale)

    @property
    def coding(self) -> Coding:
        """How it is at rest."""
        if self.scale is not None:
            return "int8"
        return "bfloat16" if self.values.dtype == torch.bfloat16 else "float32"

    @property
    def nbytes(self) -> int:
        """Of values and scales."""
        return self.values.nbytes + (0 if self.scale is None else self.scale.nbytes)

    def take(self, rows: Tensor) -> Tensor:
        """``[n, d]`` f32 of ``rows [n]`` i64."""
        taken = self.values[rows].float()
        return taken if self.scale is None else taken * self.scale[rows][:, None]

    def decoded(self) -> Tensor:
        """``[N, d]`` f32."""
        values = self.values.float()
        return values if self.scale is None else values * self.scale[:, None]
