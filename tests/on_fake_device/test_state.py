"""Tries, masks, bans, token maps and memory states on a device other than the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import recops
from fake_device import DEVICE, host_waits
from recops.hf import SidTrieLogitsProcessor
from recops.state.token_map import TokenMap
from trie_inputs import catalogue

DRAWN = catalogue(items=130, depth=3, vocab=9)
TRIE = DRAWN.trie
ON_DEVICE = TRIE.to(DEVICE)


def search(trie: recops.SidTrie | list[recops.SidTrie], **options: Any) -> recops.BeamResult:
    first = trie if isinstance(trie, recops.SidTrie) else trie[0]
    logits = torch.arange(9, device=first.device).cos()

    def step(tokens: Tensor | None, parents: Tensor | None) -> Tensor:
        return logits.expand(2, 1 if tokens is None else tokens.shape[1], 9)

    return recops.constrained_beam_search(step, trie, batch_size=2, num_beams=8, **options)


def assert_equal(actual: recops.BeamResult, expected: recops.BeamResult) -> None:
    assert actual.item_ids.device == DEVICE
    assert torch.equal(actual.item_ids.cpu(), expected.item_ids)
    assert torch.equal(actual.sids.cpu(), expected.sids)
    torch.testing.assert_close(actual.scores.cpu(), expected.scores)


def test_a_search_on_the_device_finds_the_same_items() -> None:
    ids = TRIE.item_ids
    mask, bans = TRIE.mask(drop=ids[::3]), recops.item_bans(TRIE, [ids[:4], ids[5:6]])
    prior = torch.rand(130)
    expected = search(TRIE, allowed=mask, banned=bans, item_prior=prior)
    moved = {"allowed": mask.to(DEVICE), "banned": bans.to(DEVICE), "item_prior": prior.to(DEVICE)}
    assert_equal(search(ON_DEVICE, **moved), expected)
    drawn = ON_DEVICE.mask(drop=ON_DEVICE.item_ids[::3])
    banned = recops.item_bans(ON_DEVICE, [ids[:4].to(DEVICE), ids[5:6].to(DEVICE)])
    built = {"allowed": drawn, "banned": banned, "item_prior": prior.to(DEVICE)}
    assert_equal(search(ON_DEVICE, **built), expected)


def test_readers_of_a_published_catalogue_do_not_wait() -> None:
    catalog = recops.SidCatalog([9, 9, 9])
    catalog.insert(DRAWN.item_ids.numpy(), DRAWN.sids.numpy())
    catalog.publish(DEVICE)
    with host_waits() as waits:
        trie = catalog.published(DEVICE)
        starts = trie.level_starts()
    assert waits == []
    assert starts == TRIE.level_starts()
    assert torch.equal(trie.item_ids.cpu(), catalog.snapshot().item_ids)


def test_several_tries_are_searched_on_the_device() -> None:
    tries = [TRIE, catalogue(items=40, depth=3, vocab=9, seed=1).trie]
    index = torch.tensor([1, 0])
    expected = search(tries, trie_index=index)
    moved = [trie.to(DEVICE) for trie in tries]
    assert_equal(search(moved, trie_index=index.to(DEVICE)), expected)


def test_a_trie_is_built_from_sids_on_the_device() -> None:
    built = recops.SidTrie.from_sids(DRAWN.sids.to(DEVICE), vocab_sizes=9)
    expected = recops.SidTrie.from_sids(DRAWN.sids, vocab_sizes=9)
    assert built.device == DEVICE
    for name in ("first_child", "tokens", "item_ids", "item_rows", "id_order", "stamp"):
        assert torch.equal(getattr(built, name).cpu(), getattr(expected, name)), name


def test_questions_to_a_trie_on_the_device() -> None:
    sids = DRAWN.sids.to(DEVICE)
    assert torch.equal(ON_DEVICE.find(sids).cpu(), TRIE.find(DRAWN.sids))
    assert bool(ON_DEVICE.contains(sids).all())
    nodes = torch.tensor([0, 1, -1], device=DEVICE)
    for actual, expected in zip(ON_DEVICE.items(nodes), TRIE.items(nodes.cpu()), strict=True):
        assert torch.equal(actual.cpu(), expected)
    allowed = ON_DEVICE.allowed_tokens(nodes, 9)
    assert torch.equal(allowed.cpu(), TRIE.allowed_tokens(nodes.cpu(), 9))
    assert (ON_DEVICE.num_leaves, ON_DEVICE.version) == (TRIE.num_leaves, TRIE.version)
    assert ON_DEVICE.branching() == TRIE.branching()
    ON_DEVICE.validate()


def test_level_starts_are_read_once_per_trie() -> None:
    trie = recops.SidTrie.from_sids(DRAWN.sids, vocab_sizes=9).to(DEVICE)
    with host_waits() as waits:
        starts = trie.level_starts()
    assert len(waits) == 1
    back = trie.to("cpu").to(DEVICE)
    with host_waits() as waits:
        assert trie.level_starts() == back.level_starts() == starts
    assert waits == []


def test_sizes_are_read_once_per_trie_and_not_per_search() -> None:
    trie = recops.SidTrie.from_sids(DRAWN.sids, vocab_sizes=9).to(DEVICE)
    counts = []
    for _ in range(3):
        with host_waits() as waits:
            search(trie)
        counts.append(len(waits))
    checks = trie.depth + 1  # One per step, and one when the items are looked up.
    assert counts == [checks + 1, checks, checks]


def test_a_trie_on_the_device_is_saved(tmp_path: Path) -> None:
    ON_DEVICE.save(tmp_path / "trie.safetensors")
    loaded = recops.SidTrie.load(tmp_path / "trie.safetensors")
    assert torch.equal(loaded.first_child, TRIE.first_child)
    assert loaded.device.type == "cpu"


def test_snapshots_of_a_catalogue_move() -> None:
    catalogue = recops.SidCatalog([9, 9])
    catalogue.insert([4, 5], [[0, 1], [2, 3]])
    trie = catalogue.snapshot().to(DEVICE)
    assert trie.version == catalogue.version
    assert bool(trie.contains(torch.tensor([[2, 3]], device=DEVICE)))


def test_the_logits_processor_takes_a_trie_on_the_device() -> None:
    scores, ids = torch.randn(2, 40), torch.tensor([[1, 3], [1, 20]])
    options: dict[str, Any] = {"prompt_length": 1, "eos_token_id": 39}
    expected = SidTrieLogitsProcessor(TRIE, [3, 12, 21], **options)(ids, scores)
    processor = SidTrieLogitsProcessor(ON_DEVICE, [3, 12, 21], **options)
    assert torch.equal(processor(ids.to(DEVICE), scores.to(DEVICE)).cpu(), expected)


MIMN = recops.MimnParams.random(input_size=4, hidden_size=5, num_slots=3)
HPMN = recops.HpmnParams.random(input_size=4, hidden_size=5, num_slots=2)
X, ROWS = torch.randn(3, 4), torch.tensor([1, 0, 1])


def test_mimn_pools_are_updated_and_read_on_the_device() -> None:
    pool, moved = (recops.MimnState.zeros(MIMN, 2).to(device) for device in ("cpu", DEVICE))
    recops.mimn_step_(pool, ROWS, X, MIMN, utilization="code")
    params, rows, x = MIMN.to(DEVICE), ROWS.to(DEVICE), X.to(DEVICE)
    recops.mimn_step_(moved, rows, x, params, utilization="code")
    expected = recops.mimn_read(pool, ROWS, X, MIMN, utilization="code")
    actual = recops.mimn_read(moved, rows, x, params, utilization="code")
    pairs = [*zip(actual, expected, strict=True), (moved.memory, pool.memory)]
    for value, correct in pairs:
        assert value.device == DEVICE
        torch.testing.assert_close(value.cpu(), correct)
    assert moved.to(DEVICE) is moved


def test_hpmn_pools_are_updated_and_read_on_the_device() -> None:
    pool, moved = (recops.HpmnState.zeros(HPMN, 2).to(device) for device in ("cpu", DEVICE))
    recops.hpmn_step_(pool, ROWS, X, HPMN, periods=(1, 2))
    params, rows, x = HPMN.to(DEVICE), ROWS.to(DEVICE), X.to(DEVICE)
    recops.hpmn_step_(moved, rows, x, params, periods=(1, 2))
    expected = recops.hpmn_read(X, pool, ROWS, HPMN)
    actual = recops.hpmn_read(x, moved, rows, params)
    for value, correct in [*zip(actual, expected, strict=True), (moved.memory, pool.memory)]:
        assert value.device == DEVICE
        torch.testing.assert_close(value.cpu(), correct)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ON_DEVICE.find(DRAWN.sids), "SidTrie.find: sids must be on fake:0, got cpu"),
        (
            lambda: search(ON_DEVICE, allowed=TRIE.mask(drop=[])),
            "constrained_beam_search: allowed must be on fake:0, got cpu",
        ),
        (
            lambda: search(ON_DEVICE, banned=recops.item_bans(TRIE, [TRIE.item_ids[:1]] * 2)),
            "constrained_beam_search: banned must be on fake:0, got cpu",
        ),
        (
            lambda: search(ON_DEVICE, item_prior=torch.zeros(130)),
            "constrained_beam_search: item_prior must be on fake:0, got cpu",
        ),
        (
            lambda: recops.mimn_step_(
                recops.MimnState.zeros(MIMN, 2), ROWS, X.to(DEVICE), MIMN, utilization="code"
            ),
            "mimn_step_: pool must be on fake:0, got cpu",
        ),
        (
            lambda: recops.hpmn_scan(X[None].to(DEVICE), HPMN, periods=(1, 2)),
            "hpmn_scan: state must be on fake:0, got cpu",
        ),
    ],
)
def test_tensors_on_two_devices_are_refused_by_name(call: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        call()


def test_a_token_map_moves() -> None:
    tokens = TokenMap.of([0, 9, 18], TRIE.vocab_sizes)
    moved = tokens.to(DEVICE)
    assert moved.model_tokens.device == moved.trie_tokens.device == DEVICE
    assert moved.to("fake") is moved
