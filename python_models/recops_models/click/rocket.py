"""Rocket Launching: a light net learns beside a heavy one, and flies on alone.

Zhou et al., Rocket Launching: A Universal and Efficient Framework for Training Well-performing
Light Net, AAAI 2018 (arXiv 1708.04106). What is told of it here rests on its abstract and on the
code released with it: one for images, one for clicks (two DIENs). Its full text was not read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recops_models.click.loss import click_loss
from recops_models.click.model import ClickModel
from recops_models.examples.batch import Batch
from recops_models.setting_checks import check_above_zero, check_at_least

Share = Literal["none", "embedding", "bottom"]
HintKind = Literal["logit-mse", "probability-mse", "kd"]


@dataclass(frozen=True)
class RocketConfig:
    """How two nets are trained as one.

    Attributes:
        booster: the heavy net, a click model by name; None: none, for a teacher alone.
        light: the net that is kept; None: the same model as the booster.
        share: what both nets have in common: the embedding tables, all below the MLP, or nothing.
        block: the hint leaves the booster alone.
        hint: how the light net's logits are held against the booster's; see :func:`hint_loss`.
        hint_weight: λ.
        hint_warmup: the steps over which λ rises in a line from 0; 0: it is there at once.
        temperature: of ``"kd"``.
        teacher: the ``model.safetensors`` of a finished training, a second source of hints.
        teacher_hint: how the light net's logits are held against the teacher's.
        teacher_weight: μ.

    Raises:
        ValueError: a negative weight or warm-up, a temperature that is not positive.
    """

    booster: str | None = "din"
    light: str | None = None
    share: Share = "embedding"
    block: bool = True
    hint: HintKind = "logit-mse"
    hint_weight: float = 0.1
    hint_warmup: int = 0
    temperature: float = 4.0
    teacher: str | None = None
    teacher_hint: HintKind = "kd"
    teacher_weight: float = 1.0

    def __post_init__(self) -> None:
        check_at_least("rocket", self, hint_weight=0, hint_warmup=0, teacher_weight=0)
        check_above_zero("rocket", self, "temperature")


def hint_loss(light: Tensor, guide: Tensor, kind: HintKind, *, temperature: float = 4.0) -> Tensor:
    """How far the logits l are from those of a guide, z: both ``[B]``; a mean over rows, in f32.

    - ``"logit-mse"``: ``mean (l − z)²``.
    - ``"probability-mse"``: ``mean (σ(l) − σ(z))²``. Its gradient carries ``σ'(l)``, so that it
      fades where the light net is sure, rightly or not.
    - ``"kd"``: ``T² · mean KL(σ(z/T) ‖ σ(l/T))``, Hinton et al., Distilling the Knowledge in a
      Neural Network, 2015; T² keeps the gradient's size as T grows.

    The paper analysed several such losses and adopted the best; that the logits' is the one, both
    releases confirm, which the others were is inferred. The click code has two logits a row, halves
    both cross-entropies and weighs the mean over B × 2 cells with .3: where its two logits mirror
    each other, that is λ = .15 here (inferred).

    Raises:
        ValueError: an unknown kind, or logits of two shapes.
    """
    if light.shape != guide.shape:
        raise ValueError(
            f"hint_loss: guide must be {list(light.shape)}, as light, got {list(guide.shape)}"
        )
    light, guide = light.float(), guide.float()
    rows = max(len(light), 1)  # An empty batch has no distance.
    match kind:
        case "logit-mse":
            return (light - guide).square().sum() / rows
        case "probability-mse":
            return (light.sigmoid() - guide.sigmoid()).square().sum() / rows
        case "kd":
            light, guide = light / temperature, guide / temperature
            sure, unsure = guide.sigmoid(), (-guide).sigmoid()
            click = F.logsigmoid(guide) - F.logsigmoid(light)
            none = F.logsigmoid(-guide) - F.logsigmoid(-light)
            return temperature**2 * (sure * click + unsure * none).sum() / rows
    raise ValueError(f"hint_loss: no hint {kind!r}: logit-mse, probability-mse or kd")


class Rocket(nn.Module):
    """``L = CE(y, l) + CE(y, z) + λ · hint(l, sg(z)) [+ μ · teacher_hint(l, t)]``, and whatever
    auxiliary losses the nets have of their own.

    l are the light net's logits, z the booster's, t a finished teacher's; sg stops the gradient
    (without ``block`` it does not). Both nets are trained at once, so that the light net sees the
    booster learn (the paper); afterwards ``light`` is a whole net of its own, which :meth:`export`
    gives.

    What is shared belongs to ``light``, and the booster only looks at it: ``booster`` owns what is
    the booster's alone. Shared weights learn from all terms: the hint reaches them through the
    light net, even with ``block`` (as in the image code; in EasyRec's version the booster alone
    trains them). Activations with statistics (Dice) sit in the MLPs, of which each net has its own,
    as the image code keeps batch norms apart; a shared bottom is computed once, on the same input
    for both. The click code shares nothing.

    The light net draws its dropout as it would alone, the booster from a stream of its own, and
    clipping cuts each net's gradient by its own norm: with ``share="none"`` and λ = 0 the light net
    is, to the bit, the one trained alone. These streams, the clipping and the warm-up of λ are
    ours, not the paper's.

    Args:
        light: the net that is kept.
        booster: the heavy one, of the same schema; None: none.
        config: how.
        teacher: a finished net, which stays as it is and is no part of this module's state.

    Raises:
        ValueError: neither booster nor teacher, nets that cannot share what they should.
    """

    steps: Tensor
    booster_stream: Tensor

    def __init__(
        self,
        light: ClickModel,
        booster: ClickModel | None,
        config: RocketConfig,
        *,
        teacher: ClickModel | None = None,
    ) -> None:
        super().__init__()
        if booster is None and teacher is None:
            raise ValueError("rocket: booster=none needs a teacher")
        self.schema, self.config = light.schema, config
        self.light = light
        if booster is not None:
            _share(config.share, light, booster)
        self.booster = booster
        self._teacher = (teacher,)  # In a tuple, where no module looks for its parts.
        if teacher is not None:
            teacher.eval().requires_grad_(False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("booster_stream", torch.get_rng_state())

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[B]`` of the light net."""
        logits: Tensor = self.light(batch)
        return logits

    def export(self) -> ClickModel:
        """The light net, which knows nothing of a booster: the same modules, so the same bits."""
        return self.light

    def nets(self) -> list[ClickModel]:
        """Whose gradients are clipped apart."""
        return [net for net in (self.light, self.booster) if net is not None]

    def loss(self, batch: Batch) -> Tensor:
        """L of one training step."""
        config = self.config
        light, booster, auxiliaries = self._logits(batch)
        loss = click_loss(light, batch.label)
        if auxiliaries:
            loss = loss + sum(auxiliaries)
        if booster is not None:
            guide = booster.detach() if config.block else booster
            loss = loss + click_loss(booster, batch.label)
            loss = loss + self.hint_weight() * self._hint(config.hint, light, guide)
        (teacher,) = self._teacher
        if teacher is not None:
            with torch.no_grad():
                guide = teacher(batch)
            loss = loss + config.teacher_weight * self._hint(config.teacher_hint, light, guide)
        self.steps += 1
        return loss

    def hint_weight(self) -> Tensor | float:
        """λ at this step."""
        if not self.config.hint_warmup:
            return self.config.hint_weight
        return self.config.hint_weight * (self.steps / self.config.hint_warmup).clamp(max=1)

    def _hint(self, kind: HintKind, light: Tensor, guide: Tensor) -> Tensor:
        return hint_loss(light, guide, kind, temperature=self.config.temperature)

    def _logits(self, batch: Batch) -> tuple[Tensor, Tensor | None, list[Tensor]]:
        """``[B]`` of the light net, and of the booster if there is one; auxiliary losses of both,
        that of a shared bottom once.
        """
        x, auxiliary = self.light.bottom(batch)  # (B, output_dim)
        light = self.light.logits(x)
        auxiliaries = [] if auxiliary is None else [auxiliary]
        if self.booster is None:
            return light, None, auxiliaries
        with self._booster_draws():
            if self.config.share != "bottom":
                x, auxiliary = self.booster.bottom(batch)
                auxiliaries += [] if auxiliary is None else [auxiliary]
            return light, self.booster.logits(x), auxiliaries

    @contextmanager
    def _booster_draws(self) -> Iterator[None]:
        """Random numbers from the booster's stream, which a checkpoint keeps with the weights."""
        light_stream = torch.get_rng_state()
        torch.set_rng_state(self.booster_stream)
        try:
            yield
        finally:
            self.booster_stream.copy_(torch.get_rng_state())
            torch.set_rng_state(light_stream)


def _share(share: Share, light: ClickModel, booster: ClickModel) -> None:
    """Have ``booster`` use modules of ``light`` instead of its own: the tables, each by its own
    history or histories; or all below the MLP.
    """
    match share:
        case "none":
            return
        case "embedding":
            ours, theirs = light.embedding.width, booster.embedding.width
            if ours != theirs:
                raise ValueError(
                    "rocket: share=embedding needs tables of one width, got the light net's of "
                    f"{ours}, the booster's of {theirs}"
                )
            _lend(light.embedding, booster.embedding, ["tables"])
        case "bottom":
            _check_bottoms(light, booster)
            _lend(light, booster, [name for name, _ in light.named_children() if name != "head"])


def _lend(owner: nn.Module, user: nn.Module, names: Sequence[str]) -> None:
    for name in names:
        delattr(user, name)
        vars(user)[name] = getattr(owner, name)  # There to use, but no part of the user.


def _check_bottoms(light: ClickModel, booster: ClickModel) -> None:
    apart = {name: getattr(light.config, name) for name in ("hidden", "activation", "dropout")}
    same = type(light) is type(booster)
    if not same or dataclasses.replace(booster.config, **apart) != light.config:
        raise ValueError(
            "rocket: share=bottom needs one model, with the same sizes but for hidden, activation "
            "and dropout"
        )
