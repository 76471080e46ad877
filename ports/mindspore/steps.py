"""Training steps in MindSpore: PyNative, or one compiled graph a step where MindSpore is set to graph mode."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from twinzoo.ports import cache
from twinzoo.ports.mindspore.port import PORT
from twinzoo.ports.mindspore.steps_optimizer import MindSporeOptimizer
from twinzoo.ports.mindspore.steps_source import check_order, trained_in, write_step
from twinzoo.ports.port import Array, check_state
from twinzoo.ports.source import write
from twinzoo.ports.steps.blocks import Block, blocks
from twinzoo.ports.steps.stepper import Move, Stepper
from twinzoo.zoo.errors import PortError
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.vocabulary import from_native, native_names, parameter_ops, to_native
from twinzoo.zoo.steps.step import Step


class MindSporeStepper(Stepper):
    """A training step on the device, and in the mode, that MindSpore is set to."""

    def __init__(self, spec: Step, seed: int, device: str | None = None) -> None:
        import mindspore as ms

        if device is not None:
            raise PortError(f"device={device!r}: MindSpore trains where it is set to: call mindspore.set_device before")
        super().__init__(spec, seed)
        self._kinds = {
            f"{r}.{name}": kind for r in spec.networks for name, kind in parameter_ops(spec.roles[r].spec).items()
        }
        networks = {role: PORT.build(spec.roles[role].spec).set_train(train) for role, train in spec.networks.items()}
        self._parameters: dict[str, Any] = {}
        for role, network in networks.items():
            PORT.load(network, self.initial(role))
            own = network.parameters_dict()
            native = native_names(spec.roles[role].spec, PORT.name)
            self._parameters |= {f"{role}.{name}": own[key] for name, key in native.items()}
        cut = self._blocks = blocks(spec)
        cells = [_cell(block, networks) for block in cut]  # which puts the role before the names of its parameters
        self._optimizers = {
            name: MindSporeOptimizer(o, {own: self._parameters[own] for own in self.trained[name]})
            for name, o in spec.optimizers.items()
        }
        trained = {
            role: [name for own in self.trained.values() for name in own if name.partition(".")[0] == role]
            for role in networks
        }
        weights = [
            [self._parameters[name] for role in trained_in(spec, block) for name in trained[role]] for block in cut
        ]
        text = write_step(spec, cut, {role: len(names) for role, names in trained.items()})
        made = cache.module_of(PORT.name, f"{spec.name}_step", Spec(spec.name), text).make
        updates = [self._optimizers[update.optimizer].update for update in spec.updates]
        self._plain = made(cells, list(map(ms.ParameterTuple, weights)), updates, _added)
        self._compiled = ms.jit(self._plain)
        self._gradients: list[Any] = []

    def _advance(self, fed: Mapping[str, Any], moves: list[Move]) -> dict[str, Any]:
        import mindspore as ms

        spec = self.spec
        given = [_tensor(fed[name]) for name in (*spec.inputs, *spec.draws)]
        for update, move in zip(spec.updates, moves, strict=True):
            numbers = self._optimizers[update.optimizer].numbers(move)
            given += [ms.Tensor(number, ms.float32) for number in numbers]
        graph = ms.get_context("mode") == ms.GRAPH_MODE
        if not graph:
            check_order(spec, self._blocks)
        run = self._compiled if graph else self._plain
        losses, left, self._gradients = run(*given)
        made = {value.ref: loss for value, loss in zip(spec.outputs.values(), losses, strict=True)}
        return made | {value.ref: kept for value, kept in zip(spec.left, left, strict=True)}

    def networks_state(self) -> dict[str, Array]:
        """Parameters and buffers of every network, by `role.node.parameter`, as copies."""
        return {name: self._spec_layout(name, parameter) for name, parameter in self._parameters.items()}

    def gradients(self) -> dict[str, Array]:
        """What the optimizers were given in the last step, by `role.node.parameter`; after clipping.

        Raises:
            PortError: no step was made yet.
        """
        if not self._gradients:
            raise PortError(f"{self.spec.name}: no step was made yet")
        by_update = zip(self.spec.updates, self._gradients, strict=True)
        used = {update.optimizer: gradients for update, gradients in by_update}
        return {
            name: self._spec_layout(name, value)
            for optimizer, names in self.trained.items()
            for name, value in zip(names, used.get(optimizer, ()), strict=False)
        }

    def _slots(self) -> dict[str, Array]:
        return {
            f"optimizer.{slot}.{name}": from_native(PORT.name, *self._kinds[name], value)
            for optimizer in self._optimizers.values()
            for slot, name, value in optimizer.slots()
        }

    def _load_slots(self, slots: Mapping[str, Array]) -> None:
        for optimizer in self._optimizers.values():
            for slot, name, _ in optimizer.slots():
                value = np.asarray(slots[f"optimizer.{slot}.{name}"])
                optimizer.set_slot(slot, name, to_native(PORT.name, *self._kinds[name], value))

    def _load_networks(self, states: Mapping[str, Mapping[str, Array]]) -> None:
        for role, state in states.items():
            check_state(self.spec.roles[role].spec, state)
        for role, state in states.items():
            for name, value in state.items():
                self._set(self._parameters[f"{role}.{name}"], f"{role}.{name}", value)

    def _spec_layout(self, name: str, value: Any) -> Array:
        return from_native(PORT.name, *self._kinds[name], value.asnumpy().copy())

    def _set(self, parameter: Any, name: str, value: Array) -> None:
        parameter.set_data(_tensor(to_native(PORT.name, *self._kinds[name], np.array(value, np.float32))))

    def _array(self, value: Any) -> Array:
        array: Array = value if isinstance(value, np.ndarray) else value.asnumpy()
        return array


def _cell(block: Block, networks: Mapping[str, Any]) -> Any:
    text, name = write(block.spec, PORT.language)
    own = {role: networks[role] for role in block.spec.roles if role in networks}
    return getattr(cache.module_of(PORT.name, name, block.spec, text), name)(**own)


def _added(ones: Sequence[Any], others: Sequence[Any]) -> tuple[Any, ...]:
    """The gradients of two blocks added, parameter by parameter; it is compiled with the step."""
    made: tuple[Any, ...] = ()
    for i in range(len(ones)):
        made = made + (ones[i] + others[i],)
    return made


def _tensor(value: Any) -> Any:
    import mindspore as ms

    if isinstance(value, ms.Tensor):
        return value
    return ms.Tensor(value, ms.float32 if value.dtype.kind == "f" else ms.int32)


STEPPER = MindSporeStepper
