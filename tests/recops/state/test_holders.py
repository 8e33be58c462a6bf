"""Tries, masks, bans and token maps: checks at construction, moves between devices, pickles."""

from __future__ import annotations

import copy
import dataclasses
import os
import pickle
import re
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode

import recops
from recops.files import CorruptFileError
from recops.state.token_map import TokenMap
from trie_inputs import catalogue

TRIE = catalogue(items=130, depth=3, vocab=9).trie
MASK = TRIE.mask(keep=TRIE.item_ids[::2])
BANS = recops.item_bans(TRIE, [TRIE.item_ids[:3], TRIE.item_ids[5:6]])
TOKENS = TokenMap.of([0, 9, torch.arange(20, 29)], TRIE.vocab_sizes)
HOLDERS: dict[str, Any] = {
    "SidTrie": TRIE,
    "ItemMask": MASK,
    "ItemBans": BANS,
    "TokenMap": TOKENS,
}


def tensors_of(holder: Any) -> dict[str, Tensor]:
    values = {field.name: getattr(holder, field.name) for field in dataclasses.fields(holder)}
    return {name: value for name, value in values.items() if isinstance(value, Tensor)}


FIELDS = [(name, field) for name, holder in HOLDERS.items() for field in tensors_of(holder)]


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_a_tensor_on_another_device_is_refused(name: str, field: str) -> None:
    holder = HOLDERS[name]
    with pytest.raises(ValueError, match=rf"^{name}: \w+ must be on (cpu|meta), got (cpu|meta)"):
        dataclasses.replace(holder, **{field: getattr(holder, field).to("meta")})


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_another_dtype_is_refused(name: str, field: str) -> None:
    holder = HOLDERS[name]
    with pytest.raises(TypeError, match=rf"^{name}: {field} must be one of .*, got float32"):
        dataclasses.replace(holder, **{field: getattr(holder, field).float()})


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_another_number_of_dimensions_is_refused(name: str, field: str) -> None:
    holder = HOLDERS[name]
    with pytest.raises(ValueError, match=rf"^{name}: {field} must have .* dimensions, got shape"):
        dataclasses.replace(holder, **{field: getattr(holder, field)[None, None]})


@pytest.mark.parametrize(("name", "field"), FIELDS)
@pytest.mark.parametrize("value", [None, [1, 2], 3])
def test_values_that_are_no_tensors_are_refused(name: str, field: str, value: object) -> None:
    with pytest.raises(TypeError, match=f"^{name}: {field} must be a tensor, got"):
        dataclasses.replace(HOLDERS[name], **{field: value})


@pytest.mark.parametrize(("name", "field"), FIELDS)
def test_sparse_tensors_are_refused(name: str, field: str) -> None:
    dense = getattr(HOLDERS[name], field)
    empty = torch.sparse_coo_tensor(size=dense.shape, dtype=dense.dtype, check_invariants=False)
    with pytest.raises(ValueError, match=f"^{name}: {field} must be strided, got torch.sparse_coo"):
        dataclasses.replace(HOLDERS[name], **{field: empty})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"tokens": TRIE.tokens[:3]},
            "first_child must be [num_nodes + 1] with num_nodes = 3, got",
        ),
        ({"first_child": TRIE.first_child[:-1]}, "first_child must be [num_nodes + 1] with"),
        ({"item_ids": TRIE.item_ids[:5]}, "item_rows must be [num_items] with num_items = 5, got"),
        ({"item_rows": TRIE.item_rows[1:]}, "item_rows must be [num_items] with num_items = 130"),
        ({"id_order": TRIE.id_order[1:]}, "id_order must be [num_items] with num_items = 130, got"),
        (
            {"tokens": TRIE.tokens[:0], "first_child": TRIE.first_child[:1]},
            "tokens must hold at least the root, got none",
        ),
        ({"vocab_sizes": ()}, "vocab_sizes must hold at least one level, got none"),
        ({"vocab_sizes": (9, 0, 9)}, "vocab_sizes[1] must be from 1 to 2147483647, got 0"),
    ],
)
def test_tensors_of_a_trie_that_do_not_fit_are_refused(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(f"SidTrie: {message}")):
        dataclasses.replace(TRIE, **change)


def test_the_dtype_of_tokens_depends_on_the_vocabulary() -> None:
    with pytest.raises(TypeError, match="SidTrie: tokens must be one of int32, got uint16"):
        dataclasses.replace(TRIE, vocab_sizes=(9, 9, 70_000))
    with pytest.raises(TypeError, match="SidTrie: tokens must be one of uint16, got int32"):
        dataclasses.replace(TRIE, tokens=TRIE.tokens.int())


def test_bans_without_offsets_are_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("ItemBans: offsets must be [rows + 1]")):
        dataclasses.replace(BANS, offsets=BANS.offsets[:0])


ELSEWHERE = """
import dataclasses
import sys
import torch
import recops
from trie_inputs import catalogue

trie = catalogue(items=130, depth=3, vocab=9).trie
mask, bans = trie.mask(drop=[]), recops.item_bans(trie, [trie.item_ids[:3]] * 2)
moved = lambda holder, name: dataclasses.replace(holder, **{name: getattr(holder, name).to("meta")})
start = torch.zeros(2, 1, 9), trie, torch.zeros(2, 1, dtype=torch.int32), torch.zeros(2, 1)
try:
    print(eval(sys.argv[1]))
except ValueError as error:
    print(error)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            "recops.trie_beam_step(*start, num_beams=3, allowed=mask.to('meta'))",
            "trie_beam_step: allowed must be on cpu, got meta",
        ),
        (
            "recops.trie_beam_step(*start, num_beams=3, banned=bans.to('meta'))",
            "trie_beam_step: banned must be on cpu, got meta",
        ),
        (
            "recops.trie_beam_step(*start, num_beams=3, allowed=moved(mask, 'stamp'))",
            "ItemMask: stamp must be on cpu, got meta",
        ),
        (
            "recops.trie_beam_step(*start, num_beams=3, banned=moved(bans, 'positions'))",
            "ItemBans: offsets must be on meta, got cpu",
        ),
        (
            "recops.trie_beam_step(start[0], moved(trie, 'stamp'), *start[2:], num_beams=3)",
            "SidTrie: stamp must be on cpu, got meta",
        ),
    ],
)
def test_ops_refuse_holders_on_another_device(call: str, message: str) -> None:
    """The test uses a child process, since a missing check causes a segmentation fault."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, call], env=environment, capture_output=True, text=True
    )
    assert (process.returncode, process.stdout.strip()) == (0, message), process.stderr


def test_negative_views_are_resolved() -> None:
    """Ops take these tensors in lists, where torch does not resolve negative views."""
    negated = MASK.words.neg()
    mask = dataclasses.replace(MASK, words=torch._neg_view(negated))
    assert not mask.words.is_neg()
    start = torch.zeros(2, 1, 9), TRIE, torch.zeros(2, 1, dtype=torch.int32), torch.zeros(2, 1)
    actual = recops.trie_beam_step(*start, num_beams=9, allowed=mask)
    expected = recops.trie_beam_step(*start, num_beams=9, allowed=MASK)
    assert torch.equal(actual.nodes, expected.nodes)


# ---- Pytrees and pickles.


def test_a_tree_map_may_replace_tensors_by_any_values() -> None:
    shapes = _pytree.tree_map(lambda tensor: tuple(tensor.shape), TRIE)
    assert shapes.tokens == (TRIE.num_nodes,)
    assert shapes.vocab_sizes == TRIE.vocab_sizes
    with pytest.raises(TypeError, match="SidTrie: tokens must be one of uint16, got float32"):
        _pytree.tree_map(lambda tensor: tensor.float(), TRIE)


@pytest.mark.parametrize("name", list(HOLDERS))
@pytest.mark.parametrize("travel", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy])
def test_holders_can_be_pickled_and_copied(name: str, travel: Any) -> None:
    holder = HOLDERS[name]
    there = travel(holder)
    assert type(there) is type(holder)
    for field, tensor in tensors_of(holder).items():
        assert torch.equal(getattr(there, field), tensor)
    assert getattr(there, "vocab_sizes", None) == getattr(holder, "vocab_sizes", None)


def test_a_damaged_pickle_is_refused() -> None:
    data = bytearray(pickle.dumps(TRIE))
    position = data.index(TRIE.item_ids.numpy().tobytes())
    data[position] ^= 1
    with pytest.raises(CorruptFileError, match="a pickled SidTrie: damaged"):
        pickle.loads(bytes(data))


@pytest.mark.parametrize("name", HOLDERS)
def test_an_invalid_device_is_refused(name: str) -> None:
    message = rf"^{name}.to: device must be a device that torch can use, got 'none': "
    with pytest.raises(ValueError, match=message):
        HOLDERS[name].to("none")
    with pytest.raises(TypeError, match=rf"^{name}.to: device must be a device or its name"):
        HOLDERS[name].to(None)


@pytest.mark.parametrize("name", HOLDERS)
def test_moving_returns_the_holder_itself_if_it_is_there(name: str) -> None:
    holder = HOLDERS[name]
    assert holder.to("cpu") is holder
    moved = holder.to("meta")
    assert moved is not holder
    assert moved.to(torch.device("meta")) is moved
    assert {tensor.device.type for tensor in tensors_of(moved).values()} == {"meta"}


def test_level_starts_are_read_once_per_trie() -> None:
    trie = dataclasses.replace(TRIE)
    starts = trie.level_starts()
    with CountOps() as ops:
        assert trie.level_starts() == starts
        assert (trie.num_leaves, ops.count) == (starts[-1] - starts[-2], 0)
    assert trie.to("meta").level_starts() == starts  # A tensor on meta has no values.
    assert starts == [0, *trie.first_child[starts[:-2]].tolist(), trie.num_nodes]


def test_level_starts_of_another_trie_are_not_reused() -> None:
    TRIE.level_starts()
    other = catalogue(items=40, depth=3, vocab=9).trie
    replaced = dataclasses.replace(
        TRIE, **{field: getattr(other, field) for field in tensors_of(other)}
    )
    assert replaced.level_starts() == other.level_starts()


class CountOps(TorchDispatchMode):
    """Number of torch ops within the context."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        self.count += 1
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", ["sids", "item_ids"])
def test_tensors_without_data_are_refused(name: str) -> None:
    arguments = {"sids": torch.zeros(2, 3, dtype=torch.int32), "item_ids": torch.arange(2)}
    arguments[name] = arguments[name].to("meta")
    message = rf"^SidTrie.from_sids: {name} must hold data, got a tensor on meta"
    with pytest.raises(ValueError, match=message):
        recops.SidTrie.from_sids(**arguments)


def test_masks_and_bans_are_built_in_a_compiled_graph() -> None:
    def mask_of(trie: recops.SidTrie, items: Tensor) -> Tensor:
        return trie.mask(keep=items).words

    def banned(trie: recops.SidTrie, items: Tensor, offsets: Tensor) -> Tensor:
        return recops.item_bans(trie, (items, offsets)).positions

    items, offsets = TRIE.item_ids[:3], torch.tensor([0, 3])
    for function, arguments in ((mask_of, (items,)), (banned, (items, offsets))):
        compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
        assert torch.equal(compiled(TRIE, *arguments), function(TRIE, *arguments))


def test_a_default_device_has_no_effect() -> None:
    sids = torch.tensor([[0, 1], [1, 0]])
    catalog = recops.SidCatalog((4, 4))
    catalog.insert([1], [[0, 1]])
    with torch.device("meta"):
        assert recops.SidTrie.from_sids(sids).item_ids.tolist() == [0, 1]
        assert catalog.snapshot().item_ids.tolist() == [1]
        assert (
            recops.MimnParams.random(input_size=2, hidden_size=2, num_slots=2).out_b.device.type
            == "cpu"
        )
        assert (
            recops.HpmnParams.random(input_size=2, hidden_size=2, num_slots=2).bias.device.type
            == "cpu"
        )


@pytest.mark.parametrize("kind", [recops.MimnParams, recops.HpmnParams])
def test_random_parameters_are_float32_with_any_default_dtype(kind: Any) -> None:
    sizes = {"input_size": 2, "hidden_size": 3, "num_slots": 2}
    plain = tensors_of(kind.random(**sizes))
    torch.set_default_dtype(torch.float64)
    try:
        drawn = tensors_of(kind.random(**sizes))
    finally:
        torch.set_default_dtype(torch.float32)
    assert {name: tensor.dtype for name, tensor in drawn.items()} == dict.fromkeys(
        plain, torch.float32
    )
    assert all(torch.equal(drawn[name], tensor) for name, tensor in plain.items())
