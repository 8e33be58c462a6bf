"""How uncertain each step of a path is, once the tokens before it are known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recops_models.tokenizers.diagnosis.content import ChainEntropies, StepEntropy

Ints = NDArray[np.int64]

FOLDS = 5
"""Parts that the held-out estimate leaves out in turn."""


def chain_entropies(
    codes: Ints, attributes: Ints, *, folds: int = FOLDS, seed: int = 0
) -> ChainEntropies:
    """What knowing attributes takes from the entropy of codes, beside a control.

    By the chain rule ``H(s_l | s_<l) − H(s_l | a, s_<l) = I(a; s_l | s_<l) ≥ 0`` (UniRec, arXiv
    2604.12234, §4), and a plug-in estimate of the right-hand side is far above it: attributes that
    were dealt at random still tell items apart. So the same figures stand beside for shuffled
    attributes, and only what is gained beyond those is gained by what attributes mean.

    Args:
        codes: ``[N, L]``, of every item.
        attributes: ``[N, m]``, coarse to fine.
        folds: of the held-out estimate.
        seed: of the folds and of the shuffle.

    Raises:
        ValueError: rows that do not fit each other; fewer items than folds.
    """
    if len(attributes) != len(codes):
        raise ValueError(
            f"chain_entropies: attributes must have {len(codes)} rows, one an item, got "
            f"{len(attributes)}"
        )
    order = np.random.default_rng(seed).permutation(len(codes))

    def behind(prefix: Ints) -> list[StepEntropy]:
        m = prefix.shape[1]
        return step_entropies(np.concatenate([prefix, codes], 1), m, folds=folds, seed=seed)[m:]

    none, real, dealt = map(behind, (attributes[:, :0], attributes, attributes[order]))
    return {
        "none": none,
        "attributes": real,
        "shuffled": dealt,
        "gain": _fall(none, real),
        "shuffled_gain": _fall(none, dealt),
    }


def step_entropies(
    paths: Ints, num_attributes: int = 0, *, folds: int = FOLDS, seed: int = 0
) -> list[StepEntropy]:
    """``H(x_t | x_<t)`` of every step of ``paths [N, S]`` in bits, the items being a sample.

    - ``plug_in``: from the shares of what is there. It is far too low where most prefixes are
      rare: a prefix seen once says all about what follows.
    - ``miller_madow``: raised by ``(m_xc − m_c) / 2N`` nats, m the numbers of different prefixes
      with and without the step's token (Miller, 1955). Still too low there.
    - ``held_out``: the cross-entropy of items under shares taken from the others, fold by fold.
      Shares back off from the whole prefix to its codes alone and then to shorter ones, by Witten
      and Bell's weights (1991): ``p(x | c) = (n_cx + T_c p(x | c')) / (n_c + T_c)``, T_c the number
      of different tokens seen behind c, and behind nothing to the uniform law. It is an upper
      bound in expectation, and attributes that mean nothing do not lower it.

    O(S² · N log N).

    Args:
        paths: ``[N, S]``.
        num_attributes: how many of the first tokens are attributes.
        folds: parts that are held out in turn.
        seed: of the folds.

    Raises:
        ValueError: fewer items than folds, or fewer folds than two.
    """
    if not 2 <= folds <= len(paths):
        raise ValueError(
            f"step_entropies: folds must be from 2 to the number of items {len(paths)}, got {folds}"
        )
    fold = np.random.default_rng(seed).permutation(len(paths)) % folds
    found: list[StepEntropy] = []
    for step in range(paths.shape[1]):
        token = np.unique(paths[:, step], return_inverse=True)[1].reshape(-1)
        contexts = [_numbered(paths[:, columns]) for columns in _contexts(step, num_attributes)]
        whole = contexts[0]
        joint = _numbered(np.stack([whole, token], 1))
        plug_in = _entropy(joint) - _entropy(whole)
        kinds = int(joint.max()) - int(whole.max())
        corrected = plug_in + kinds / (2 * len(paths) * math.log(2))
        found.append(
            {
                "plug_in": plug_in,
                "miller_madow": corrected,
                "held_out": _held_out(token, contexts[::-1], fold, folds),
            }
        )
    return found


def _contexts(step: int, attributes: int) -> list[list[int]]:
    """Columns that a step's shares are taken behind, from the whole prefix down to nothing."""
    known = list(range(step))
    codes = known[attributes:] if step > attributes else known
    shorter = [codes[:length] for length in range(len(codes), -1, -1)]
    return shorter if codes == known else [known, *shorter]


def _numbered(columns: Ints) -> Ints:
    """Rows ``[N, n]`` as numbers from 0, equal for equal rows."""
    if not columns.shape[1]:
        return np.zeros(len(columns), np.int64)
    return np.asarray(np.unique(columns, axis=0, return_inverse=True)[1].reshape(-1), np.int64)


def _entropy(numbers: Ints) -> float:
    share = np.bincount(numbers) / len(numbers)
    return float(-(share * np.log2(share)).sum())


def _held_out(token: Ints, contexts: Sequence[Ints], fold: Ints, folds: int) -> float:
    """Bits a token, its shares backing off along ``contexts``, the shortest first."""
    joints = [_numbered(np.stack([context, token], 1)) for context in contexts]
    bits = 0.0
    for part in range(folds):
        out = fold == part
        share = np.full(int(out.sum()), 1 / (int(token.max()) + 1))
        for context, joint in zip(contexts, joints, strict=True):
            size = int(context.max()) + 1
            times = np.bincount(context[~out], minlength=size)
            both = np.bincount(joint[~out], minlength=int(joint.max()) + 1)
            first = np.unique(joint[~out], return_index=True)[1]
            kinds = np.bincount(context[~out][first], minlength=size)
            n, t = times[context[out]], kinds[context[out]]
            backed = (both[joint[out]] + t * share) / np.maximum(n + t, 1)
            share = np.where(n > 0, backed, share)
        bits -= float(np.log2(share).sum())
    return bits / len(token)


def _fall(before: Sequence[StepEntropy], after: Sequence[StepEntropy]) -> StepEntropy:
    def summed(steps: Sequence[StepEntropy]) -> NDArray[np.float64]:
        rows = [[s["plug_in"], s["miller_madow"], s["held_out"]] for s in steps]
        return np.asarray(np.sum(rows, 0))

    plug_in, miller_madow, held_out = (summed(before) - summed(after)).tolist()
    return {"plug_in": plug_in, "miller_madow": miller_madow, "held_out": held_out}
