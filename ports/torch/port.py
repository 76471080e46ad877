"""The PyTorch port."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from twinzoo.ports import probe
from twinzoo.ports.native import NativePort, check_cotangents, check_inputs
from twinzoo.ports.port import Array, check_state
from twinzoo.ports.torch.table import LANGUAGE
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.vocabulary import native_names

if TYPE_CHECKING:
    import torch


class TorchPort(NativePort):
    """Specs as `torch.nn.Module`s. A model keeps the device and precision that its owner moves it to."""

    name = "torch"
    language = LANGUAGE
    question = probe.TORCH

    def build(self, spec: Spec) -> torch.nn.Module:
        """A fresh module in eval mode.

        Raises:
            PortError: PyTorch is missing.
        """
        model: torch.nn.Module = self.make(spec, self.framework().nn.Module)
        return model.eval()

    def is_native(self, model: Any) -> bool:
        """Whether an object is a `torch.nn.Module`."""
        framework = sys.modules.get("torch")
        return framework is not None and isinstance(model, framework.nn.Module)

    def load(self, model: torch.nn.Module, state: Mapping[str, Array]) -> None:
        """Set every tensor of the state, by spec name; nothing is changed where it does not fit.

        Raises:
            PortError: a name is missing or unknown, or a shape differs.
        """
        import torch

        spec = self.known(model)
        check_state(spec, state)
        own = _plain(model).state_dict()
        native = native_names(spec, self.name)
        with torch.no_grad():
            for name, value in state.items():
                own[native[name]].copy_(torch.from_numpy(np.array(value)))

    def state(self, model: torch.nn.Module) -> dict[str, Array]:
        """Every tensor of the state by spec name, as float32 copies."""
        spec = self.known(model)
        own = _plain(model).state_dict()
        native = native_names(spec, self.name)
        return {name: own[key].cpu().float().numpy().copy() for name, key in native.items()}

    def parameters(self, model: torch.nn.Module) -> dict[str, torch.nn.Parameter]:
        """The trained parameters themselves, by spec name."""
        own = dict(_plain(model).named_parameters())
        return {name: own[key] for name, key in native_names(self.known(model), self.name).items() if key in own}

    def run(self, model: torch.nn.Module, inputs: Mapping[str, Array], *, train: bool = False) -> dict[str, Array]:
        """The outputs by name, for inputs (and draws) by name; train mode moves buffers as training does.

        Raises:
            SpecError: an input is missing, unknown or of the wrong shape.
        """
        import torch

        spec = self.known(model)
        arguments = _arguments(spec, model, inputs)
        with _mode(model, train), torch.no_grad():
            return {name: _array(value) for name, value in _outputs(spec, model(*arguments)).items()}

    def gradients(
        self,
        model: torch.nn.Module,
        inputs: Mapping[str, Array],
        cotangents: Mapping[str, Array],
        *,
        train: bool = False,
    ) -> dict[str, Array]:
        """The gradients of sum(output * cotangent), for each floating-point input and trained parameter by name.

        An output without a cotangent counts nothing; what has no influence has a gradient of zeros.

        Raises:
            SpecError: an input is missing, unknown or of the wrong shape.
            PortError: a cotangent is none of the outputs, or of another shape.
        """
        import torch

        spec = self.known(model)
        arguments = _arguments(spec, model, inputs)
        wanted = {
            name: argument.requires_grad_()
            for name, argument in zip(spec.inputs, arguments, strict=False)
            if argument is not None and argument.is_floating_point()
        }
        wanted |= self.parameters(model)
        with _mode(model, train), torch.enable_grad():
            outputs = _outputs(spec, model(*arguments))
        check_cotangents(spec, cotangents, {n: tuple(v.shape) for n, v in outputs.items() if v.is_floating_point()})
        reached = [name for name in cotangents if outputs[name].requires_grad]
        sources = {name: tensor for name, tensor in wanted.items() if tensor.requires_grad}
        found: dict[str, Any] = {}
        if reached:
            pulled = [_tensor(cotangents[name], outputs[name]) for name in reached]
            made = torch.autograd.grad(
                [outputs[name] for name in reached], list(sources.values()), pulled, allow_unused=True
            )
            found = dict(zip(sources, made, strict=True))
        return {
            name: np.zeros(tuple(tensor.shape), np.float32) if found.get(name) is None else _array(found[name])
            for name, tensor in wanted.items()
        }


def _plain(model: torch.nn.Module) -> torch.nn.Module:
    """The module itself, where it was wrapped by torch.compile."""
    inner: torch.nn.Module = getattr(model, "_orig_mod", model)
    return inner


def _arguments(spec: Spec, model: torch.nn.Module, inputs: Mapping[str, Array]) -> list[torch.Tensor | None]:
    """Inputs, then draws, in the order of `forward`, where the model is and in its precision."""
    import torch

    check_inputs(spec, inputs)
    like = next((p for p in model.parameters() if p.is_floating_point()), torch.empty(0))
    made: list[torch.Tensor | None] = []
    for name in (*spec.inputs, *spec.draws):
        if name in spec.inputs and spec.inputs[name].value.dtype == "int":
            made.append(torch.from_numpy(np.array(inputs[name], np.int64)).to(like.device))
        else:
            made.append(_tensor(inputs[name], like) if name in inputs else None)
    return made


def _tensor(value: Array, like: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.from_numpy(np.array(value)).to(device=like.device, dtype=like.dtype)


def _array(tensor: torch.Tensor) -> Array:
    import torch

    half = tensor.dtype in (torch.float16, torch.bfloat16)
    array: Array = tensor.detach().to(device="cpu", dtype=torch.float32 if half else tensor.dtype).numpy()
    return array.copy()


def _outputs(spec: Spec, made: Any) -> dict[str, torch.Tensor]:
    return dict(zip(spec.outputs, made if len(spec.outputs) > 1 else (made,), strict=True))


@contextmanager
def _mode(model: torch.nn.Module, train: bool) -> Iterator[None]:
    """Train or eval mode inside the block, each layer's own mode after it."""
    before = {module: module.training for module in model.modules()}
    model.train(train)
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training


PORT = TorchPort()
