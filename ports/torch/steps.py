"""Training steps in PyTorch: the twins as modules, `torch.optim` over them, one graph of autograd a step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from twinzoo.ports import cache
from twinzoo.ports.port import Array, check_state
from twinzoo.ports.source import write
from twinzoo.ports.steps.blocks import blocks
from twinzoo.ports.steps.stepper import Move, Stepper
from twinzoo.ports.torch.port import PORT
from twinzoo.ports.torch.steps_optimizer import TorchOptimizer, array_of
from twinzoo.zoo.errors import PortError
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.steps.step import Step, Update

if TYPE_CHECKING:
    import torch


class TorchStepper(Stepper):
    """A training step on a device; the networks are ordinary modules.

    Attributes:
        networks, optimizers: by role, and by name.
    """

    def __init__(self, spec: Step, seed: int, device: str | None = None) -> None:
        super().__init__(spec, seed)
        self._device = _checked(device or "cpu")
        self.networks: dict[str, torch.nn.Module] = {}
        for role, train in spec.networks.items():
            self.networks[role] = PORT.build(spec.roles[role].spec).train(train).to(self._device)
            PORT.load(self.networks[role], self.initial(role))
            if not any(role in optimizer.trains for optimizer in spec.optimizers.values()):
                self.networks[role].requires_grad_(False)  # so that nothing is kept of what it sees of a target
        self._blocks = [(block, self._module(block.spec)) for block in blocks(spec)]
        own = {f"{role}.{n}": p for role, network in self.networks.items() for n, p in PORT.parameters(network).items()}
        self.optimizers = {
            name: TorchOptimizer(o, {key: own[key] for key in self.trained[name]})
            for name, o in spec.optimizers.items()
        }
        paths = [spec.path(update) for update in spec.updates]
        self._shared = [any(path & later for later in paths[i:]) for i, path in enumerate(paths, 1)]

    def _module(self, spec: Spec) -> torch.nn.Module:
        text, name = write(spec, PORT.language)
        own = {role: self.networks[role] for role in spec.roles if role in self.networks}
        module: torch.nn.Module = getattr(cache.module_of(PORT.name, name, spec, text), name)(**own)
        return module.to(self._device)

    def _advance(self, fed: Mapping[str, Any], moves: list[Move]) -> dict[str, Any]:
        import torch

        values = {name: torch.as_tensor(value, device=self._device) for name, value in fed.items()}
        left = list(zip(self.spec.updates, moves, self._shared, strict=True))
        for block, module in self._blocks:
            made = module(*(values[ref] for ref in block.given))
            values |= zip(block.made, made if len(block.made) > 1 else (made,), strict=True)
            for _ in block.updates:
                update, move, shared = left.pop(0)
                self._update(update, values[update.loss.ref], move, keep=shared)
        return {ref: value.detach() for ref, value in values.items()}

    def _update(self, update: Update, loss: torch.Tensor, move: Move, *, keep: bool) -> None:
        import torch

        optimizer = self.optimizers[update.optimizer]
        made = torch.autograd.grad(loss, [*optimizer.parameters.values()], retain_graph=keep, materialize_grads=True)
        optimizer.step(made, move)

    def networks_state(self) -> dict[str, Array]:
        """Parameters and buffers of every network, by `role.node.parameter`, as copies."""
        states = {role: PORT.state(network) for role, network in self.networks.items()}
        return {f"{role}.{name}": value for role, state in states.items() for name, value in state.items()}

    def gradients(self) -> dict[str, Array]:
        """What the optimizers were given in the last step, by `role.node.parameter`; after clipping.

        Raises:
            PortError: no step was made yet.
        """
        if not self._done:
            raise PortError(f"{self.spec.name}: no step was made yet")
        found = {name: p.grad for own in self.optimizers.values() for name, p in own.parameters.items()}
        return {name: self._array(gradient).copy() for name, gradient in found.items() if gradient is not None}

    def _slots(self) -> dict[str, Array]:
        return {name: kept for optimizer in self.optimizers.values() for name, kept in optimizer.slots().items()}

    def _load_networks(self, states: Mapping[str, Mapping[str, Array]]) -> None:
        for role, state in states.items():
            check_state(self.spec.roles[role].spec, state)
        for role, state in states.items():
            PORT.load(self.networks[role], state)

    def _load_slots(self, slots: Mapping[str, Array]) -> None:
        for name, optimizer in self.optimizers.items():
            optimizer.load(slots, self._counts[name])

    def _array(self, value: Any) -> Array:
        return value if isinstance(value, np.ndarray) else array_of(value)


def _checked(device: str) -> str:
    """A device that is there.

    Raises:
        PortError: it is not.
    """
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:  # which of the two depends on how PyTorch was built
        reason = next(iter(str(error).splitlines()), "")
        raise PortError(f"PyTorch cannot use device {device!r}: {reason}") from None
    return device


STEPPER = TorchStepper
