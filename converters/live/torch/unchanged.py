"""Leaving a model exactly as it was, whatever its forward does."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import nn


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Eval mode without gradients and without compilation inside the block; after it, everything as before.

    What comes back: the values of all parameters and buffers; what each module holds (modes, hooks, tensors and other
    attributes, by identity); random number generators; the mode of gradients.
    """
    modules = list(model.modules())
    held = [(module, _held(module)) for module in modules if not isinstance(module, torch.jit.ScriptModule)]
    modes = [(module, module.training) for module in modules if isinstance(module, torch.jit.ScriptModule)]
    tensors = [(tensor, tensor.detach().clone()) for tensor in chain(model.parameters(), model.buffers())]
    device = next((tensor.device for tensor, _ in tensors if tensor.device.type != "cpu"), None)
    random = (
        torch.random.fork_rng(devices=[])
        if device is None
        else torch.random.fork_rng(devices=[device], device_type=device.type)
    )
    with random, torch.no_grad(), torch.compiler.set_stance("force_eager"):
        try:
            for module in modules:
                module.training = False
            yield
        finally:
            for module, training in modes:
                module.training = training
            for module, attributes in held:
                _restore(module, attributes)
            for tensor, value in tensors:
                if not torch.equal(tensor.detach(), value):
                    tensor.detach().copy_(value)


Held = dict[str, tuple[Any, dict[Any, Any] | None]]


def _held(module: nn.Module) -> Held:
    """Each attribute, and a copy of it where it is a dictionary, as PyTorch keeps tensors, submodules and hooks."""
    return {name: (value, dict(value) if isinstance(value, dict) else None) for name, value in vars(module).items()}


def _restore(module: nn.Module, attributes: Held) -> None:
    vars(module).clear()
    for name, (value, items) in attributes.items():
        if items is not None:
            value.clear()
            value.update(items)
        vars(module)[name] = value
