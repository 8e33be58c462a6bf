"""How long a request takes, as ``recops recommend --timing`` tells it."""

from __future__ import annotations

from torch import Tensor, nn

from recops_models.data import Dataset
from recops_models.generative.latency import latency
from recops_models.generative.path_ranker import PathRanker
from recops_models.generative.ranker import items_met
from recops_models.generative.windows import last_windows
from recops_models.recipes.stage import AnyProblem
from recops_models.training.path_problem import PathProblem
from recops_models.training.ranking_problem import met


def request_timing(
    model: nn.Module, dataset: Dataset, problem: AnyProblem, user: int, k: int
) -> str:
    """One line on a user's request, as ``problem`` asks it.

    Raises:
        ValueError: the model does not spell items, or the user has met nothing.
    """
    if not isinstance(model, PathRanker):
        raise ValueError(f"--timing: {type(model).__name__} has no steps; unirec and tiger have")
    known, beams = met(dataset, user), max(k, model.beams)
    history, lengths = last_windows(known, model.window)
    task: int | Tensor = 0
    who: Tensor | None = None
    if isinstance(problem, PathProblem):
        request = problem.request(model, user, known)
        task, who = request.task, request.user
    found = latency(
        model, history, lengths, beams=beams, banned=items_met(known), task=task, user=who
    )
    return (
        f"{found.total:.2f} ms a request of {beams} beams: encode {found.encode:.2f}, "
        f"steps {found.steps:.2f}, beam {found.beam:.2f}"
    )
