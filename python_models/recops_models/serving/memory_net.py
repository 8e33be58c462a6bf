"""Models that a center can serve: a memory model, alone or inside AGE or KEEP."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from recops import HpmnState, MimnState
from recops_models.click.age import Age
from recops_models.click.age_scores import AgeScores
from recops_models.click.keep import Keep
from recops_models.click.memory import MemoryModel
from recops_models.examples.batch import Batch
from recops_models.serving.errors import FieldError


def memory_of(model: nn.Module) -> MemoryModel[Any] | None:
    """Return the memory model whose states a center stores; None if there is none."""
    base = model.base if isinstance(model, (Age, Keep)) else model
    return base if isinstance(base, MemoryModel) else None


def logits_from_state(model: nn.Module, state: MimnState | HpmnState, batch: Batch) -> Tensor:
    """Return the logits ``[B]`` of candidates from the state of one user.

    AGE's logits are those of its base; KEEP's also read the knowledge of user and candidates.
    """
    memory = memory_of(model)
    assert memory is not None
    x = memory.bottom_from_state(state, batch)
    if isinstance(model, Keep):
        return model.logits_with_knowledge(x, batch)
    return memory.logits(x)


def explored_from_state(
    model: nn.Module, state: MimnState | HpmnState, batch: Batch, seed: int
) -> AgeScores:
    """Return AGE's exploring scores of candidates from the state of one user.

    Raises:
        FieldError: the model does not explore.
    """
    if not isinstance(model, Age):
        raise FieldError("explore", "must be left out: only age explores")
    memory = memory_of(model)
    assert memory is not None
    return model.explore_bottom(memory.bottom_from_state(state, batch), batch, seed=seed)
