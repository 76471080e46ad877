"""Training any live module: its own loss, an optimizer of ours, and everything else as the module has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from twinzoo.ports.port import Array
from twinzoo.ports.steps.stepper import Move
from twinzoo.ports.torch.steps_optimizer import TorchOptimizer, array_of
from twinzoo.zoo.errors import PortError
from twinzoo.zoo.steps.optimizer import Optimizer

if TYPE_CHECKING:
    import torch


class Training:
    """A module under a loss and an optimizer.

    Attributes:
        optimizer: over the parameters that require a gradient, by their names in the module.
        dropouts: paths of the dropout layers, which stay in eval mode.

    Raises:
        PortError: no parameter requires a gradient.
    """

    def __init__(self, model: torch.nn.Module, loss: Callable[[Any], Any], settings: Optimizer, train: bool) -> None:
        from torch import nn

        kinds = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout)
        self._model, self._loss, self._train = model, loss, train
        self.dropouts = [path for path, module in model.named_modules() if isinstance(module, kinds) and module.p > 0]
        trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
        if not trained:
            raise PortError(f"{type(model).__name__}: no parameter requires a gradient, so there is nothing to train")
        self.optimizer = TorchOptimizer(settings, trained)

    def step(self, inputs: Sequence[Array], named: Mapping[str, Array], move: Move) -> float:
        """One step on inputs in order and by name; the loss.

        Raises:
            PortError: the loss is not one number.
        """
        import torch

        with _mode(self._model, self._train, self.dropouts), torch.enable_grad():
            made = self._model(*map(self._tensor, inputs), **{name: self._tensor(x) for name, x in named.items()})
            loss = self._loss(made)
            if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
                raise PortError("loss: must return a tensor of one number")
            parameters = list(self.optimizer.parameters.values())
            gradients = torch.autograd.grad(loss.sum(), parameters, allow_unused=True, materialize_grads=True)
        before = [parameter.grad for parameter in parameters]
        self.optimizer.step(gradients, move)
        self._used = [parameter.grad for parameter in parameters]
        for parameter, own in zip(parameters, before, strict=True):
            parameter.grad = own
        return float(loss.detach())

    def gradients(self) -> dict[str, Array]:
        """What the optimizer was given in the last step, by parameter."""
        used = zip(self.optimizer.parameters, self._used, strict=True)
        return {name: array_of(gradient) for name, gradient in used if gradient is not None}

    def slots(self) -> dict[str, Array]:
        """What the optimizer keeps, by `optimizer.<slot>.<parameter>`."""
        return self.optimizer.slots()

    def load_slots(self, slots: Mapping[str, Array], count: int) -> None:
        """Set what `slots` gives, as it is after `count` steps."""
        self.optimizer.load(slots, count)

    def _tensor(self, array: Array) -> torch.Tensor:
        import torch

        like = next(iter(self.optimizer.parameters.values()))
        made = torch.from_numpy(np.array(array))
        return made.to(like.device, like.dtype if made.is_floating_point() else None)


def distance(target: Callable[[int, tuple[int, ...]], Array]) -> Callable[[Any], torch.Tensor]:
    """A loss: the mean squared distances of all floating-point outputs from their targets (by place, of its shape).

    It adds up squares, so that unlike a weighted sum it does not cancel.
    """

    def loss(made: Any) -> torch.Tensor:
        import torch

        total = torch.zeros(())
        for place, tensor in enumerate(_tensors(made)):
            if tensor.is_floating_point():
                apart = tensor - torch.from_numpy(target(place, tuple(tensor.shape))).to(tensor)
                total = total.to(tensor) + (apart * apart).mean()
        return total

    return loss


def _tensors(made: Any) -> Iterator[torch.Tensor]:
    """The tensors of nested tuples, lists and mappings in order."""
    import torch

    if isinstance(made, torch.Tensor):
        yield made
    elif isinstance(made, (tuple, list, Mapping)):
        for item in made.values() if isinstance(made, Mapping) else made:
            yield from _tensors(item)


@contextmanager
def _mode(model: torch.nn.Module, train: bool, still: Sequence[str]) -> Iterator[None]:
    """Train or eval mode inside the block, with some layers in eval mode; each layer's own mode after it.

    In training mode already, the model keeps the parts that are in eval mode (a frozen norm) as they are.
    """
    before = {module: module.training for module in model.modules()}
    if not (train and model.training):
        model.train(train)
    for path in still:
        model.get_submodule(path).eval()
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training
