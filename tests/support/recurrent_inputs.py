"""Inputs for the tests of recurrent scans, with methods to call and differentiate them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor

from tolerances import wide

# (cell, reset, update), with every value of each.
FORMS = [
    ("gru", "after", "paper"),
    ("gru", "before", "paper"),
    ("agru", "after", "paper"),
    ("agru", "before", "or"),
    ("augru", "after", "paper"),
    ("augru", "after", "or"),
    ("augru", "before", "paper"),
    ("augru", "before", "or"),
]


@dataclass
class Scan:
    """Arguments of ``recurrent_scan``, or with ``inputs`` those of ``recurrent_layer``."""

    rows: int = 5
    steps: int = 6
    hidden: int = 7
    inputs: int | None = None
    form: tuple[str, str, str] = ("augru", "after", "paper")
    dtype: torch.dtype = torch.float32
    biases: bool = True
    start: bool = True
    ragged: bool = True
    users: int | None = None  # Fewer than rows: rows share gates.
    seed: int = 0
    tensors: dict[str, Tensor] = field(init=False)
    keywords: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        random = torch.Generator().manual_seed(self.seed)

        def values(*shape: int, scale: float = 1.0) -> Tensor:
            drawn = torch.randn(shape, generator=random, dtype=torch.float64)
            return (scale * drawn).to(wide(self.dtype))

        hidden, sources = self.hidden, self.rows if self.users is None else self.users
        cell, reset, update = self.form
        scale = hidden**-0.5
        width = 3 * hidden if self.inputs is None else self.inputs
        first = values(sources, self.steps, width).to(self.dtype)
        self.tensors = {"gates" if self.inputs is None else "x": first}
        if self.inputs is not None:
            self.tensors["w_ih"] = values(3 * hidden, width, scale=scale)
        self.tensors["w_hh"] = values(3 * hidden, hidden, scale=scale)
        if self.biases:
            if self.inputs is not None:
                self.tensors["b_ih"] = values(3 * hidden)
            self.tensors["b_hh"] = values(3 * hidden)
        if self.start:
            self.tensors["h0"] = values(self.rows, hidden)
        if cell != "gru":
            attention = torch.rand(self.rows, self.steps, generator=random, dtype=torch.float64)
            self.tensors["attention"] = attention.to(wide(self.dtype))
        self.keywords = {"cell": cell, "reset": reset, "update": update}
        if self.ragged:
            self.keywords["lengths"] = torch.randint(
                0, self.steps + 1, (sources,), generator=random
            )
        if self.users is not None:
            self.keywords["gates_index"] = torch.randint(
                0, self.users, (self.rows,), generator=random
            )

    @property
    def name(self) -> str:
        return "recurrent_scan" if self.inputs is None else "recurrent_layer"

    def leaves(self, dtype: torch.dtype | None = None) -> dict[str, Tensor]:
        """Return copies of the tensors as leaves, converted to ``dtype`` if given."""
        return {
            name: tensor.detach().to(dtype or tensor.dtype).clone().requires_grad_()
            for name, tensor in self.tensors.items()
        }

    def run(self, module: Any, **changes: Any) -> tuple[Tensor, Tensor]:
        """Return ``(outputs, h_last)`` of the function with this name in ``module``."""
        result: tuple[Tensor, Tensor] = getattr(module, self.name)(
            **{**self.tensors, **self.keywords, **changes}
        )
        return result

    def gradients(self, module: Any, dtype: torch.dtype | None = None, **changes: Any) -> Any:
        """Return ``(outputs, h_last)``, and gradients by name of a weighted sum of both."""
        leaves = self.leaves(dtype)
        outputs, h_last = self.run(module, **{**leaves, **changes})
        weights = torch.Generator().manual_seed(self.seed + 1)
        loss = sum(
            (torch.randn(each.shape, generator=weights).to(each.dtype) * each).sum()
            for each in (outputs, h_last)
        )
        assert isinstance(loss, Tensor)
        loss = loss + sum(0 * leaf.sum() for leaf in leaves.values())  # Unused leaves get 0.
        gradients = torch.autograd.grad(loss, list(leaves.values()))
        return (outputs, h_last), dict(zip(leaves, gradients, strict=True))


LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "time-major": lambda x: x.transpose(0, 1).contiguous().transpose(0, 1),
    "every other": lambda x: torch.stack([x, x], -1).flatten(-2)[..., ::2],
}


every_form = pytest.mark.parametrize("form", FORMS, ids="-".join)
layer_or_scan = pytest.mark.parametrize("inputs", [None, 5], ids=["scan", "layer"])
