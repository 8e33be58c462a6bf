"""Trie of a catalogue's semantic IDs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypedDict

import numpy as np
import torch
from torch import Tensor

from recops._checks import (
    INDICES,
    check_device,
    check_flag,
    check_integer,
    check_sizes,
    check_tensor,
)
from recops._hub import FolderOrRepo, HubApi, local_folder, upload
from recops._load import ops
from recops.files import CorruptFileError, open_tensors, seal_tensors, write_file
from recops.state._holder import map_tensors, register_holder, require_fit
from recops.state._tokens import refuse_bad_token
from recops.state._validate import problems
from recops.state.item_mask import ItemIds, ItemMask, pack_mask

MAX_LEVELS = 65_536

_KIND = "sid_trie"
_PRETRAINED = "trie.safetensors"
_TENSORS = ("first_child", "tokens", "item_ids", "item_rows", "id_order", "stamp")


class Branching(TypedDict):
    """Statistics of the number of children of the nodes of one level."""

    level: int
    nodes: int
    mean: float
    p50: int
    p90: int
    p99: int
    max: int


@dataclass(frozen=True, eq=False)
class SidTrie:
    """Immutable trie of a catalogue's semantic IDs: flat tensors in breadth-first order.

    Node 0 is the root. The nodes of a level are contiguous, with siblings in order of their tokens.
    Leaves end semantic IDs. The items of a leaf are contiguous, in order of insertion. The
    *position* of an item is its index in the order of leaves, so every node owns one interval of
    leaves and one interval of positions. The structure takes 6 bytes per node if no level has more
    than 65,536 tokens, otherwise 8. Items take 16 bytes each (id, row of the input, id index).

    The trie is a pytree whose context is only ``vocab_sizes``, which also gives the depth. Version
    and counts are tensors or their lengths. ``torch.compile`` and ``torch.export`` therefore take
    a trie as an input, and a newer one replaces it without recompiling.

    Attributes:
        first_child: ``[num_nodes + 1]`` int32. The children of node n are ``first_child[n]`` to
            ``first_child[n + 1] - 1``. The "children" of a leaf are its items: position p is
            num_nodes + p.
        tokens: ``[num_nodes]`` uint16, or int32 for large vocabularies: the token of the edge into
            each node.
        item_ids: ``[num_items]`` int64, by position.
        item_rows: ``[num_items]`` int32, by position: the item's row in the input of
            :meth:`from_sids`.
        id_order: ``[num_items]`` int32: the positions in ascending order of ids.
        stamp: ``[]`` int64: the version.
        vocab_sizes: the vocabulary size of each level.

    Raises:
        TypeError: a tensor has another dtype.
        ValueError: a tensor has another shape or layout, or the tensors are on several devices.
            :meth:`validate` checks their contents.

    Examples:
        >>> sids = torch.tensor([[0, 0], [1, 0], [1, 1], [1, 1]])
        >>> trie = recops.SidTrie.from_sids(sids, torch.tensor([10, 11, 12, 13]))
        >>> trie.num_nodes, trie.num_leaves, trie.num_items
        (6, 3, 4)
        >>> node = trie.find(torch.tensor([[1]]))  # the prefix 1
        >>> trie.items(node)[1].tolist()
        [11, 12, 13]
    """

    first_child: Tensor
    tokens: Tensor
    item_ids: Tensor
    item_rows: Tensor
    id_order: Tensor
    stamp: Tensor
    vocab_sizes: tuple[int, ...]

    _known_starts: ClassVar[tuple[int, ...] | None] = None
    """Result of :meth:`level_starts`, which a trie stores when it has read it."""

    def __post_init__(self) -> None:
        check_sizes("SidTrie", "vocab_sizes", self.vocab_sizes)
        if not self.vocab_sizes:
            raise ValueError("SidTrie: vocab_sizes must hold at least one level, got none")
        token = torch.int32 if max(self.vocab_sizes) > 65536 else torch.uint16
        require_fit(
            self,
            tokens=([token], "num_nodes"),
            first_child=([torch.int32], "num_nodes + 1"),
            item_ids=([torch.int64], "num_items"),
            item_rows=([torch.int32], "num_items"),
            id_order=([torch.int32], "num_items"),
            stamp=([torch.int64], ""),
        )
        if self.tokens.shape[0] == 0:
            raise ValueError("SidTrie: tokens must hold at least the root, got none")

    @staticmethod
    def from_sids(
        sids: Tensor,
        item_ids: Tensor | None = None,
        *,
        vocab_sizes: int | Sequence[int] | None = None,
    ) -> SidTrie:
        """Build the trie of ``sids`` by a radix sort and two passes over the SIDs, in O(N · L).

        SIDs on a CUDA device are sorted there. The result is the same on every device.

        Args:
            sids: ``[N, L]`` int32 or int64, L from 1 to 65,536, in any order. Items may share a
                SID. N = 0 makes an empty trie.
            item_ids: ``[N]`` int64 or int32, each once; the row numbers by default.
            vocab_sizes: the vocabulary size of each level, or one number for all levels; by default
                the largest token of each level plus one.

        Returns:
            The trie, on the device of ``sids``. Its version is a fingerprint of its content.

        Raises:
            TypeError: a tensor has an unsupported dtype.
            ValueError: shapes do not match, a token is outside its vocabulary, or an id is
                repeated.
        """
        op = "SidTrie.from_sids"
        check_tensor(op, "sids", sids, ndim=2, dtypes=INDICES)
        for name, argument in (("sids", sids), ("item_ids", item_ids)):
            if isinstance(argument, Tensor) and argument.is_meta:
                raise ValueError(f"{op}: {name} must hold data, got a tensor on meta")
        device = sids.device
        if (
            not sids.is_cuda
        ):  # Other devices have no kernel, and the CPU's is faster than a composite.
            sids = sids.cpu()
        count, depth = sids.shape
        if depth == 0:
            raise ValueError(f"{op}: sids must have at least one level, got shape {(count, depth)}")
        if depth > MAX_LEVELS:
            raise ValueError(f"{op}: sids must have at most {MAX_LEVELS:,} levels, got {depth:,}")
        if item_ids is None:
            item_ids = torch.arange(count, device=sids.device)
        check_tensor(op, "item_ids", item_ids, ndim=1, dtypes=INDICES)
        if len(item_ids) != count:
            raise ValueError(f"{op}: item_ids must have {count} entries, got {len(item_ids)}")
        if vocab_sizes is None:
            vocab_sizes = [max(1, size + 1) for size in sids.amax(0).tolist()] if count else 1
        if isinstance(vocab_sizes, int | np.integer):
            vocab_sizes = [int(vocab_sizes)] * depth
        sizes = check_sizes(op, "vocab_sizes", vocab_sizes)
        if len(sizes) != depth:
            raise ValueError(f"{op}: vocab_sizes must have {depth} entries, got {len(sizes)}")
        try:
            tensors = ops.trie_build(sids, item_ids.to(sids.device, torch.int64), sizes)
        except ValueError:
            refuse_bad_token(op, sids, sizes)
            raise
        trie = SidTrie(*tensors, vocab_sizes=tuple(sizes))
        if device != trie.device:
            trie.level_starts()  # Read on the host, so that no later call waits for the device.
        return trie.to(device)

    @property
    def depth(self) -> int:
        """Number of tokens in a semantic ID."""
        return len(self.vocab_sizes)

    @property
    def num_nodes(self) -> int:
        """Number of nodes, including the root and the leaves."""
        return self.tokens.shape[0]

    @property
    def num_items(self) -> int:
        """Number of items."""
        return self.item_ids.shape[0]

    @property
    def num_leaves(self) -> int:
        """Number of leaves, that is of distinct semantic IDs."""
        return self.num_nodes - self.level_starts()[self.depth]

    @property
    def nbytes(self) -> int:
        """Total size of the tensors in bytes."""
        return sum(tensor.nbytes for tensor in _tensors(self).values())

    @property
    def version(self) -> int:
        """Version of the trie; masks fit only a trie of the same version.

        For a trie from :meth:`from_sids` it is a fingerprint of the content. For a trie from a
        :class:`SidCatalog` it is the catalogue's version number. Two catalogues may have the same
        number, and then masks of one are not rejected by the other.
        """
        return int(self.stamp)

    @property
    def device(self) -> torch.device:
        """Device of the tensors."""
        return self.tokens.device

    def to(self, device: torch.device | str) -> SidTrie:
        """Return the trie on ``device``; the same object if it is there already."""
        target = check_device("SidTrie.to", "device", device)
        moved = map_tensors(self, lambda tensor: tensor.to(target))
        if moved is not self and self._known_starts is not None:
            object.__setattr__(moved, "_known_starts", self._known_starts)
        return moved

    def level_starts(self) -> list[int]:
        """Return the first node of each level 0 … depth, then ``num_nodes``.

        They are read from the device at the first call only.
        """
        if self._known_starts is None:
            starts = [self.first_child.new_zeros(1, dtype=torch.int64)]
            for _ in range(self.depth):
                starts.append(self.first_child[starts[-1]].long())
            known = (*torch.cat(starts).tolist(), self.num_nodes)
            object.__setattr__(self, "_known_starts", known)
        return list(self._known_starts or ())

    def find(self, sids: Tensor) -> Tensor:
        """Find the node of each semantic ID or prefix, in O(l · log of the branching) each.

        Args:
            sids: ``[n, l]`` int32 or int64, l ≤ depth.

        Returns:
            ``[n]`` int32; −1 if no item's SID has this prefix.
        """
        check_tensor("SidTrie.find", "sids", sids, ndim=2, dtypes=INDICES, device=self.device)
        return ops.trie_find(self.first_child, self.tokens, self.depth, sids)

    def contains(self, sids: Tensor) -> Tensor:
        """Return ``[n]`` bool: whether each of ``sids`` ``[n, depth]`` is an item's SID."""
        op = "SidTrie.contains"
        check_tensor(op, "sids", sids, ndim=2, dtypes=INDICES, device=self.device)
        if sids.shape[1] != self.depth:
            raise ValueError(f"{op}: sids must have {self.depth} tokens, got {sids.shape[1]}")
        return self.find(sids) >= 0

    def items(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the items below each node, in order of position.

        Args:
            nodes: ``[n]`` int32 or int64; −1 has no items.

        Returns:
            ``(offsets [n + 1] int64, item_ids [offsets[n]] int64)``: node i has the items
            ``item_ids[offsets[i]:offsets[i + 1]]``.

        Raises:
            IndexError: a node does not exist.
        """
        check_tensor("SidTrie.items", "nodes", nodes, ndim=1, dtypes=INDICES, device=self.device)
        return ops.trie_items(self.first_child, self.tokens, self.depth, self.item_ids, nodes)

    def allowed_tokens(self, nodes: Tensor, vocab_size: int) -> Tensor:
        """Return a mask of the tokens that may follow each node.

        Args:
            nodes: ``[n]`` int32 or int64; no token follows a leaf or −1.
            vocab_size: columns of the result.

        Returns:
            ``[n, vocab_size]`` bool.

        Raises:
            IndexError: a node does not exist.
            ValueError: an allowed token is not below ``vocab_size``.
        """
        op = "SidTrie.allowed_tokens"
        check_tensor(op, "nodes", nodes, ndim=1, dtypes=INDICES, device=self.device)
        check_integer(op, "vocab_size", vocab_size)
        return ops.trie_allowed_tokens(self.first_child, self.tokens, self.depth, nodes, vocab_size)

    def branching(self) -> list[Branching]:
        """Return mean and nearest-rank percentiles of the number of children, per level.

        A step of beam search scans the children, so these numbers predict its cost. The levels are
        0 … depth − 1.
        """
        starts = self.level_starts()
        counts = self.first_child.cpu().diff()
        levels = []
        for level in range(self.depth):
            children = counts[starts[level] : starts[level + 1]].sort().values
            nodes = len(children)
            p50, p90, p99, most = (
                int(children[max(0, -(-nodes * p // 100) - 1)]) if nodes else 0
                for p in (50, 90, 99, 100)
            )
            mean = float(children.double().mean()) if nodes else 0.0
            levels.append(
                Branching(level=level, nodes=nodes, mean=mean, p50=p50, p90=p90, p99=p99, max=most)
            )
        return levels

    def mask(
        self,
        *,
        keep: ItemIds | None = None,
        drop: ItemIds | None = None,
        missing_ok: bool = False,
    ) -> ItemMask:
        """Build a mask of the items that may be recommended, in O(log num_items) per id.

        A mask takes num_items / 8 bytes per row. Exactly one of ``keep`` and ``drop`` is required.

        Args:
            keep: ids of the allowed items, as a tensor, an array or a list; or a list with such ids
                for each of B rows.
            drop: ids of the items that are not allowed, in the same form as ``keep``.
            missing_ok: skip ids that are not in the trie.

        Returns:
            A mask for all rows of a batch, or a mask with B rows.

        Raises:
            TypeError: neither or both of ``keep`` and ``drop`` are given, or ids are not integers.
            ValueError: an id is not in the trie.
        """
        if keep is not None and drop is None:
            ids = keep
        elif drop is not None and keep is None:
            ids = drop
        else:
            number = "neither" if keep is None else "both"
            raise TypeError(f"SidTrie.mask: keep or drop must be given, and not both, got {number}")
        check_flag("SidTrie.mask", "missing_ok", missing_ok)
        words = pack_mask(
            ids, self.item_ids, self.id_order, keep=keep is not None, missing_ok=missing_ok
        )
        return ItemMask(words, self.stamp)

    def validate(self) -> None:
        """Check that the tensors form a valid trie, in O(num_nodes + num_items) time and memory.

        Raises:
            ValueError: the trie is invalid; the message names the problem.
        """
        for name, problem in problems(_tensors(self), self.vocab_sizes):
            raise ValueError(f"SidTrie.validate: {name} {problem}")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the trie to a sealed safetensors file, atomically.

        Raises:
            OSError: the disk is full or the folder is not writable; an existing file is unchanged.
        """
        write_file(path, self._sealed())

    @staticmethod
    def load(path: str | os.PathLike[str]) -> SidTrie:
        """Load and validate a trie that :meth:`save` wrote; its tensors are on the CPU.

        Raises:
            CorruptFileError: the file is damaged, truncated or of another kind.
            FileNotFoundError: the file does not exist.
        """
        trie = _opened(Path(path).read_bytes(), str(path))
        try:
            trie.validate()
        except ValueError as error:
            raise CorruptFileError(f"{path}: holds no trie ({error})") from error
        return trie

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the trie to ``trie.safetensors`` in a folder, which is created if missing.

        Raises:
            OSError: the folder cannot be written.
        """
        Path(folder).mkdir(parents=True, exist_ok=True)
        self.save(Path(folder) / _PRETRAINED)

    @staticmethod
    def from_pretrained(folder_or_repo: FolderOrRepo) -> SidTrie:
        """Load a trie from a folder of :meth:`save_pretrained`, or from a Hugging Face repository.

        Args:
            folder_or_repo: folder, or ``"owner/name"``, which is downloaded (extra ``hf``).

        Raises:
            CorruptFileError: the file is damaged, truncated or of another kind.
            FileNotFoundError: no such folder, or it holds no trie.
        """
        folder = local_folder(folder_or_repo, "SidTrie.from_pretrained")
        return SidTrie.load(folder / _PRETRAINED)

    def push_to_hub(self, repo: str, *, private: bool = True, api: HubApi | None = None) -> str:
        """Upload the trie to a Hugging Face repository (extra ``hf``); return its address.

        Args:
            repo: ``"owner/name"``; created if missing.
            private: whether a new repository is private.
            api: a ``huggingface_hub.HfApi``; None: one with the stored token.
        """
        return upload(self.save_pretrained, repo, private=private, api=api)

    def _sealed(self) -> bytes:
        return seal_tensors(_tensors(self), kind=_KIND, meta={"vocab_sizes": self.vocab_sizes})

    def __reduce__(self) -> tuple[Callable[..., SidTrie], tuple[bytes, str]]:
        """Pickle the trie as the bytes of its file, for example to send it to a worker process."""
        return _unpickled, (self._sealed(), str(self.device))


def _opened(data: bytes, source: str) -> SidTrie:
    """Return the trie of a file's bytes without validating it.

    Raises:
        CorruptFileError: the bytes are damaged or of another kind.
    """
    tensors, meta = open_tensors(data, source, kind=_KIND)
    try:
        fields = {name: tensors[name] for name in _TENSORS}
        return SidTrie(**fields, vocab_sizes=tuple(meta["vocab_sizes"]))
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptFileError(f"{source}: holds no trie ({error})") from error


def _unpickled(data: bytes, device: str) -> SidTrie:
    return _opened(data, "a pickled SidTrie").to(device)


# _unpickled only opens sealed bytes, so it is safe: exported programs with a trie need it to load.
torch.serialization.add_safe_globals([_unpickled])


def _tensors(trie: SidTrie) -> dict[str, Tensor]:
    return {name: getattr(trie, name) for name in _TENSORS}


register_holder(
    SidTrie,
    _TENSORS,
    context="vocab_sizes",
    to_dumpable_context=list,
    from_dumpable_context=tuple,
)


def _fake_build(
    sids: Tensor, item_ids: Tensor, vocab_sizes: Sequence[int]
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    nodes = torch.library.get_ctx().new_dynamic_size()
    items = item_ids.shape[0]
    token_dtype = torch.int32 if max(vocab_sizes) > 65536 else torch.uint16
    return (
        sids.new_empty(nodes + 1, dtype=torch.int32),
        sids.new_empty(nodes, dtype=token_dtype),
        sids.new_empty(items, dtype=torch.int64),
        sids.new_empty(items, dtype=torch.int32),
        sids.new_empty(items, dtype=torch.int32),
        sids.new_empty((), dtype=torch.int64),
    )


def _fake_find(first_child: Tensor, tokens: Tensor, depth: int, sids: Tensor) -> Tensor:
    return sids.new_empty(sids.shape[0], dtype=torch.int32)


def _fake_items(
    first_child: Tensor, tokens: Tensor, depth: int, item_ids: Tensor, nodes: Tensor
) -> tuple[Tensor, Tensor]:
    total = torch.library.get_ctx().new_dynamic_size()
    return item_ids.new_empty(nodes.shape[0] + 1), item_ids.new_empty(total)


def _fake_allowed_tokens(
    first_child: Tensor, tokens: Tensor, depth: int, nodes: Tensor, vocab_size: int
) -> Tensor:
    return nodes.new_empty((nodes.shape[0], vocab_size), dtype=torch.bool)


torch.library.register_fake("recops::trie_build", _fake_build)
torch.library.register_fake("recops::trie_find", _fake_find)
torch.library.register_fake("recops::trie_items", _fake_items)
torch.library.register_fake("recops::trie_allowed_tokens", _fake_allowed_tokens)
