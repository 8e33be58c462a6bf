"""Every tokenizer is fitted on the fake device; the steps of its networks do not wait for it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from fake_device import DEVICE
from recops_models.tokenizers import METHODS, Tokenizer, load_tokenizer, make_tokenizer
from step_waits import waits_of_steps

ITEMS = 60
NETWORK = {"hidden": "16", "steps": "12", "batch": "32", "learning_rate": "1e-2"}
LATENT = {**NETWORK, "width": "4"}
SETTINGS = {**dict.fromkeys(("rq-vae", "rqp-vae", "drq-vae", "drq-vae-cl"), LATENT), "fsq": NETWORK}


def items() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    middle = torch.randn(12, 6, generator=generator)
    return middle[torch.arange(ITEMS) % 12] + 0.3 * torch.randn(ITEMS, 6, generator=generator)


def fit(method: str, device: str | torch.device) -> Tokenizer:
    ids = torch.arange(ITEMS)
    pairs = torch.stack([ids[:-12], ids[12:]], dim=1)
    tokenizer = make_tokenizer(method, 2, 6, SETTINGS.get(method))
    return tokenizer.fit(
        items(), ids, pairs=pairs, weights=torch.ones(ITEMS), seed=2, device=device
    )


@pytest.mark.parametrize("method", METHODS)
def test_a_fit_on_the_device_equals_that_on_the_cpu(method: str, tmp_path: Path) -> None:
    with waits_of_steps() as waits:
        tokenizer = fit(method, DEVICE)
    assert waits == []
    expected = fit(method, "cpu")
    agreement = (tokenizer.encode(items()) == expected.encode(items())).double().mean()
    assert agreement > 0.9
    assert {value.device.type for value in tokenizer._state().values()} == {"cpu"}
    tokenizer.save(tmp_path / "tokenizer.safetensors")
    codes = load_tokenizer(tmp_path / "tokenizer.safetensors").encode(items())
    assert torch.equal(codes, tokenizer.encode(items()))
