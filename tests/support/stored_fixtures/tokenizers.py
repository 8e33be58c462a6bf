"""Folders of ``recops tokenize``: of k-means, and of a network."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch

from recops.files import read_json
from recops_models.item_vectors import read_item_vectors
from recops_models.tokenizers import load_sids, load_tokenizer
from stored_fixtures.fixture import StoredFixture, Values, newest, run_command

_NETWORK = {"hidden": "8", "steps": "40", "batch": "32", "learning_rate": "1e-2"}
_LATENT = {**_NETWORK, "width": "4"}
_SETTINGS: Mapping[str, Mapping[str, str]] = {
    **dict.fromkeys(("rq-vae", "rqp-vae", "drq-vae", "drq-vae-cl"), _LATENT),
    "fsq": _NETWORK,
}


def tokenize(folder: Path, method: str) -> None:
    """Run ``recops tokenize`` on the newest shop."""
    settings = _SETTINGS.get(method, {})
    pairs = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    sizes = ("--levels", "2", "--codes", "4")
    data, out = str(newest("shop")), str(folder)
    run_command("tokenize", "--data", data, "--method", method, *sizes, *pairs, "--out", out)


def _read(folder: Path) -> Values:
    """Encode the stored vectors again; decode the codes; read the other files."""
    tokenizer = load_tokenizer(folder / "tokenizer.safetensors")
    vectors = read_item_vectors(folder / "item_vectors.safetensors")
    sids = load_sids(folder / "sids.parquet")
    config = read_json(folder / "config.json", kind="tokenizer-config")
    codes = tokenizer.encode(torch.from_numpy(vectors.vectors))
    return {
        "method": tokenizer.method,
        "config": tokenizer.config(),
        "config.json": config,
        "metrics.json": read_json(folder / "metrics.json", kind="metrics"),
        "vocab_sizes": list(tokenizer.vocab_sizes),
        "codes": codes.tolist(),
        "decoded": tokenizer.decode(codes)[:5].tolist(),
        "item_ids": sids.item_ids.tolist(),
        "sids.parquet": sids.codes.tolist(),
    }


TOKENIZERS = {
    f"tokenizer-{method}": StoredFixture(partial(tokenize, method=method), _read)
    for method in ("rq-kmeans", "drq-vae")
}
