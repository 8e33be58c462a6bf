"""Latent roots of a path: a mixture of path distributions with shared weights [I]."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Roots(nn.Module):
    """R root tokens that precede a path: ``p(x | h) = Σ_r p(r | h) Π_t p(x_t | x_<t, r, h)``.

    With one root, items that share a prefix share the probability of this prefix, so the paths of
    one tree limit which items can be likely together. With several roots, each history has a
    mixture of R such distributions. ``p(r | h) = softmax(W h_agg + b)`` starts uniform, and the
    embedding of the root is added to the query of every step.

    Latent root tokens are the idea of Latte (arXiv 2605.06331), which draws the root in training
    and searches beams from all roots. Here the sum over roots is exact, in the loss and in each
    step of beam search, which is possible because R is small. A beam has the probability of its
    prefix under all roots, so no item occurs twice. Decoding costs R times that of one root.

    Args:
        roots: R, at least 2.
        width: d.
        aggregate: width of h_agg.

    Example:
        >>> import torch
        >>> from recops_models.generative.unirec.roots import Roots
        >>> roots = Roots(roots=3, width=8, aggregate=16)
        >>> roots.queries(torch.randn(2, 5, 8)).shape
        torch.Size([2, 5, 3, 8])
        >>> roots.log_prior(torch.zeros(2, 16)).exp()[0]
        tensor([0.3333, 0.3333, 0.3333], grad_fn=<SelectBackward0>)
    """

    def __init__(self, roots: int, width: int, aggregate: int) -> None:
        super().__init__()
        self.count = roots
        self.embedding = nn.Parameter(torch.empty(roots, width))
        self.prior = nn.Linear(aggregate, roots)
        nn.init.normal_(self.embedding, std=width**-0.5)
        nn.init.zeros_(self.prior.weight)
        nn.init.zeros_(self.prior.bias)

    def queries(self, query: Tensor) -> Tensor:
        """Return queries ``[…, R, d]`` of each root, for ``query […, d]``."""
        return query[..., None, :] + self.embedding

    def each(self, field: Tensor) -> Tensor:
        """Return ``[…, R, n]`` views of ``field […, n]``, which does not depend on the root."""
        return field[..., None, :].expand(*field.shape[:-1], self.count, field.shape[-1])

    def log_prior(self, aggregate: Tensor) -> Tensor:
        """Return ``ln p(r | h)``, ``[…, R]``, from h_agg ``[…, n]``."""
        out: Tensor = self.prior(aggregate).log_softmax(-1)
        return out


def marginal_log_probs(log_prior: Tensor, log_probs: Tensor) -> Tensor:
    """Return ``ln p(x_t | x_<t, h)`` ``[n, S]`` of a mixture; a row's sum is ``ln p(x | h)``.

    It is ``ln Σ_r p(r) p(x_≤t | r) − ln Σ_r p(r) p(x_<t | r)``.

    Args:
        log_prior: ``ln p(r | h)``, ``[n, R]``.
        log_probs: ``ln p(x_t | x_<t, r, h)``, ``[n, S, R]``.

    Example:
        >>> import torch
        >>> from recops_models.generative.unirec.roots import marginal_log_probs
        >>> prior = torch.tensor([[0.5, 0.5]])  # two roots that agree on no token
        >>> steps = torch.tensor([[[1.0, 1e-9], [0.2, 0.9]]])
        >>> marginal_log_probs(prior.log(), steps.log()).exp()
        tensor([[0.5000, 0.2000]])
    """
    prefixes = torch.cat([log_prior[:, None], log_probs], 1).cumsum(1)  # (n, 1 + S, R)
    return prefixes.logsumexp(-1).diff(dim=1)
