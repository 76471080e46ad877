"""Watching a module run: each torch function that its code calls is recorded, whatever path the code takes.

PyTorch hands every call of a function or of a tensor's method to the active `TorchFunctionMode`; hooks say in which
module it happens. Rejected: torch.export and torch.fx, which refuse code that looks at values.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode

from twinzoo.converters.live.torch.calls import Call, Step, tensors_in
from twinzoo.converters.live.torch.modules import attributes_of, is_leaf, is_whole, kind_of
from twinzoo.converters.live.torch.recording import Recording
from twinzoo.converters.live.torch.rows import plain_name
from twinzoo.converters.live.torch.writing import writes


class Watch(TorchFunctionMode):
    """Records while it is entered. What a module that is one operation does inside is its own business."""

    def __init__(self, recording: Recording, model: nn.Module) -> None:
        super().__init__()
        self._recording = recording
        self._paths = {module: path for path, module in model.named_modules()}
        self._running: list[nn.Module] = []
        self._inside_whole = 0

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call the function and record it."""
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        name = plain_name(func)
        if self._inside_whole:
            return result
        changed = args[:1] if name in ("setitem", "set_data") else result
        results = tuple(tensors_in(changed))
        if results:
            call = Call(name, args, kwargs, results)
            self._recording.add_call(call, self._name(name), writes=writes(func, args, kwargs))
        return result

    def _name(self, function: str) -> str:
        """The path of a module that has a layer's or a function's name already, else the function in its module."""
        module = self._running[-1] if self._running else None
        path = self._paths.get(module, "") if module is not None else ""
        if module is not None and path and is_leaf(module) and type(module).__module__.startswith("torch.nn."):
            return path
        return f"{path}.{function}" if path else function

    @contextmanager
    def hooks(self) -> Iterator[None]:
        """Hooks on every module inside the block. Compiled script takes none of its own, only those for all modules."""
        with ExitStack() as stack:
            scripted = [module for module in self._paths if isinstance(module, torch.jit.ScriptModule)]
            for module in self._paths:
                if module not in scripted:
                    before = module.register_forward_pre_hook(self._enter, prepend=True, with_kwargs=True)
                    after = module.register_forward_hook(self._leave, with_kwargs=True, always_call=True)
                    stack.callback(before.remove)
                    stack.callback(after.remove)
            if scripted:
                stack.callback(register_module_forward_pre_hook(self._enter_scripted).remove)
                stack.callback(register_module_forward_hook(self._leave_scripted, always_call=True).remove)
            yield

    def _enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        self._running.append(module)
        self._inside_whole += is_whole(module)

    def _leave(self, module: nn.Module, args: Any, kwargs: Any, result: Any) -> None:
        self._running.pop()
        self._inside_whole -= is_whole(module)
        if not self._inside_whole:
            self._record_module(module, args, kwargs, tuple(tensors_in(result)))

    def _enter_scripted(self, module: nn.Module, args: Any) -> None:
        if isinstance(module, torch.jit.ScriptModule):
            self._enter(module, args, {})

    def _leave_scripted(self, module: nn.Module, args: Any, result: Any) -> None:
        if isinstance(module, torch.jit.ScriptModule):
            self._leave(module, args, {}, result)

    def _record_module(self, module: nn.Module, args: Any, kwargs: Any, results: tuple[torch.Tensor, ...]) -> None:
        """One operation for a module that is one, and for one without modules inside whose work was not seen."""
        if is_whole(module):
            given = tuple(tensors_in(dict(inspect.signature(module.forward).bind(*args, **kwargs).arguments)))
            made = Step(kind_of(module), given, attributes_of(module))
        elif (is_leaf(module) or isinstance(module, torch.jit.ScriptModule)) and not all(
            self._recording.saw(tensor) for tensor in results
        ):
            made = Step(f"torch.{type(module).__name__}", tuple(tensors_in((args, kwargs))))
        else:
            return
        self._recording.add_module(self._paths[module], made, results)
