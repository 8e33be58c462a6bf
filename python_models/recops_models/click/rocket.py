"""Rocket Launching: a light net trained together with a heavy one, and used alone.

Zhou et al., Rocket Launching: A Universal and Efficient Framework for Training Well-performing
Light Net, AAAI 2018 (arXiv 1708.04106). Only the abstract and the released code were read: one
release for images, one for clicks (two DIENs).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from recops._host import is_on_host
from recops_models import workers
from recops_models.click.loss import click_loss
from recops_models.click.model import ClickModel
from recops_models.examples.batch import Batch
from recops_models.setting_checks import check_above_zero, check_at_least

Share = Literal["none", "embedding", "bottom"]
HintKind = Literal["logit-mse", "probability-mse", "kd"]


@dataclass(frozen=True)
class RocketConfig:
    """Settings of the joint training.

    Attributes:
        booster: the heavy net, a click model by name; None: only a teacher gives hints.
        light: the net that is used afterwards; None: the same model as the booster.
        share: "embedding": the nets share the embedding tables; "bottom": everything below the MLP;
            "none": nothing.
        block: stop the gradient of the hint to the booster.
        hint: distance between the light net's and the booster's logits; see :func:`hint_loss`.
        hint_weight: λ.
        hint_warmup: number of steps over which λ rises linearly from 0; 0: no warm-up.
        temperature: temperature of ``"kd"``.
        teacher: the ``model.safetensors`` of a trained model, a second source of hints.
        teacher_hint: distance between the light net's and the teacher's logits.
        teacher_weight: μ.

    Raises:
        ValueError: a negative weight or warm-up, a temperature that is not positive.

    Example:
        >>> from recops_models.click.rocket import RocketConfig
        >>> RocketConfig(temperature=0.0)
        Traceback (most recent call last):
            ...
        ValueError: rocket: temperature must be > 0, got 0.0
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
    """Return the mean distance of logits l to logits z of a guide, both ``[B]``, in float32.

    With several workers, return this worker's share of the mean over all of them.

    - ``"logit-mse"``: ``mean (l − z)²``.
    - ``"probability-mse"``: ``mean (σ(l) − σ(z))²``. Its gradient has the factor ``σ'(l)``, so it
      vanishes for confident predictions of the light net, also for wrong ones.
    - ``"kd"``: ``T² · mean KL(σ(z/T) ‖ σ(l/T))``, Hinton et al., Distilling the Knowledge in a
      Neural Network, 2015; the factor T² makes the gradient's magnitude independent of T.

    The paper analysed several such losses and adopted the best. Both releases confirm the mean
    square of logits; the other candidates are inferred. The click code has two logits per row,
    halves both cross-entropies and weights the mean over B × 2 cells with .3. If its two logits are
    opposite, this is λ = .15 here (inferred).

    Raises:
        ValueError: an unknown kind, or logits of different shapes.

    Example:
        >>> import torch
        >>> from recops_models.click.rocket import hint_loss
        >>> light, booster = torch.tensor([1.0, 3.0]), torch.tensor([2.0, 1.0])
        >>> hint_loss(light, booster, "logit-mse")  # (1 + 4) / 2
        tensor(2.5000)
    """
    if light.shape != guide.shape:
        raise ValueError(
            f"hint_loss: guide must be {list(light.shape)}, as light, got {list(guide.shape)}"
        )
    light, guide = light.float(), guide.float()
    match kind:
        case "logit-mse":
            total = (light - guide).square().sum()
        case "probability-mse":
            total = (light.sigmoid() - guide.sigmoid()).square().sum()
        case "kd":
            light, guide = light / temperature, guide / temperature
            p_click, p_none = guide.sigmoid(), (-guide).sigmoid()
            click = F.logsigmoid(guide) - F.logsigmoid(light)
            none = F.logsigmoid(-guide) - F.logsigmoid(-light)
            total = temperature**2 * (p_click * click + p_none * none).sum()
        case _:
            raise ValueError(
                f"hint_loss: kind must be logit-mse, probability-mse or kd, got {kind!r}"
            )
    return workers.share_of_ratio(total, len(light))


class Rocket(nn.Module):
    """Joint training of a light net and a booster, with optional hints of a teacher.

    ``L = CE(y, l) + CE(y, z) + λ · hint(l, sg(z)) [+ μ · teacher_hint(l, t)]``, plus the auxiliary
    losses of both nets. l are the light net's logits, z the booster's, t the teacher's. sg stops
    the gradient; without ``block`` it does not. Both nets are trained at once, so the light net
    follows the booster's training (the paper). :meth:`export` returns the light net, which is
    complete without the booster.

    Shared modules belong to ``light``; ``booster`` only refers to them. Shared weights learn from
    all terms: the hint reaches them through the light net, even with ``block`` (as in the image
    code; in EasyRec's version the booster alone trains them). Activations with statistics (Dice)
    are in the MLPs, which are not shared; the image code separates batch norms in the same way. A
    shared bottom is computed once. The click code shares nothing.

    With ``share="none"`` and λ = 0, the light net equals one trained alone, bit for bit: the
    booster draws its dropout from a separate random stream, and each net's gradient is clipped by
    its own norm. These streams, the clipping and the warm-up of λ are the project's own.

    Args:
        light: the net that is used afterwards.
        booster: the heavy net, of the same schema; None: no booster.
        config: settings.
        teacher: a trained net, which is frozen and not part of this module's state.

    Raises:
        ValueError: neither booster nor teacher, or nets that cannot share what ``config.share``
            says.

    Example:
        >>> from recops_models.click.din import Din, DinConfig
        >>> from recops_models.click.rocket import Rocket, RocketConfig
        >>> from recops_models.examples.tiny import tiny_click_data
        >>> schema, batch = tiny_click_data()
        >>> light = Din(schema, DinConfig(width=4, hidden=(8,)))
        >>> booster = Din(schema, DinConfig(width=4, hidden=(64, 32)))
        >>> model = Rocket(light, booster, RocketConfig())
        >>> model.loss(batch).backward()
        >>> model.export()(batch).shape  # the light net alone
        torch.Size([3])
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
        self._teacher = (teacher,)  # In a tuple, so that it is not registered as a submodule.
        if teacher is not None:
            teacher.eval().requires_grad_(False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("booster_stream", torch.get_rng_state())

    def forward(self, batch: Batch) -> Tensor:
        """Return the logits ``[B]`` of the light net."""
        logits: Tensor = self.light(batch)
        return logits

    def export(self) -> ClickModel:
        """Return the light net; it shares its modules with this one."""
        return self.light

    def nets(self) -> list[ClickModel]:
        """Return the nets, whose gradients are clipped separately."""
        return [net for net in (self.light, self.booster) if net is not None]

    def loss(self, batch: Batch) -> Tensor:
        """Return L of one training step and count the step."""
        config = self.config
        light, booster, auxiliaries = self._logits(batch)
        loss = click_loss(light, batch.label, batch.weight)
        if auxiliaries:
            loss = loss + sum(auxiliaries)
        if booster is not None:
            guide = booster.detach() if config.block else booster
            loss = loss + click_loss(booster, batch.label, batch.weight)
            loss = loss + self.hint_weight() * self._hint(config.hint, light, guide)
        (teacher,) = self._teacher
        if teacher is not None:
            with torch.no_grad():
                guide = teacher(batch)
            loss = loss + config.teacher_weight * self._hint(config.teacher_hint, light, guide)
        self.steps += 1
        return loss

    def hint_weight(self) -> Tensor | float:
        """Return λ at this step."""
        if not self.config.hint_warmup:
            return self.config.hint_weight
        return self.config.hint_weight * (self.steps / self.config.hint_warmup).clamp(max=1)

    def _hint(self, kind: HintKind, light: Tensor, guide: Tensor) -> Tensor:
        return hint_loss(light, guide, kind, temperature=self.config.temperature)

    def _logits(self, batch: Batch) -> tuple[Tensor, Tensor | None, list[Tensor]]:
        """Return the logits ``[B]`` of the light net and of the booster, and all auxiliary losses.

        The auxiliary loss of a shared bottom counts once.
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

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Rocket:
        stream = self.booster_stream
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # torch does not annotate it.
        self.booster_stream = stream  # The state of the CPU's generator stays on the CPU.
        return self

    @contextmanager
    def _booster_draws(self) -> Iterator[None]:
        """Draw random numbers from the booster's stream, which checkpoints store.

        The stream is a state of the CPU's generator, also on another device. There it gives the
        seed of the booster's draws in this step. With several workers, it gives such a seed for
        each of them, and the same state afterwards.
        """
        # Loading a model needs no training code.
        from recops_models.training.device import fork_generators

        with fork_generators(self.steps.device):
            torch.set_rng_state(self.booster_stream)
            if is_on_host(self.steps) and not workers.several():
                yield
                self.booster_stream.copy_(torch.get_rng_state())
            else:
                seed = int(torch.randint(2**62, ()))
                self.booster_stream.copy_(torch.get_rng_state())
                torch.manual_seed(seed + workers.share().rank)
                yield


def _share(share: Share, light: ClickModel, booster: ClickModel) -> None:
    """Make ``booster`` use modules of ``light``: the tables, or everything below the MLP.

    With shared tables, each net still reads its own choice of histories.
    """
    match share:
        case "none":
            return
        case "embedding":
            light_width, booster_width = light.embedding.width, booster.embedding.width
            if light_width != booster_width:
                raise ValueError(
                    "rocket: with share=embedding, tables of both nets must have the same width, "
                    f"got {light_width} for the light net and {booster_width} for the booster"
                )
            _lend(light.embedding, booster.embedding, ["tables"])
        case "bottom":
            _check_bottoms(light, booster)
            _lend(light, booster, [name for name, _ in light.named_children() if name != "head"])


def _lend(owner: nn.Module, user: nn.Module, names: Sequence[str]) -> None:
    for name in names:
        delattr(user, name)
        vars(user)[name] = getattr(owner, name)  # A plain attribute: ``owner`` registers it.


def _check_bottoms(light: ClickModel, booster: ClickModel) -> None:
    head_settings = {
        name: getattr(light.config, name) for name in ("hidden", "activation", "dropout")
    }
    is_same_model = type(light) is type(booster)
    if not is_same_model or dataclasses.replace(booster.config, **head_settings) != light.config:
        raise ValueError(
            "rocket: with share=bottom, light and booster must be the same model with the same "
            "sizes; only hidden, activation and dropout may differ"
        )
