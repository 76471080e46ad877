"""One node, and whole specs, in float64."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from twinzoo.ports.reference import layers, losses, pointwise, reductions, spatial, structure
from twinzoo.ports.reference.rule import Array, Params, Rule
from twinzoo.zoo import spectral
from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.spec import Node, Spec, Value

TABLE: dict[str, Rule] = {
    **layers.RULES,
    **pointwise.RULES,
    **spatial.RULES,
    **structure.RULES,
    **reductions.RULES,
    **losses.RULES,
}
"""Every op of the spec language, as a function of attributes, parameters and arrays."""


@dataclass
class Trace:
    """What a run computed.

    Attributes:
        values: every value by its reference, inputs too.
        before: the state that the run was given, by spec name.
        state: the state after the run by spec name; differs from the one given in buffers, after training mode.
        calls: the traces of called networks, by the name of the calling node.
    """

    values: dict[str, Array]
    before: Mapping[str, Array]
    state: dict[str, Array]
    calls: dict[str, Trace] = field(default_factory=dict)


def evaluate(
    node: Node, params: Params, inputs: tuple[Array, ...], *, train: bool = False, draws: Params | None = None
) -> tuple[Array, ...]:
    """The outputs of one node (any but a call), computed in float64.

    Args:
        params: the node's tensors by role, buffers too.
        inputs: one for each input of the node; those of type `int` hold indices.
        train: batch normalisation uses the statistics of the batch, spectral norm moves its vectors first, dropout has
            its mask.
        draws: random tensors by suffix (`mask`).

    Raises:
        SpecError: training mode needs a draw that is not given, or a variance of a single number.
    """
    held = {role: np.asarray(value, np.float64) for role, value in {**params, **(draws or {})}.items()}
    given = tuple(_wide(x, value) for x, value in zip(inputs, node.inputs, strict=True))
    if train and node.op == "batch_norm":
        _check_batch(node, given[0])
        held |= layers.batch_statistics(given[0])
    if train and node.op in spectral.PLAIN:
        held |= spectral.moved(node.op, node.attrs["eps"], held)
    if train and node.op == "dropout" and node.attrs["p"] > 0 and "mask" not in held:
        raise SpecError(f"{node.name} (dropout): the reference draws nothing: feed {node.name}_mask")
    made = TABLE[node.op](node.attrs, held, *given)
    outputs = made if isinstance(made, tuple) else (made,)
    return tuple(np.asarray(y) for y in outputs)


def moved_buffers(node: Node, params: Params, inputs: tuple[Array, ...]) -> dict[str, Array]:
    """The node's buffers by role after one run in training mode; empty for a node that has none that move."""
    if node.op in spectral.PLAIN:
        held = {role: np.asarray(value, np.float64) for role, value in params.items()}
        return spectral.moved(node.op, node.attrs["eps"], held)
    if node.op != "batch_norm":
        return {}
    x = np.asarray(inputs[0], np.float64)
    _check_batch(node, x)
    return layers.moved_statistics(node.attrs, params, x)


def _check_batch(node: Node, x: Array) -> None:
    if x.size == x.shape[1]:
        raise SpecError(f"{node.name} (batch_norm): one number a channel has no variance to train with")


def _wide(x: Array, value: Value) -> Array:
    return np.asarray(x, np.int64 if value.dtype == "int" else np.float64)


def run(
    spec: Spec, state: Mapping[str, Array], inputs: Mapping[str, Array], *, train: bool = False
) -> dict[str, Array]:
    """Every value of the spec by its reference, inputs too; `inputs` may hold draws by their names."""
    return trace(spec, state, inputs, train=train).values


def trace(spec: Spec, state: Mapping[str, Array], inputs: Mapping[str, Array], *, train: bool = False) -> Trace:
    """Run a spec: every value, the state afterwards, and the same for each network that it calls.

    Raises:
        SpecError: an input is missing, unknown or of the wrong shape, or training mode lacks a draw.
    """
    spec.sizes_of({name: np.shape(x) for name, x in inputs.items()})
    now = {name: np.asarray(value, np.float64) for name, value in state.items()}
    done = Trace({name: _wide(inputs[name], item.value) for name, item in spec.inputs.items()}, now, dict(now))
    for node in spec.nodes.values():
        given = tuple(done.values[value.ref] for value in node.inputs)
        made = _call(spec, node, done, given, train) if node.op == "call" else _step(node, done, given, inputs, train)
        done.values |= {value.ref: y for value, y in zip(node.outputs, made, strict=True)}
    return done


def _step(
    node: Node, done: Trace, given: tuple[Array, ...], fed: Mapping[str, Array], train: bool
) -> tuple[Array, ...]:
    params = {role: done.state[f"{node.name}.{role}"] for role in node.params}
    draws = {suffix: fed[f"{node.name}_{suffix}"] for suffix in node.draws if f"{node.name}_{suffix}" in fed}
    if train:
        done.state |= {f"{node.name}.{role}": y for role, y in moved_buffers(node, params, given).items()}
    return evaluate(node, params, given, train=train, draws=draws)


def _call(spec: Spec, node: Node, done: Trace, given: tuple[Array, ...], train: bool) -> tuple[Array, ...]:
    role = spec.roles[node.attrs["role"]]
    prefix = f"{role.name}."
    own = {name.removeprefix(prefix): value for name, value in done.state.items() if name.startswith(prefix)}
    inner = trace(role.spec, own, dict(zip(role.spec.inputs, given, strict=True)), train=train)
    done.calls[node.name] = inner
    done.state |= {prefix + name: value for name, value in inner.state.items()}
    return tuple(inner.values[value.ref] for value in role.spec.outputs.values())
