"""Registry of tokenizers by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from recops.files import CorruptFileError, load_tensors
from recops_models.settings import changed
from recops_models.tokenizers.base import Tokenizer
from recops_models.tokenizers.methods.balanced_rq import BalancedRQ
from recops_models.tokenizers.methods.drq_vae import DRQVAE, DRQVAEContrast
from recops_models.tokenizers.methods.fsq import FSQ
from recops_models.tokenizers.methods.rq_kmeans import RQKMeans
from recops_models.tokenizers.methods.rq_vae import RQVAE
from recops_models.tokenizers.methods.rqp_vae import RQPVAE
from recops_models.tokenizers.stored import KIND

METHODS: dict[str, type[Tokenizer]] = {
    kind.method: kind for kind in (RQKMeans, BalancedRQ, RQVAE, RQPVAE, DRQVAE, DRQVAEContrast, FSQ)
}
"""Classes by method name."""


def make_tokenizer(
    method: str,
    levels: int = 3,
    codes: int | Sequence[int] = 256,
    settings: Mapping[str, str] | None = None,
) -> Tokenizer:
    """Return an unfitted tokenizer.

    Args:
        method: one of :data:`METHODS`.
        levels: codes per item.
        codes: one number of codes for all levels, or one per level.
        settings: text by name, as in ``--set name=text``; others keep the method's defaults.

    Raises:
        ValueError: unknown method or setting, or a value cannot be parsed.
    """
    kind = _kind(method)
    values = kind.settings_type()
    known = {field.name for field in dataclasses.fields(values)}
    for name, text in (settings or {}).items():
        if name not in known:
            raise ValueError(
                f"{method} has no setting {name!r}; available: {', '.join(sorted(known)) or 'none'}"
            )
        values = changed(values, name, text)
    return kind(levels, codes, values)


def load_tokenizer(path: Path) -> Tokenizer:
    """Load a tokenizer of any method.

    Raises:
        CorruptFileError: the file is damaged, or its method is unknown to this version.
        FileNotFoundError: no such file.
    """
    _, meta = load_tensors(path, kind=KIND)
    if meta["method"] not in METHODS:
        raise CorruptFileError(
            f"{path}: method must be one of {', '.join(METHODS)}, got {meta['method']}"
        )
    return METHODS[meta["method"]].load(path)


def _kind(method: str) -> type[Tokenizer]:
    if method not in METHODS:
        raise ValueError(f"no tokenizer {method!r}; available: {', '.join(METHODS)}")
    return METHODS[method]
