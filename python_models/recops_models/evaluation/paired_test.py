"""Whether two arms differ by more than their seeds would have them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from recops_models.evaluation.samples import require_level, require_paired


class PairedTest(NamedTuple):
    """How two arms differ over the seeds that they share.

    Attributes:
        mean: of first − second.
        low: the lower end of Student's interval of the mean.
        high: its upper end.
        t_test: the two-sided p-value of the paired t-test.
        wilcoxon: that of Wilcoxon's signed-rank test, which assumes no normal law; with n seeds it
            cannot fall below 2^(1 − n). NaN where every difference is 0.
        seeds: how many.
    """

    mean: float
    low: float
    high: float
    t_test: float
    wilcoxon: float
    seeds: int


def paired_test(
    first: npt.NDArray[np.floating], second: npt.NDArray[np.floating], *, level: float = 0.95
) -> PairedTest:
    """Whether two arms differ by more than their seeds would have them.

    Where all differences are equal the interval is that one number, and the t-test's p-value is 0,
    or 1 if they are all 0.

    Args:
        first: ``[S]``, an arm's figure for each seed, S ≥ 2.
        second: ``[S]``, the other arm's, for the same seeds.
        level: the interval's coverage, within (0, 1).

    Raises:
        ValueError: the shapes differ, there are fewer than two seeds, a figure is not finite, or
            ``level`` is out of range.
    """
    require_paired("paired_test", first, second, 2)
    require_level("paired_test", level)
    difference = np.asarray(first, dtype=np.float64) - second
    if not np.isfinite(difference).all():
        raise ValueError("paired_test: figures must be finite")
    mean = float(difference.mean())
    error = float(difference.std(ddof=1)) / len(difference) ** 0.5
    law = stats.t(len(difference) - 1)
    reach = float(law.ppf((1 + level) / 2)) * error
    t_test = float(2 * law.sf(abs(mean) / error)) if error else float(mean == 0)
    wilcoxon = float(stats.wilcoxon(difference).pvalue) if difference.any() else float("nan")
    return PairedTest(mean, mean - reach, mean + reach, t_test, wilcoxon, len(difference))
