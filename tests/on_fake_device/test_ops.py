"""Every public function with tensors runs on the fake device, with the results of the CPU."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree

import recops
from fake_device import DEVICE, varying_sums
from public_calls import CALLS, Call

CALLS_WITH_TENSORS = [
    call for call in CALLS if "SidCatalog" not in call.name and call.name != "SidTrie.from_sids"
]


def on(device: torch.device, value: Any) -> Any:
    """Return a copy of an argument on a device; floating tensors ask for gradients."""
    if isinstance(value, Tensor):
        return value.clone().to(device).requires_grad_(value.is_floating_point())
    if isinstance(value, list | tuple):
        return type(value)(on(device, each) for each in value)
    if callable(getattr(value, "to", None)):
        holder = copy.deepcopy(value).to(device)
        if isinstance(holder, recops.MimnParams | recops.HpmnParams):
            for tensor in tensors_of(holder):
                tensor.requires_grad_()
        return holder
    if callable(value):  # The decoder of a beam search.
        return lambda *arguments: value(*arguments).to(device)
    return value


def run(call: Call, device: torch.device) -> tuple[list[Tensor], list[Tensor]]:
    """Call a function with arguments on a device.

    Returns:
        the tensors of its results and of the arguments that it changes; the gradients of its
        arguments.
    """
    function = call.function
    owner = getattr(function, "__self__", None)
    if isinstance(owner, recops.SidTrie):
        function = getattr(owner.to(device), function.__name__)
    arguments = {name: on(device, value) for name, value in call.arguments.items()}
    if call.name.endswith("_step_"):  # In place, without gradients.
        with torch.no_grad():
            function(**arguments)
        return list(arguments["pool"].state_dict().values()), []
    results = tensors_of(function(**arguments))
    differentiable = [each for each in results if each.requires_grad]
    if differentiable:
        sum(each.square().sum() for each in differentiable).backward()
    leaves = [each for each in tensors_of(arguments) if each.grad is not None]
    return results, [each.grad.to_dense() for each in leaves if each.grad is not None]


def tensors_of(value: Any) -> list[Tensor]:
    return [leaf for leaf in _pytree.tree_leaves(value) if isinstance(leaf, Tensor)]


@pytest.mark.parametrize("call", CALLS_WITH_TENSORS, ids=lambda call: call.name)
def test_results_and_gradients_equal_those_of_the_cpu(call: Call) -> None:
    results, gradients = run(call, torch.device("cpu"))
    with varying_sums() as sums:
        there, gradients_there = run(call, DEVICE)
    assert sums == []
    for actual, expected in zip([*there, *gradients_there], [*results, *gradients], strict=True):
        assert actual.device == DEVICE
        torch.testing.assert_close(actual.detach().cpu(), expected.detach())
