"""Latency of one request, for ``recops recommend --timing``."""

from __future__ import annotations

from torch import Tensor, nn

from recops_models.data import Dataset
from recops_models.generative.latency import latency
from recops_models.generative.path_ranker import PathRanker
from recops_models.generative.ranker import seen_items
from recops_models.generative.windows import last_windows
from recops_models.training.device import to_device
from recops_models.training.path_task import PathTask
from recops_models.training.ranking_task import user_history
from recops_models.training.task import AnyTask


def request_timing(model: nn.Module, dataset: Dataset, task: AnyTask, user: int, k: int) -> str:
    """Return one line on the latency of a user's request.

    Raises:
        ValueError: the model does not generate items token by token, or the user has no events.
    """
    if not isinstance(model, PathRanker):
        raise ValueError(f"--timing: the model must be unirec or tiger, got {type(model).__name__}")
    known, beams = user_history(dataset, user), max(k, model.beams)
    history, lengths = to_device(last_windows(known, model.window), model.device)
    scene: int | Tensor = 0
    user_features: Tensor | None = None
    if isinstance(task, PathTask):
        request = task.request(model, user, known)
        scene, user_features = to_device((request.task, request.user), model.device)
    timing = latency(
        model,
        history,
        lengths,
        beams=beams,
        banned=seen_items(known, model.device),
        task=scene,
        user=user_features,
    )
    return (
        f"{timing.total:.2f} ms per request with {beams} beams: encode {timing.encode:.2f}, "
        f"steps {timing.steps:.2f}, beam {timing.beam:.2f}"
    )
