"""Training steps in PyTorch: the twins as modules, `torch.optim.Adam` over them, one graph of autograd a step."""

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
from twinzoo.zoo.errors import PortError
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.steps.step import Step, Update

if TYPE_CHECKING:
    import torch


class TorchStepper(Stepper):
    """A training step on the CPU; the networks are ordinary modules.

    Attributes:
        networks, optimizers: by role, and by name.
    """

    def __init__(self, spec: Step, seed: int) -> None:
        import torch

        super().__init__(spec, seed)
        self.networks: dict[str, torch.nn.Module] = {}
        for role, train in spec.networks.items():
            self.networks[role] = PORT.build(spec.roles[role].spec).train(train)
            PORT.load(self.networks[role], self.initial(role))
        self._blocks = [(block, self._module(block.spec)) for block in blocks(spec)]
        own = {f"{role}.{n}": p for role, network in self.networks.items() for n, p in network.named_parameters()}
        self._trained = {optimizer: {name: own[name] for name in names} for optimizer, names in self.trained.items()}
        self.optimizers = {
            name: torch.optim.Adam(
                self._trained[name].values(), o.lr, betas=o.betas, eps=o.eps, weight_decay=o.weight_decay
            )
            for name, o in spec.optimizers.items()
        }

    def _module(self, spec: Spec) -> torch.nn.Module:
        text, name = write(spec, PORT.language)
        own = {role: self.networks[role] for role in spec.roles if role in self.networks}
        module: torch.nn.Module = getattr(cache.module_of(PORT.name, name, spec, text), name)(**own)
        return module

    def _advance(self, fed: Mapping[str, Any], moves: list[Move]) -> dict[str, Any]:
        import torch

        values = {
            name: value if isinstance(value, torch.Tensor) else torch.from_numpy(value) for name, value in fed.items()
        }
        left = list(zip(self.spec.updates, moves, strict=True))
        for block, module in self._blocks:
            made = module(*(values[ref] for ref in block.given))
            values |= zip(block.made, made if len(block.made) > 1 else (made,), strict=True)
            for _ in block.updates:
                update, move = left.pop(0)
                self._update(update, values[update.loss.ref], move, again=[later for later, _ in left])
        return {ref: value.detach() for ref, value in values.items()}

    def _update(self, update: Update, loss: torch.Tensor, move: Move, again: list[Update]) -> None:
        import torch

        parameters = list(self._trained[update.optimizer].values())
        path = self.spec.path(update)
        kept = any(path & self.spec.path(later) for later in again)
        made = torch.autograd.grad(loss, parameters, retain_graph=kept, materialize_grads=True)
        for parameter, gradient in zip(parameters, made, strict=True):
            parameter.grad = gradient
        clip = self.spec.optimizers[update.optimizer].clip
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(parameters, clip)
        optimizer = self.optimizers[update.optimizer]
        optimizer.param_groups[0]["lr"] = move.lr
        optimizer.step()

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
        found = {name: p.grad for own in self._trained.values() for name, p in own.items()}
        return {name: self._array(gradient).copy() for name, gradient in found.items() if gradient is not None}

    def _moments(self) -> dict[str, Array]:
        made: dict[str, Array] = {}
        for ours, theirs in (("m", "exp_avg"), ("v", "exp_avg_sq")):
            for optimizer, own in self._trained.items():
                for name, parameter in own.items():
                    held = self.optimizers[optimizer].state[parameter].get(theirs)
                    empty = np.zeros(tuple(parameter.shape), np.float32)
                    made[f"optimizer.{ours}.{name}"] = empty if held is None else self._array(held).copy()
        return made

    def _load_networks(self, states: Mapping[str, Mapping[str, Array]]) -> None:
        for role, state in states.items():
            check_state(self.spec.roles[role].spec, state)
        for role, state in states.items():
            PORT.load(self.networks[role], state)

    def _load_moments(self, moments: Mapping[str, Array]) -> None:
        import torch

        for optimizer, own in self._trained.items():
            for name, parameter in own.items():
                self.optimizers[optimizer].state[parameter] = {
                    "step": torch.tensor(float(self._counts[optimizer])),
                    "exp_avg": torch.from_numpy(np.array(moments[f"optimizer.m.{name}"], np.float32)),
                    "exp_avg_sq": torch.from_numpy(np.array(moments[f"optimizer.v.{name}"], np.float32)),
                }

    def _array(self, value: Any) -> Array:
        array: Array = value if isinstance(value, np.ndarray) else value.detach().numpy()
        return array


STEPPER = TorchStepper
