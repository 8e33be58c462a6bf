"""Traced programs of a ranker, with dynamic batch and beam sizes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from recops_models.generative.path_ranker import PathRanker

_REQUESTS, _BEAMS, _OLD_BEAMS = 3, 5, 4
"""Sizes of the traced examples: distinct, and above 1, which tracing would make a constant."""


@runtime_checkable
class Scorer(Protocol):
    """Ranker that scores the whole catalogue at once."""

    @property
    def window(self) -> int:
        """Number T of history events that the model reads."""
        ...

    def score_all(self, history: Tensor, lengths: Tensor) -> Tensor:
        """Return the scores ``[B, N]`` of all items for each history.

        See :meth:`~recops_models.generative.ranker.Ranker.decode`.
        """
        ...


class IdRows(nn.Module):
    """Table from item or user ids to the rows of a model's tables, counted from 1.

    Args:
        known: ``[N]`` i64, ascending: id of each row.
    """

    known: Tensor

    def __init__(self, known: Tensor) -> None:
        super().__init__()
        self.register_buffer("known", known)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the rows of ids of any shape; 0 for unknown ids."""
        index = torch.searchsorted(self.known, ids).clamp(max=len(self.known) - 1)
        return torch.where(self.known[index] == ids, index + 1, 0)

    def within(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Return the rows of ids ``[B, T]``; 0 at positions from each request's length on."""
        position = torch.arange(ids.shape[1], device=ids.device)
        return torch.where(position < lengths[:, None], self(ids), 0)


def _contiguous(tensors: list[Tensor]) -> list[Tensor]:
    """Return the tensors in row-major layout, which compiled programs assume."""
    return [tensor.contiguous() for tensor in tensors]


class _Encode(nn.Module):
    def __init__(self, model: nn.Module, item_ids: Tensor) -> None:
        super().__init__()
        self.rows, self.model = IdRows(item_ids), model

    def forward(self, ids: Tensor, lengths: Tensor) -> list[Tensor]:
        assert isinstance(self.model, PathRanker)
        return _contiguous(self.model.encode_requests(self.rows.within(ids, lengths), lengths))


class _EncodeWithInputs(nn.Module):
    """Encoder of requests with additional inputs; ``names`` lists them in order."""

    def __init__(
        self, model: nn.Module, item_ids: Tensor, names: tuple[str, ...], user_ids: Tensor | None
    ) -> None:
        super().__init__()
        self.rows, self.model, self.names = IdRows(item_ids), model, names
        self.users = None if user_ids is None else IdRows(user_ids)

    def forward(self, ids: Tensor, lengths: Tensor, *context: Tensor) -> list[Tensor]:
        assert isinstance(self.model, PathRanker)
        inputs = dict(zip(self.names, context, strict=True))
        if self.users is not None:
            inputs["user"] = self.users(inputs["user"])
        rows = self.rows.within(ids, lengths)
        return _contiguous(self.model.encode_requests(rows, lengths, **inputs))


class _First(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, read: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
        assert isinstance(self.model, PathRanker)
        logits, state = self.model.next_token_logits(read, [], None, None)
        return logits, _contiguous(state)


class _Step(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, read: list[Tensor], state: list[Tensor], tokens: Tensor, parents: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        assert isinstance(self.model, PathRanker)
        logits, state = self.model.next_token_logits(read, state, tokens, parents)
        return logits, _contiguous(state)


class _Rescore(nn.Module):
    def __init__(self, model: nn.Module, item_ids: Tensor) -> None:
        super().__init__()
        self.rows, self.model = IdRows(item_ids), model

    def forward(self, read: list[Tensor], ids: Tensor) -> Tensor:
        assert isinstance(self.model, PathRanker)
        return self.model.rescore(read, self.rows(ids) - 1)


class _Scores(nn.Module):
    def __init__(self, model: nn.Module, item_ids: Tensor) -> None:
        super().__init__()
        self.rows, self.model = IdRows(item_ids), model

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        assert isinstance(self.model, Scorer)
        return self.model.score_all(self.rows.within(ids, lengths), lengths)


@torch.no_grad()
def programs(
    model: nn.Module, item_ids: Tensor, user_ids: Tensor | None = None
) -> dict[str, ExportedProgram]:
    """Trace the functions of a model, with dynamic batch and beam sizes.

    A :class:`PathRanker` with L tokens per path has ``encode(ids [B, T] i64, lengths [B] i64) ->
    read``; ``step_0(read) -> (logits [B, 1, V], state)``; ``step_t(read, state, tokens [B, M] i32,
    parents [B, M] i32) -> (logits [B, M, V], state)`` for t from 1 to L − 1. ``read`` and ``state``
    are lists of tensors. If it rescores, ``rescore(read, ids [B, k]) -> [B, k]`` returns the
    adjustment of the scores of the decoded items. A :class:`Scorer` has ``scores(ids, lengths) ->
    [B, N]``. Histories hold item ids, right-padded; an unknown id is an event without
    information.

    If the model has :attr:`~PathRanker.inputs`, ``encode`` takes them too: ``encode(ids, lengths,
    task [B] i64, user [B] i64)``. A user is given by id; an unknown user has no fields. The caller
    checks that no history is empty and that the task exists.

    Args:
        model: trained model in evaluation mode.
        item_ids: ``[N]`` i64, ascending item ids, on the device of the model.
        user_ids: ``[U]`` i64, ascending user ids on that device, for a model with user fields.
    """
    if isinstance(model, PathRanker):
        return _path_programs(model, item_ids, user_ids)
    assert isinstance(model, Scorer)
    return {"scores": _traced(_Scores(model, item_ids), *_requests(model.window, item_ids))}


def _requests(window: int, item_ids: Tensor) -> tuple[tuple[Tensor, ...], dict[str, object]]:
    """Return example histories and their dynamic dimensions."""
    device = item_ids.device
    ids = item_ids[torch.arange(_REQUESTS * window, device=device) % len(item_ids)]
    ids = ids.view(_REQUESTS, window)
    lengths = torch.arange(_REQUESTS, device=device) % window + 1
    batch = Dim("requests", min=1)
    return (ids, lengths), {"ids": {0: batch}, "lengths": {0: batch}}


def _encoding(
    model: PathRanker, item_ids: Tensor, user_ids: Tensor | None
) -> tuple[nn.Module, tuple[Tensor, ...], dict[str, object]]:
    """Return the encoder of requests, its example arguments and their dynamic dimensions."""
    arguments, shapes = _requests(model.window, item_ids)
    inputs = model.inputs
    if not inputs.names:
        return _Encode(model, item_ids), arguments, shapes
    request, examples = torch.arange(_REQUESTS, device=item_ids.device), list[Tensor]()
    if inputs.tasks:
        examples.append(request % inputs.tasks)
    if inputs.users:
        assert user_ids is not None
        examples.append(user_ids[request % inputs.users])
    encode = _EncodeWithInputs(model, item_ids, inputs.names, user_ids if inputs.users else None)
    return (
        encode,
        (*arguments, *examples),
        {**shapes, "context": (shapes["lengths"],) * len(examples)},
    )


def _path_programs(
    model: PathRanker, item_ids: Tensor, user_ids: Tensor | None
) -> dict[str, ExportedProgram]:
    encode, arguments, shapes = _encoding(model, item_ids, user_ids)
    exported = {"encode": _traced(encode, arguments, shapes)}
    read = encode(*arguments)
    batch, beams, old_beams = (Dim(name, min=1) for name in ("requests", "beams", "before"))
    read_shapes = [{0: batch} for _ in read]
    exported["step_0"] = _traced(_First(model), (read,), {"read": read_shapes})
    _, state = model.next_token_logits(read, [], None, None)
    for step in range(1, model.paths.shape[1]):
        # The first step has one beam per request; later steps have any number.
        old, new = (1, _BEAMS) if step == 1 else (_OLD_BEAMS, _BEAMS)
        state = [tensor[:, :1].expand(-1, old, *[-1] * (tensor.dim() - 2)) for tensor in state]
        state = _contiguous(state)
        tokens, parents = (
            torch.zeros(_REQUESTS, new, dtype=torch.int32, device=item_ids.device) for _ in range(2)
        )
        state_shapes = [{0: batch} if step == 1 else {0: batch, 1: old_beams} for _ in state]
        beam_shapes = {0: batch, 1: beams}
        exported[f"step_{step}"] = _traced(
            _Step(model),
            (read, state, tokens, parents),
            {
                "read": read_shapes,
                "state": state_shapes,
                "tokens": beam_shapes,
                "parents": beam_shapes,
            },
        )
        _, state = model.next_token_logits(read, state, tokens, parents)
    if model.rescores:
        exported["rescore"] = _traced(
            _Rescore(model, item_ids),
            (read, arguments[0]),
            {"read": read_shapes, "ids": {0: batch, 1: beams}},
        )
    return exported


def _traced(
    function: nn.Module, arguments: Sequence[object], shapes: Mapping[str, object]
) -> ExportedProgram:
    return torch.export.export(function.eval(), tuple(arguments), dynamic_shapes=dict(shapes))
