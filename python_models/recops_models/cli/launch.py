"""Start of several workers of a command on this machine, by torchrun's launcher."""

from __future__ import annotations

import logging
import os
import sys
import uuid
from collections.abc import Sequence

WORLD_SIZE = "WORLD_SIZE"
"""Environment variable of torchrun with the number of workers."""


def is_worker() -> bool:
    """Return whether torchrun has started this process as one of several workers."""
    return int(os.environ.get(WORLD_SIZE, "1")) > 1


def launch(number: int, arguments: Sequence[str]) -> int:
    """Run ``recops`` in several worker processes, and return its exit code.

    If a worker fails or is killed, or on Ctrl-C, all others are stopped.

    Args:
        number: number of workers.
        arguments: those of the command line.
    """
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    from recops_models.process import worker_environment

    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=number,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=0,
    )
    command = ("-m", "recops_models.cli", *arguments)
    with worker_environment(number):
        try:
            elastic_launch(config, sys.executable)(*command)
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            if failure.exitcode < 0:
                print(
                    f"recops: worker {rank} was killed "
                    f"({failure.signal_name()}), and the others were stopped",
                    file=sys.stderr,
                )
            return failure.exitcode if failure.exitcode > 0 else 1
        except SignalException:
            return 1
    return 0
