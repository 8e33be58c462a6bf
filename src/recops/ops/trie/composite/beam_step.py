"""Composite of one step of beam search."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from recops.ops._data_checks import DataChecks, Error
from recops.ops._shapes import check_dim, check_shape
from recops.ops.trie.composite._filter import ItemFilter
from recops.ops.trie.composite._tries import FlatTries, grouped


def trie_beam_step(
    logits: Tensor,
    first_child: Tensor,
    tokens: Tensor,
    stamp: Tensor,
    depth: int,
    nodes: Tensor,
    scores: Tensor,
    num_beams: int,
    normalize: str,
    vocab_sizes: Sequence[int] | None,
    trie_index: Tensor | None,
    more_tries: Sequence[Tensor] | None,
    allowed: Sequence[Tensor] | None,
    bans: Sequence[Tensor] | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute ``recops::trie_beam_step``. Reads the device once, for the checks.

    Much slower than a dedicated kernel: it scores and sorts ``beams · C`` children per row, whether
    they exist or not, with C the most children of a node. With several tries it copies them all.
    """
    op = "trie_beam_step"
    check_dim(op, "logits", logits, 3)
    rows, beams, vocab = logits.shape
    check_shape(op, "nodes", nodes, rows, beams)
    check_shape(op, "scores", scores, rows, beams)
    if vocab == 0 and nodes.numel():
        raise ValueError(
            f"{op}: logits must have a column for each token, got {list(logits.shape)}"
        )
    checks = DataChecks()
    groups = [(first_child, tokens, stamp), *grouped(more_tries or [], 3)]
    tries = FlatTries(op, groups, depth, trie_index, rows, checks)
    nodes = tries.checked_nodes(nodes, checks)
    items = ItemFilter(op, tries, [trie[2] for trie in groups], allowed, bans, checks)
    _check_beams(op, tries, nodes, scores, vocab_sizes, vocab, checks)

    begin, end = tries.children(nodes)  # (rows, beams)
    is_dead = (nodes < 0) | (scores == -torch.inf)
    end = end.where(~is_dead, begin)
    width = min(vocab, tries.most_children)
    child = begin[:, :, None] + torch.arange(width, device=logits.device)
    is_child = child < end[:, :, None]
    if not items.allows_all:
        is_child &= items.allows_any(*tries.items(child))
    logits = logits.to(scores.dtype)
    token = tries.token(child)
    own = logits.gather(2, token.clamp(0, max(vocab - 1, 0)))
    is_live = is_child.any(2)
    is_bad = ~(logits < torch.inf) if normalize == "vocab" else is_child & ~(own < torch.inf)
    is_negative = (is_child & (token < 0)).any(2)
    is_wide = is_negative | (tries.token(end - 1) >= vocab) | (end - begin > vocab)
    _check_logits(op, tries, vocab, begin, end, is_live & is_wide, is_live & is_bad.any(2), checks)

    if normalize != "none" and width:
        among = logits if normalize == "vocab" else own.masked_fill(~is_child, -torch.inf)
        largest = among.amax(2, keepdim=True)  # subtracted first, so that large logits lose nothing
        own = (own - largest) - (among - largest).logsumexp(2, keepdim=True)
    totals = (own + scores[:, :, None]).masked_fill(~is_child, -torch.inf)
    totals = totals.nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf).flatten(1)
    # The stable sort orders ties by parent, then by token.
    best, order = totals.sort(dim=1, descending=True, stable=True)
    best, order = best[:, :num_beams], order[:, :num_beams]
    is_candidate = best > -torch.inf
    missing = num_beams - best.shape[1]

    def column(values: Tensor) -> Tensor:
        return pad(values.masked_fill(~is_candidate, -1).int(), (0, missing), value=-1)

    checks.read()
    return (
        pad(best, (0, missing), value=-torch.inf),
        column(token.flatten(1).gather(1, order)),
        column(order // max(width, 1)),
        column(child.flatten(1).gather(1, order)),
    )


def _check_beams(
    op: str,
    tries: FlatTries,
    nodes: Tensor,
    scores: Tensor,
    vocab_sizes: Sequence[int] | None,
    vocab: int,
    checks: DataChecks,
) -> None:
    """Check that live beams have scores, and logits of a size for their level's vocabulary."""
    checks.add(
        (nodes >= 0) & scores.isnan(),
        lambda wrong: ValueError(f"{op}: scores must hold no NaN, got scores{wrong} = NaN"),
    )
    if vocab_sizes is None:
        return
    for t, trie in enumerate(tries.sizes):
        of_trie = nodes.where((tries.index == t)[:, None], -1)
        for level, size in enumerate(vocab_sizes[t * tries.depth : (t + 1) * tries.depth]):
            if size > vocab:
                first, following = trie.level_starts[level : level + 2]
                checks.add(
                    (of_trie >= first) & (of_trie < following),
                    _small_vocabulary(op, level, size, vocab),
                )


def _small_vocabulary(op: str, level: int, size: int, vocab: int) -> Error:
    return lambda _: ValueError(
        f"{op}: logits must cover the vocabulary of level {level}, {size} tokens, got {vocab}"
    )


def _check_logits(
    op: str,
    tries: FlatTries,
    vocab: int,
    begin: Tensor,
    end: Tensor,
    is_wide: Tensor,
    is_bad: Tensor,
    checks: DataChecks,
) -> None:
    """Check that all live beams have a column for each child's token, and no bad logits."""

    def error(wrong: list[int]) -> Exception:
        row, beam = wrong
        if bool(is_wide[row, beam]):
            child = torch.arange(int(begin[row, beam]), int(end[row, beam]), device=begin.device)
            tokens = tries.token(child.expand(len(begin), -1))[row]
            outside = tokens[(tokens < 0) | (tokens >= vocab)]
            token = int(outside[0]) if len(outside) else vocab
            return ValueError(
                f"{op}: logits must have a column for each token of the trie, "
                f"got {vocab} and token {token}"
            )
        return ValueError(
            f"{op}: logits must hold no NaN and no +inf, got one in logits[{row}, {beam}]"
        )

    checks.add(is_wide | is_bad, error)
