"""Training steps of DIEN, CAN, MIMN and HPMN in CUDA graphs: equal results, and times.

``python tools/capture_steps.py`` trains each model twice from the same weights on the same random
batches: step by step, and by replays of a CUDA graph of one step. Losses and weights must be equal
bit for bit. It prints the times of both, and needs a CUDA GPU.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from recops_models.click.loss import training_loss
from recops_models.data.vocabulary import Vocabulary
from recops_models.examples import features
from recops_models.examples.batch import Batch
from recops_models.examples.lookup import Lookup
from recops_models.recipes.click import ClickRecipe, click_training
from recops_models.recipes.registry import recipe_of
from recops_models.training.device import (
    fork_generators,
    generator_states,
    map_tensors,
    set_generator_states,
    synchronize,
    to_device,
)
from recops_models.training.optimizers import make_optimizers, update_weights

MODELS = ("dien", "can", "mimn", "hpmn")
WARM_UP = 3
"""Steps before a capture. They compile kernels and allocate the state of the optimizer."""


class Sizes(NamedTuple):
    """Sizes of the random data.

    Attributes:
        batch: examples per batch.
        length: events per history, the longest one.
        users, items, categories: rows of the tables.
    """

    batch: int = 256
    length: int = 100
    users: int = 10_000
    items: int = 50_000
    categories: int = 500


class Outcome(NamedTuple):
    """Comparison of the two trainings of a model.

    Attributes:
        model: name of the model.
        equal_losses: whether the losses of all steps are equal bit for bit.
        equal_weights: whether the weights after the last step are.
        eager: seconds per step, the shortest of several rounds.
        graph: seconds per replay, likewise.
    """

    model: str
    equal_losses: bool
    equal_weights: bool
    eager: float
    graph: float


class TrainingStep:
    """Training step with inputs, loss and weights at fixed addresses.

    Args:
        model: name of a click model.
        sizes: sizes of the data.
        device: where the step runs.

    Attributes:
        model: the model.
        optimizers: its optimizers.
        loss: the loss of the last step.
    """

    def __init__(self, model: str, sizes: Sizes, device: torch.device) -> None:
        recipe = recipe_of(model)
        assert isinstance(recipe, ClickRecipe)
        self._config = click_training()
        with fork_generators(device, seed=0):
            self.model = recipe.net(random_schema(sizes), recipe.sizes).to(device).train()
        self.optimizers = make_optimizers(self.model, self._config)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["capturable"] = True
        self._batch = to_device(random_batch(sizes, seed=0), device)
        self.loss = torch.zeros((), device=device)

    def load(self, batch: Batch) -> None:
        """Copy a batch on the device to the inputs of the step."""
        pairs = zip(_tensors(self._batch), _tensors(batch), strict=True)
        for target, source in pairs:
            target.copy_(source)

    def run(self) -> None:
        """Run the step on the loaded batch; :attr:`loss` gets its loss."""
        loss = training_loss(self.model, self._batch)
        update_weights(loss, self.optimizers, [self.model], self._config)
        self.loss.copy_(loss.detach())


Capture = Callable[[TrainingStep], Callable[[], None]]
"""Function that runs a step ``WARM_UP`` times, captures the next one without an effect on weights,
and returns the function that replays it."""


def random_schema(sizes: Sizes) -> features.FittedSchema:
    """Return a schema with a user, an item with a category, and a history of both."""
    schema = features.FeatureSchema(
        (
            features.Categorical("user"),
            features.Categorical("item"),
            features.Categorical("category"),
            features.Sequence("history_item", sizes.length, share_embedding="item"),
            features.Sequence("history_category", sizes.length, share_embedding="category"),
        )
    )
    counts = {"user": sizes.users, "item": sizes.items, "category": sizes.categories}
    lookups = {name: Lookup(Vocabulary(np.arange(count))) for name, count in counts.items()}
    return features.FittedSchema(schema, lookups, {})


def random_batch(sizes: Sizes, *, seed: int) -> Batch:
    """Return a batch with histories of 0 to ``sizes.length`` events, some of each extreme."""
    generator = torch.Generator().manual_seed(seed)

    def rows(count: int, *shape: int) -> Tensor:
        return torch.randint(2, count + 2, shape, generator=generator)

    size, most = sizes.batch, sizes.length
    lengths = torch.randint(most + 1, (size,), generator=generator)
    lengths[0], lengths[-1] = 0, most
    is_event = torch.arange(most) < lengths[:, None]
    values = {
        "user": rows(sizes.users, size),
        "item": rows(sizes.items, size),
        "category": rows(sizes.categories, size),
        "history_item": rows(sizes.items, size, most).where(is_event, 0),
        "history_category": rows(sizes.categories, size, most).where(is_event, 0),
    }
    label = torch.randint(2, (size,), generator=generator).float()
    histories = {"history_item": lengths, "history_category": lengths.clone()}
    return Batch(values, histories, label, torch.arange(size))


def compare(
    model: str, sizes: Sizes, device: torch.device, capture: Capture, *, steps: int, rounds: int
) -> Outcome:
    """Train a model step by step and by replays, and compare results and times.

    Args:
        model: name of a click model.
        sizes: sizes of the data.
        device: where the steps run.
        capture: see :data:`Capture`.
        steps: batches of the comparison.
        rounds: timed passes over these batches, after the comparison.
    """
    batches = [to_device(random_batch(sizes, seed=1 + i), device) for i in range(steps)]
    eager, graph = (TrainingStep(model, sizes, device) for _ in range(2))
    with fork_generators(device, seed=0):
        for _ in range(WARM_UP):
            eager.run()
        states = generator_states(device)
        expected = losses_of(eager, eager.run, batches)
    with fork_generators(device, seed=0):
        replay = capture(graph)
        set_generator_states(device, states)
        actual = losses_of(graph, replay, batches)
    weights = zip(eager.model.parameters(), graph.model.parameters(), strict=True)
    return Outcome(
        model,
        torch.equal(actual, expected),
        all(torch.equal(one, other) for one, other in weights),
        *(seconds_per_step(run, device, steps, rounds) for run in (eager.run, replay)),
    )


def losses_of(step: TrainingStep, run: Callable[[], None], batches: Sequence[Batch]) -> Tensor:
    """Return the loss of each batch, ``[steps]``, while training on them."""
    losses = []
    for batch in batches:
        step.load(batch)
        run()
        losses.append(step.loss.clone())
    return torch.stack(losses)


def seconds_per_step(
    run: Callable[[], None], device: torch.device, steps: int, rounds: int
) -> float:
    """Return the shortest mean time of ``steps`` calls over all rounds."""
    best = float("inf")
    for _ in range(rounds):
        synchronize(device)
        started = time.perf_counter()
        for _ in range(steps):
            run()
        synchronize(device)
        best = min(best, (time.perf_counter() - started) / steps)
    return best


def capture_in_cuda_graph(step: TrainingStep) -> Callable[[], None]:
    """Capture a step in a CUDA graph, see :data:`Capture`."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):  # A capture must not wait for work of the default stream.
        for _ in range(WARM_UP):
            step.run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        step.run()
    return graph.replay


def to_markdown(outcomes: Sequence[Outcome]) -> str:
    """Return a table with a row per model."""
    lines = [
        "| model | eager (ms/step) | graph (ms/step) | eager / graph | equal losses "
        "| equal weights |",
        "| --- | ---: | ---: | ---: | --- | --- |",
    ]
    for each in outcomes:
        equal = ("yes" if flag else "NO" for flag in (each.equal_losses, each.equal_weights))
        lines.append(
            f"| {each.model} | {each.eager * 1e3:.2f} | {each.graph * 1e3:.2f} "
            f"| {each.eager / each.graph:.2f} | {' | '.join(equal)} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=Sizes().batch, help="examples per step")
    parser.add_argument("--length", type=int, default=Sizes().length, help="events per history")
    parser.add_argument("--steps", type=int, default=20, help="steps that are compared and timed")
    parser.add_argument("--rounds", type=int, default=5, help="timed passes over the steps")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print("capture_steps.py: torch finds no CUDA GPU", file=sys.stderr)
        raise SystemExit(2)
    sizes = Sizes(options.batch, options.length)
    device = torch.device("cuda", torch.cuda.current_device())
    outcomes = [
        compare(
            name,
            sizes,
            device,
            capture_in_cuda_graph,
            steps=options.steps,
            rounds=options.rounds,
        )
        for name in MODELS
    ]
    print(to_markdown(outcomes))
    if not all(each.equal_losses and each.equal_weights for each in outcomes):
        raise SystemExit("capture_steps.py: a replay differs from a step")


def _tensors(batch: Batch) -> list[Tensor]:
    tensors: list[Tensor] = []

    def collect(tensor: Tensor) -> Tensor:
        tensors.append(tensor)
        return tensor

    map_tensors(collect, batch)
    return tensors


if __name__ == "__main__":
    main()
