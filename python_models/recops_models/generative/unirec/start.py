"""The first query of a path: what is asked for, and where."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from recops_models.generative.unirec.config import UniRecConfig


class TaskStart(nn.Module):
    """Task-conditioned BOS (UniRec §5.1): ``e_BOS(task)``, task = objective · |scenes| + scene.

    By ``config.bos``: a row a task, as in the paper; ``E_obj[objective] + E_scene[scene]``, so that
    a pair that was never trained on is the sum of what was [I]; one row for all tasks, which is an
    ablation. A row that no request names gets a gradient of zero.
    """

    def __init__(self, config: UniRecConfig) -> None:
        super().__init__()
        self.tasks, self.scenes = config.tasks, config.scenes
        rows = {
            "table": [config.tasks],
            "factorised": [config.objectives, config.scenes],
            "shared": [1],
        }[config.bos]
        self.bos = config.bos
        self.tables = nn.ModuleList(nn.Embedding(count, config.width) for count in rows)
        for table in self.tables:
            assert isinstance(table, nn.Embedding)
            nn.init.normal_(table.weight, std=(config.width * len(rows)) ** -0.5)

    @property
    def apart(self) -> int:
        """How many tasks have a start of their own."""
        return 1 if self.bos == "shared" else self.tasks

    def forward(self, task: int | Tensor, shape: torch.Size) -> Tensor:
        """``[B, T, d]`` of one task, of ``[B]`` tasks or of ``[B, T]``; ``shape`` is (B, T).

        Raises:
            ValueError: there is no such task, or ``task`` has another shape. A program that
                ``torch.export`` traces cannot look at what it is given: who calls it must.
        """
        first = self.tables[0]
        assert isinstance(first, nn.Embedding)
        tasks = torch.as_tensor(task, device=first.weight.device)
        if tasks.shape not in (torch.Size(), shape[:1], shape):
            raise ValueError(
                f"UniRec: task must be a number, {list(shape[:1])} or {list(shape)}, "
                f"got shape {list(tasks.shape)}"
            )
        if not torch.compiler.is_exporting():
            self._check_range(task, tasks)
        tasks = (tasks[:, None] if tasks.dim() == 1 else tasks).expand(shape)
        rows = {
            "table": [tasks],
            "factorised": [tasks // self.scenes, tasks % self.scenes],
            "shared": [torch.zeros_like(tasks)],
        }[self.bos]
        parts = [table(row) for table, row in zip(self.tables, rows, strict=True)]
        out: Tensor = torch.stack(parts).sum(0)
        return out

    def _check_range(self, task: int | Tensor, tasks: Tensor) -> None:
        if not tasks.numel():
            return
        # A number by itself is no tensor's value, so that it can be compiled.
        bounds = (task, task) if isinstance(task, int) else (tasks.min(), tasks.max())
        low, high = map(int, bounds)
        if low < 0 or high >= self.tasks:
            wrong = low if low < 0 else high
            raise ValueError(f"UniRec: task must be from 0 to {self.tasks - 1}, got {wrong}")
