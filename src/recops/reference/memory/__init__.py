"""Reference of memory networks."""

from recops.reference.memory.hpmn import hpmn_read, hpmn_scan, hpmn_step_
from recops.reference.memory.mimn import mimn_read, mimn_scan, mimn_step_
from recops.reference.memory.primitives import (
    memory_address,
    memory_covariance,
    memory_read,
    memory_utilization,
    memory_write,
)

__all__ = [
    "hpmn_read",
    "hpmn_scan",
    "hpmn_step_",
    "memory_address",
    "memory_covariance",
    "memory_read",
    "memory_utilization",
    "memory_write",
    "mimn_read",
    "mimn_scan",
    "mimn_step_",
]
