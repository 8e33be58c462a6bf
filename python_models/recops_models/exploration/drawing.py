"""Lists drawn item by item from the probabilities of a selection."""

from __future__ import annotations

import torch
from torch import Tensor

from recops._dtypes import widest_dtype
from recops_models.exploration.selection import Selection


def draw_lists(
    selection: Selection, scores: Tensor, available: Tensor, draws: Tensor
) -> tuple[Tensor, Tensor]:
    """Draw k of each row's candidates, one after the other and without repetition.

    With :class:`~recops_models.exploration.selection.Softmax` without ε, a list follows the
    Plackett–Luce model of ``exp(score / temperature)``.

    Args:
        selection: turns scores of the remaining candidates into probabilities.
        scores: ``[R, C]``, finite where available.
        available: ``[R, C]`` bool.
        draws: ``[R, k]``, uniform on (0, 1).

    Returns:
        ``[R, k]`` i64, the candidates in the order of the list, −1 where none remains; and
        ``[R, k]`` f64 (f32 on a device without float64), the probability of each given the earlier
        ones of its row, 0 where none remains. The product along a row is the list's probability.

    Example:
        >>> import torch
        >>> from recops_models.exploration.drawing import draw_lists
        >>> from recops_models.exploration.selection import Greedy
        >>> scores, all_of_them = torch.tensor([[1.0, 3.0, 2.0]]), torch.ones(1, 3).bool()
        >>> lists, p = draw_lists(Greedy(epsilon=0.3), scores, all_of_them, torch.full((1, 2), 0.5))
        >>> lists.tolist(), [round(each, 3) for each in p[0].tolist()]
        ([[1, 2]], [0.8, 0.85])
    """
    remaining = available.clone()
    items = torch.full(draws.shape, -1, dtype=torch.int64, device=scores.device)
    propensity = torch.zeros(draws.shape, dtype=widest_dtype(scores.device), device=scores.device)
    for position in range(draws.shape[1]):
        rows = remaining.any(1).nonzero().squeeze(1)
        if not len(rows):
            break
        share = selection.probabilities(scores[rows], remaining[rows])
        item = _draw(share, draws[rows, position])
        items[rows, position] = item
        propensity[rows, position] = share.gather(1, item[:, None]).squeeze(1)
        remaining[rows, item] = False
    return items, propensity


def list_propensities(
    selection: Selection, scores: Tensor, available: Tensor, items: Tensor
) -> Tensor:
    """Return the probability of each item of given lists, given the earlier ones; ``[R, k]`` f64.

    Args:
        selection: see :func:`draw_lists`.
        scores: ``[R, C]``, finite where available.
        available: ``[R, C]`` bool.
        items: ``[R, k]`` i64, different available candidates of each row.
    """
    remaining = available.clone()
    columns = []
    for item in items.unbind(1):
        share = selection.probabilities(scores, remaining)
        columns.append(share.gather(1, item[:, None]).squeeze(1))
        remaining = remaining.scatter(1, item[:, None], False)
    return torch.stack(columns, 1)


def _draw(probability: Tensor, u: Tensor) -> Tensor:
    """Return the index ``[R]`` i64 at which a row's running sum passes ``u[row]``.

    Args:
        probability: ``[R, C]``.
        u: ``[R]``, uniform on (0, 1).
    """
    total = probability.cumsum(1)
    index = torch.searchsorted(total, u[:, None] * total[:, -1:], right=True).squeeze(1)
    # Rounding must not select an item after the last one of positive probability.
    last = probability.shape[1] - 1 - (probability > 0).flip(1).int().argmax(1)
    return torch.minimum(index, last)
