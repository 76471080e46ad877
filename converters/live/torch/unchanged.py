"""Leaving a model exactly as it was, whatever its forward does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from twinzoo.converters.live.torch.arrays import Array, array_of
from twinzoo.converters.live.torch.calls import tensors_in
from twinzoo.converters.live.torch.state import tensors_of
from twinzoo.converters.live.torch.writing import may_write


class Kept(TorchFunctionMode):
    """The tensors of a model as they were.

    Buffers are copied at once. A parameter is copied just before the first call of a PyTorch function that may write to
    its memory, so that a run that only reads its parameters costs no copies of them. Code that PyTorch calls do not
    show (compiled script, a compiled module) needs them copied at once.
    """

    def __init__(self, model: nn.Module, *, at_once: bool) -> None:
        super().__init__()
        self._model = model
        self._keys = tensors_of(model)
        self._memory = {id(tensor): tensor.detach() for tensor in chain(model.parameters(), model.buffers())}
        self._tensors = {id(tensor): tensor for tensor in chain(model.parameters(), model.buffers())}
        self._copies: dict[int, torch.Tensor] = {}
        self._waiting: dict[int, list[int]] = {}
        hidden = [module for module in model.modules() if isinstance(module, torch.jit.ScriptModule)]
        needed = chain(model.buffers(), *(module.parameters() for module in hidden))
        for tensor in chain(model.parameters(), model.buffers()) if at_once else needed:
            self._copy(id(tensor))
        for identity, tensor in self._tensors.items():
            if identity not in self._copies:
                self._waiting.setdefault(_place(tensor), []).append(identity)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Copy what the function may write to, and call it."""
        kwargs = kwargs or {}
        if self._waiting and may_write(func, args, kwargs):
            for tensor in tensors_in((args, kwargs)):
                for identity in self._waiting.pop(_place(tensor), ()):
                    self._copy(identity)
        return func(*args, **kwargs)

    def _copy(self, identity: int) -> None:
        if identity not in self._copies:
            self._copies[identity] = self._memory[identity].clone()

    def changed(self) -> dict[str, Array]:
        """The tensors of the state that are not as they were, by key."""
        found: dict[str, Array] = {}
        for key, tensor in tensors_of(self._model).items():
            before = self._keys.get(key)
            if before is None or (tensor is before and id(tensor) not in self._copies):
                continue
            after, value = array_of(tensor), array_of(self._copies.get(id(before), before))
            if after.shape != value.shape or after.tobytes() != value.tobytes():
                found[key] = after
        return found

    def restore(self) -> None:
        """Give every tensor its memory and its values again."""
        for identity, tensor in self._tensors.items():
            memory, value = self._memory[identity], self._copies.get(identity)
            if tensor.data_ptr() != memory.data_ptr() or tensor.shape != memory.shape:
                tensor.data = memory
            if value is not None and not torch.equal(memory, value):
                memory.copy_(value)


def _place(tensor: torch.Tensor) -> int:
    """The memory that a tensor has a part of; 0 for tensors without any of their own."""
    return tensor.untyped_storage().data_ptr() if tensor.layout is torch.strided else 0


@contextmanager
def unchanged(
    model: nn.Module, *, train: bool = False, gradients: bool = False, as_it_stands: bool = False
) -> Iterator[Kept]:
    """The model in eval mode or in training mode inside the block; after it, everything as before.

    In training mode already, it keeps the parts that are in eval mode (a frozen norm) as they are.

    What comes back: the values of all parameters and buffers, except where native code that is no PyTorch function
    writes to a parameter; what each module holds (modes, hooks, tensors and other attributes, by identity); random
    number generators; the mode of gradients.

    Args:
        train: the mode.
        gradients: whether gradients are recorded.
        as_it_stands: whether compiled modules run compiled, else as plain Python.
    """
    modules = list(model.modules())
    held = [(module, _held(module)) for module in modules if not isinstance(module, torch.jit.ScriptModule)]
    modes = [(module, module.training) for module in modules if isinstance(module, torch.jit.ScriptModule)]
    kept = Kept(model, at_once=as_it_stands)
    with _random(model), torch.set_grad_enabled(gradients), ExitStack() as stack:
        if not as_it_stands and "torch._dynamo" in sys.modules:  # else nothing is compiled; the import takes 1 s
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        try:
            if not (train and model.training):
                for module in modules:
                    module.training = train
            if as_it_stands:
                yield kept
            else:
                with kept:
                    yield kept
        finally:
            for module, training in modes:
                module.training = training
            for module, attributes in held:
                _restore(module, attributes)
            with torch.no_grad():
                kept.restore()


def _random(model: nn.Module) -> Any:
    """A block after which the generators of the CPU and of the model's device are as before."""
    own = chain(model.parameters(), model.buffers())
    device = next((tensor.device for tensor in own if tensor.device.type != "cpu"), None)
    if device is None:
        return torch.random.fork_rng(devices=[])
    return torch.random.fork_rng(devices=[device], device_type=device.type)


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
