"""Tries of a batch as flat tensors, so that rows of several tries take the same steps."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from recops.ops._data_checks import DataChecks
from recops.ops.trie.composite._sizes import trie_sizes


class FlatTries:
    """Tries of a batch, one after the other, and the trie of each row.

    Every read is clamped to the arrays, so that wrong data causes an error of a check instead of an
    invalid access.
    """

    def __init__(
        self,
        op: str,
        tries: Sequence[Sequence[Tensor]],
        depth: int,
        trie_index: Tensor | None,
        rows: int,
        checks: DataChecks,
    ) -> None:
        self._op = op
        self.depth = depth
        self.sizes = trie_sizes(op, tries, depth)
        self.num_items = [each.num_items for each in self.sizes]
        self.most_children = max(each.most_children for each in self.sizes)
        device = tries[0][0].device
        self.index = row_indices(op, trie_index, len(tries), rows, device, checks)

        counts = [each.num_nodes for each in self.sizes]
        self.nodes_of_row = self.per_row(counts)
        self.leaf_of_row = self.per_row([each.first_leaf for each in self.sizes])
        self._token_base = self.per_row([sum(counts[:t]) for t in range(len(counts))])
        self._child_base = self._token_base + self.index  # one more entry per trie
        self._first_child = [trie[0] for trie in tries]
        self._flat_first_child = _joined(self._first_child)
        tokens = [trie[1] for trie in tries]
        self._is_16_bit = all(each.dtype == torch.uint16 for each in tokens)
        self._tokens = _joined([_signed(each, widen=not self._is_16_bit) for each in tokens])

    def per_row(self, values: Sequence[int]) -> Tensor:
        """Return for each row the value of its trie. No value is copied from the host."""
        return self.choose([torch.full_like(self.index, value) for value in values])

    def choose(self, values: Sequence[Tensor]) -> Tensor:
        """Return for each row the entries ``[rows, …]`` of its trie."""
        result, *others = values
        for t, own in enumerate(others, 1):
            result = torch.where(_like_rows(self.index == t, own), own, result)
        return result

    def checked_nodes(self, nodes: Tensor, checks: DataChecks) -> Tensor:
        """Return nodes ``[rows, …]`` as int64, and check that they are −1 or in the tries."""
        nodes = nodes.long()
        counts = _like_rows(self.nodes_of_row, nodes)
        checks.add(
            (nodes < -1) | (nodes >= counts),
            lambda index: IndexError(
                f"{self._op}: nodes must be from 0 to {int(self.nodes_of_row[index[0]]) - 1}, "
                f"or -1 for none, got {int(nodes[tuple(index)])}"
            ),
        )
        return nodes.clamp(min=-1).minimum(counts - 1)

    def token(self, nodes: Tensor) -> Tensor:
        """Return the tokens of the edges to nodes ``[rows, …]``."""
        most = _like_rows(self.nodes_of_row, nodes) - 1
        base = _like_rows(self._token_base, nodes)
        tokens = self._tokens[base + nodes.clamp(min=0).minimum(most)].long()
        return tokens & 0xFFFF if self._is_16_bit else tokens

    def children(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first child and the end; an empty interval for leaves and for −1."""
        most = _like_rows(self.nodes_of_row, nodes)
        is_inner = (nodes >= 0) & (nodes < _like_rows(self.leaf_of_row, nodes))
        begin = self._below(nodes).clamp(min=0).minimum(most)
        end = self._below(nodes + 1).maximum(begin).minimum(most)
        return begin.where(is_inner, 0), end.where(is_inner, 0)

    def items(self, nodes: Tensor) -> tuple[Tensor, Tensor]:
        """Return the first item position below nodes and the end; an empty interval for −1."""
        most = _like_rows(self.nodes_of_row, nodes)
        count = _like_rows(self.per_row(self.num_items), nodes)
        begin, end = nodes, nodes + 1
        for _ in range(self.depth + 1):
            is_node = begin < most
            begin, end = (self._below(bound).where(is_node, bound) for bound in (begin, end))
        begin = (begin - most).clamp(min=0).minimum(count)
        end = (end - most).maximum(begin).minimum(count)
        return begin.where(nodes >= 0, 0), end.where(nodes >= 0, 0)

    def find_child(self, nodes: Tensor, tokens: Tensor) -> Tensor:
        """Return the child of each node for a token, or −1."""
        low, end = self.children(nodes)
        high = end
        for _ in range(self.most_children.bit_length()):
            middle = (low + high) // 2
            is_below = (self.token(middle) < tokens) & (low < high)
            low, high = (
                (middle + 1).where(is_below, low),
                high.where(is_below, middle.minimum(high)),
            )
        return low.where((low < end) & (self.token(low) == tokens), -1)

    def sids(self, leaves: Tensor) -> Tensor:
        """Return the tokens ``[rows, K, depth]`` on the paths to leaves ``[rows, K]``."""
        tokens = [self.token(leaves)]
        for _ in range(self.depth - 1):
            # first_child ascends, so the parent is the last node whose children begin at the node
            # or before it.
            parents = [
                torch.searchsorted(first_child, leaves.int(), right=True)
                for first_child in self._first_child
            ]
            leaves = (self.choose(parents) - 1).clamp(min=0)
            tokens.append(self.token(leaves))
        return torch.stack(tokens[::-1], -1)

    def _below(self, nodes: Tensor) -> Tensor:
        """Return ``first_child`` of nodes ``[rows, …]``."""
        most = _like_rows(self.nodes_of_row, nodes)
        base = _like_rows(self._child_base, nodes)
        return self._flat_first_child[base + nodes.clamp(min=0).minimum(most)].long()


def row_indices(
    op: str,
    trie_index: Tensor | None,
    count: int,
    rows: int,
    device: torch.device,
    checks: DataChecks,
) -> Tensor:
    """Return the trie of each row as int64, from 0 to ``count`` − 1."""
    if trie_index is None:
        return torch.zeros(rows, dtype=torch.int64, device=device)
    if trie_index.numel() != rows:
        raise ValueError(f"{op}: trie_index must have {rows} values, got {list(trie_index.shape)}")
    index = trie_index.long()
    checks.add(
        (index < 0) | (index >= count),
        lambda wrong: IndexError(
            f"{op}: trie_index must be from 0 to {count - 1}, "
            f"got trie_index{wrong} = {int(index[wrong[0]])}"
        ),
    )
    return index.clamp(0, count - 1)


def grouped(tensors: Sequence[Tensor], size: int) -> list[Sequence[Tensor]]:
    """Return consecutive groups of ``size`` tensors."""
    return [tensors[i : i + size] for i in range(0, len(tensors), size)]


def _like_rows(values: Tensor, tensor: Tensor) -> Tensor:
    """Return values per row in a shape that broadcasts over the other dimensions of ``tensor``."""
    return values.view(-1, *[1] * (tensor.ndim - 1))


def _joined(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors))


def _signed(tokens: Tensor, *, widen: bool) -> Tensor:
    """Return tokens in a signed dtype, because few ops support uint16.

    A uint16 tensor becomes a view in int16, or int32 values with ``widen``.
    """
    if tokens.dtype != torch.uint16:
        return tokens
    signed = tokens.view(torch.int16)
    return signed.int() & 0xFFFF if widen else signed
