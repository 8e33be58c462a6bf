"""Entropy of each token of a path, given the tokens before it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recops_models.tokenizers.diagnosis.content import ChainEntropies, StepEntropy

Ints = NDArray[np.int64]

FOLDS = 5
"""Default number of folds of the held-out estimate."""


def chain_entropies(
    codes: Ints, attributes: Ints, *, folds: int = FOLDS, seed: int = 0
) -> ChainEntropies:
    """Return the entropy of codes without attributes, with them, and with shuffled ones.

    By the chain rule ``H(s_l | s_<l) − H(s_l | a, s_<l) = I(a; s_l | s_<l) ≥ 0`` (UniRec, arXiv
    2604.12234, §4). A plug-in estimate of this difference is far too high, since random attributes
    also distinguish items. Shuffled attributes are the control: only a gain beyond theirs comes
    from the meaning of the attributes.

    Args:
        codes: ``[N, L]``.
        attributes: ``[N, m]``, coarse to fine.
        folds: folds of the held-out estimate.
        seed: seed of the folds and of the shuffle.

    Raises:
        ValueError: ``attributes`` has another number of rows, or there are fewer items than folds.
    """
    if len(attributes) != len(codes):
        raise ValueError(
            f"chain_entropies: attributes must have {len(codes)} rows, one per item, got "
            f"{len(attributes)}"
        )
    order = np.random.default_rng(seed).permutation(len(codes))

    def code_entropies(prefix: Ints) -> list[StepEntropy]:
        m = prefix.shape[1]
        return step_entropies(np.concatenate([prefix, codes], 1), m, folds=folds, seed=seed)[m:]

    none, original, shuffled = map(
        code_entropies, (attributes[:, :0], attributes, attributes[order])
    )
    return {
        "none": none,
        "attributes": original,
        "shuffled": shuffled,
        "gain": _gain(none, original),
        "shuffled_gain": _gain(none, shuffled),
    }


def step_entropies(
    paths: Ints, num_attributes: int = 0, *, folds: int = FOLDS, seed: int = 0
) -> list[StepEntropy]:
    """Return estimates of ``H(x_t | x_<t)`` in bits for each step, with the items as a sample.

    - ``plug_in``: from relative frequencies. It is far too low if most prefixes are rare, since a
      prefix that occurs once determines the next token.
    - ``miller_madow``: increased by ``(m_xc − m_c) / 2N`` nats, where m_xc and m_c are the numbers
      of different prefixes with and without the step's token (Miller, 1955). Still too low.
    - ``held_out``: cross-entropy of the items of each fold under frequencies of the other folds.
      Frequencies back off from the whole prefix to its codes, then to fewer codes, with the weights
      of Witten and Bell (1991): ``p(x | c) = (n_cx + T_c p(x | c')) / (n_c + T_c)``, where T_c is
      the number of different tokens after c; the shortest context backs off to the uniform
      distribution. This is an upper bound in expectation; meaningless attributes do not lower it.

    O(S² · N log N).

    Args:
        paths: ``[N, S]``.
        num_attributes: number of attribute tokens at the start of a path.
        folds: number of folds.
        seed: seed of the folds.

    Raises:
        ValueError: ``folds`` is below 2, or above the number of items.
    """
    if not 2 <= folds <= len(paths):
        raise ValueError(
            f"step_entropies: folds must be from 2 to the number of items {len(paths)}, got {folds}"
        )
    fold = np.random.default_rng(seed).permutation(len(paths)) % folds
    entropies: list[StepEntropy] = []
    for step in range(paths.shape[1]):
        token = np.unique(paths[:, step], return_inverse=True)[1].reshape(-1)
        contexts = [_numbered(paths[:, columns]) for columns in _contexts(step, num_attributes)]
        prefix = contexts[0]
        joint = _numbered(np.stack([prefix, token], 1))
        plug_in = _entropy(joint) - _entropy(prefix)
        kinds = int(joint.max()) - int(prefix.max())
        corrected = plug_in + kinds / (2 * len(paths) * math.log(2))
        entropies.append(
            {
                "plug_in": plug_in,
                "miller_madow": corrected,
                "held_out": _held_out(token, contexts[::-1], fold, folds),
            }
        )
    return entropies


def _contexts(step: int, attributes: int) -> list[list[int]]:
    """Return the columns of each context of a step, from the whole prefix to the empty one."""
    known = list(range(step))
    codes = known[attributes:] if step > attributes else known
    shorter = [codes[:length] for length in range(len(codes), -1, -1)]
    return shorter if codes == known else [known, *shorter]


def _numbered(columns: Ints) -> Ints:
    """Return a number per row of ``[N, n]``, from 0, equal for equal rows."""
    if not columns.shape[1]:
        return np.zeros(len(columns), np.int64)
    return np.asarray(np.unique(columns, axis=0, return_inverse=True)[1].reshape(-1), np.int64)


def _entropy(numbers: Ints) -> float:
    share = np.bincount(numbers) / len(numbers)
    return float(-(share * np.log2(share)).sum())


def _held_out(token: Ints, contexts: Sequence[Ints], fold: Ints, folds: int) -> float:
    """Return the held-out bits per token; ``contexts`` are sorted from the shortest."""
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


def _gain(before: Sequence[StepEntropy], after: Sequence[StepEntropy]) -> StepEntropy:
    def summed(steps: Sequence[StepEntropy]) -> NDArray[np.float64]:
        rows = [[s["plug_in"], s["miller_madow"], s["held_out"]] for s in steps]
        return np.asarray(np.sum(rows, 0))

    plug_in, miller_madow, held_out = (summed(before) - summed(after)).tolist()
    return {"plug_in": plug_in, "miller_madow": miller_madow, "held_out": held_out}
