"""Calls of public functions with arguments on a device."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree

import recops
from public_calls import Call


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


def tensors_of(value: Any) -> list[Tensor]:
    """Return the tensors in lists, tuples and holders."""
    return [leaf for leaf in _pytree.tree_leaves(value) if isinstance(leaf, Tensor)]


class DeviceCall:
    """A public function and copies of its arguments on a device."""

    def __init__(self, call: Call, device: torch.device) -> None:
        self.has_gradients = not call.name.endswith(("_step_", "trie_next_logits"))
        self.function = call.function
        owner = getattr(call.function, "__self__", None)
        if isinstance(owner, recops.SidTrie):
            self.function = getattr(owner.to(device), call.function.__name__)
        self.arguments = {name: on(device, value) for name, value in call.arguments.items()}

    def run(self) -> tuple[list[Tensor], list[Tensor]]:
        """Call the function.

        Returns:
            the tensors of its results and of the pool that it changes; the gradients of its
            arguments.
        """
        if not self.has_gradients:
            with torch.no_grad():
                results = tensors_of(self.function(**self.arguments))
            pool = self.arguments.get("pool")
            return results if pool is None else list(pool.state_dict().values()), []
        results = tensors_of(self.function(**self.arguments))
        differentiable = [each for each in results if each.requires_grad]
        if differentiable:
            sum(each.square().sum() for each in differentiable).backward()
        leaves = [each for each in tensors_of(self.arguments) if each.grad is not None]
        return results, [each.grad.to_dense() for each in leaves if each.grad is not None]
