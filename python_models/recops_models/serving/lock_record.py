"""Stored value of a lock: its owner, its fencing token and its expiry time."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass

from recops_models.serving.lock_owner import has_exited


@dataclass(frozen=True)
class LockRecord:
    """Stored value of a lock.

    Attributes:
        owner: identity of the holder; empty if the lock is free.
        token: fencing token. It increases each time the lock is acquired or is taken away from a
            holder that let it expire.
        expires: Unix time in seconds after which another process may acquire the lock.
    """

    owner: str = ""
    token: int = 0
    expires: float = 0.0

    @classmethod
    def unpack(cls, data: bytes | None) -> LockRecord:
        """Return the record that :meth:`pack` encoded; a free lock for None."""
        return cls() if data is None else cls(**json.loads(data))

    def pack(self) -> bytes:
        """Encode the record as JSON."""
        return json.dumps(vars(self)).encode()

    def is_held(self) -> bool:
        """Return whether the lock has not expired and its owner is not known to have exited."""
        return self.expires > time.time() and not has_exited(self.owner)

    def belongs_to(self, owner: str, token: int) -> bool:
        """Return whether ``owner`` acquired the lock with ``token`` and nobody has since."""
        return (self.owner, self.token) == (owner, token)

    def acquired_by(self, owner: str, expires: float) -> LockRecord:
        """Return the record after ``owner`` acquires the lock."""
        return LockRecord(owner, self.token + 1, expires)

    def extended_to(self, expires: float) -> LockRecord:
        """Return the record with a later expiry time."""
        return LockRecord(self.owner, self.token, expires)

    def released(self) -> LockRecord:
        """Return the record after its holder releases the lock."""
        return LockRecord("", self.token, 0.0)

    def revoked(self) -> LockRecord:
        """Return a free lock with a higher token, so that the former holder cannot renew it."""
        return LockRecord("", self.token + 1, 0.0)
