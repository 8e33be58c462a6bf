"""What a request must tell a ranker beside its history."""

from __future__ import annotations

from dataclasses import dataclass


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
