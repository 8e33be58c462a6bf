"""Identity of a process as the owner of a lock."""

from __future__ import annotations

import os
import uuid
from pathlib import Path


def current_owner() -> str:
    """Return the identity of this process.

    On Linux: boot id and PID namespace of the machine, process id and start time. Elsewhere a
    random name, so that a lock is freed only by its release or its expiry.
    """
    try:
        machine = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = Path("/proc/self/ns/pid").stat().st_ino
        return f"{machine}-{namespace}:{os.getpid()}:{_start_time(os.getpid())}"
    except OSError:
        return str(uuid.uuid4())


def has_exited(owner: str) -> bool:
    """Return whether ``owner`` was a process of this machine that no longer runs."""
    machine, _, process = owner.partition(":")
    process_id, _, start_time = process.partition(":")
    if not process_id or machine != current_owner().partition(":")[0]:
        return False
    try:
        return _start_time(int(process_id)) != start_time
    except OSError:
        return True


def _start_time(process_id: int) -> str | None:
    """Return when the process started, in clock ticks since boot; None for a zombie."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]
