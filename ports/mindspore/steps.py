"""Training steps in MindSpore: PyNative, or one compiled graph a step where MindSpore is set to graph mode."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from twinzoo.ports import cache
from twinzoo.ports.mindspore.port import PORT
from twinzoo.ports.mindspore.steps_adam import added, rate_and_eps, shares, update_of
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

    def __init__(self, spec: Step, seed: int) -> None:
        import mindspore as ms

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
        self._averages: dict[str, tuple[Any, Any]] = {}
        updates = {name: self._optimizer(name) for name in spec.optimizers}
        trained = {
            role: [name for own in self.trained.values() for name in own if name.partition(".")[0] == role]
            for role in networks
        }
        weights = [
            [self._parameters[name] for role in trained_in(spec, block) for name in trained[role]] for block in cut
        ]
        text = write_step(spec, cut, {role: len(names) for role, names in trained.items()})
        made = cache.module_of(PORT.name, f"{spec.name}_step", Spec(spec.name), text).make
        self._plain = made(
            cells, list(map(ms.ParameterTuple, weights)), [updates[u.optimizer] for u in spec.updates], added
        )
        self._compiled = ms.jit(self._plain)
        self._gradients: list[Any] = []

    def _optimizer(self, name: str) -> Any:
        """The update of an optimizer, with averages of zeros."""
        import mindspore as ms

        moved = ms.ParameterTuple([self._parameters[own] for own in self.trained[name]])
        m, v = (_zeros_like(moved, average) for average in ("m", "v"))
        self._averages |= dict(zip(self.trained[name], zip(m, v, strict=True), strict=True))
        return update_of(self.spec.optimizers[name], moved, m, v)

    def _advance(self, fed: Mapping[str, Any], moves: list[Move]) -> dict[str, Any]:
        import mindspore as ms

        spec = self.spec
        given = [_tensor(fed[name]) for name in (*spec.inputs, *spec.draws)]
        for update, move in zip(spec.updates, moves, strict=True):
            numbers = rate_and_eps(spec.optimizers[update.optimizer], move)
            given += [ms.Tensor(number, ms.float32) for number in numbers]
        graph = ms.get_context("mode") == ms.GRAPH_MODE
        if not graph:
            check_order(spec, self._blocks)
        run = self._compiled if graph else self._plain
        losses, images, self._gradients = run(*given)
        made = {value.ref: loss for value, loss in zip(spec.outputs.values(), losses, strict=True)}
        return made | {pool.next.ref: stored for pool, stored in zip(spec.pools.values(), images, strict=True)}

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

    def _moments(self) -> dict[str, Array]:
        return {
            f"optimizer.{average}.{name}": self._spec_layout(name, self._averages[name][place]) / share
            for place, average, name, share in self._shares()
        }

    def _load_moments(self, moments: Mapping[str, Array]) -> None:
        for place, average, name, share in self._shares():
            self._set(self._averages[name][place], name, moments[f"optimizer.{average}.{name}"] * share)

    def _shares(self) -> Iterator[tuple[int, str, str, np.float32]]:
        """Every average, by its place, letter and parameter, with what the kernel makes of it."""
        for place, average in enumerate(("m", "v")):
            for optimizer, names in self.trained.items():
                share = np.float32(shares(self.spec.optimizers[optimizer])[place])
                for name in names:
                    yield place, average, name, share

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


def _zeros_like(parameters: Any, average: str) -> Any:
    import mindspore as ms
    from mindspore import ops

    return ms.ParameterTuple([ms.Parameter(ops.zeros_like(p), name=f"{average}.{p.name}") for p in parameters])


def _tensor(value: Any) -> Any:
    import mindspore as ms

    if isinstance(value, ms.Tensor):
        return value
    return ms.Tensor(value, ms.float32 if value.dtype.kind == "f" else ms.int32)


STEPPER = MindSporeStepper
