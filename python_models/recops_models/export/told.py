"""What a request must tell a ranker beside its history."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from recops_models.generative.unirec import UniRec


@dataclass(frozen=True)
class Told:
    """What a model tells apart.

    Attributes:
        tasks: how many; 0: it goes by none.
        users: of how many it has fields; 0: it goes by none.
    """

    tasks: int = 0
    users: int = 0

    @property
    def names(self) -> tuple[str, ...]:
        """Which of ``task`` and ``user`` a request must tell, in this order."""
        counts = {"task": self.tasks, "user": self.users}
        return tuple(name for name, count in counts.items() if count)


def told_of(model: nn.Module) -> Told:
    """What a model must be told; nothing, of one that is no UniRec."""
    if not isinstance(model, UniRec):
        return Told()
    tasks = model.start.apart
    users = 0 if model.user is None else len(model.user.values) - 1
    return Told(tasks if tasks > 1 else 0, users)
