"""The gradients of whole specs in float64: nodes in reverse, each pulled back alone; what meets in a value adds up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from twinzoo.ports.reference.evaluate import Trace
from twinzoo.ports.reference.pull import pull
from twinzoo.ports.reference.rule import Array
from twinzoo.zoo.spec import Node, Spec

Flow = dict[str, Array]


def gradients(
    spec: Spec, done: Trace, fed: Mapping[str, Array], cotangents: Mapping[str, Array], *, train: bool = False
) -> tuple[Flow, Flow]:
    """The gradients of sum(output * cotangent) over outputs, for a run that is done.

    Args:
        done: what `trace` made of the inputs.
        fed: the draws that the run was fed, by their names; other names are not looked at.
        cotangents: by output, of its shape; an output without one counts nothing.
        train: as the run was.

    Returns:
        By value reference, inputs included, and by tensor of the state. What no gradient reaches is in neither.
    """
    by_value: Flow = {}
    by_tensor: Flow = {}
    _add(by_value, ((spec.outputs[name].ref, np.asarray(g, np.float64)) for name, g in cotangents.items()))
    for node in reversed(spec.nodes.values()):
        reached = {value.ref: by_value[value.ref] for value in node.outputs if value.ref in by_value}
        if reached:
            back = _through_call if node.op == "call" else _through_op
            by_inputs, by_params = back(spec, node, done, fed, reached, train)
            _add(by_value, by_inputs)
            _add(by_tensor, by_params)
    return by_value, by_tensor


def _add(flow: Flow, more: Iterable[tuple[str, Array]]) -> None:
    for name, gradient in more:
        flow[name] = flow[name] + gradient if name in flow else gradient


_Back = tuple[list[tuple[str, Array]], list[tuple[str, Array]]]


def _through_op(spec: Spec, node: Node, done: Trace, fed: Mapping[str, Array], reached: Flow, train: bool) -> _Back:
    params = {role: done.before[f"{node.name}.{role}"] for role in node.params}
    draws = {suffix: fed[f"{node.name}_{suffix}"] for suffix in node.draws if f"{node.name}_{suffix}" in fed}
    inputs, outputs = (tuple(done.values[value.ref] for value in values) for values in (node.inputs, node.outputs))
    pulled = pull(node, params, inputs, outputs, reached[node.outputs[0].ref], train=train, draws=draws)
    by_inputs = zip((value.ref for value in node.inputs), pulled.inputs, strict=True)
    return (
        [(ref, gradient) for ref, gradient in by_inputs if gradient is not None],
        [(f"{node.name}.{role}", gradient) for role, gradient in pulled.params.items()],
    )


def _through_call(spec: Spec, node: Node, done: Trace, fed: Mapping[str, Array], reached: Flow, train: bool) -> _Back:
    role = spec.roles[node.attrs["role"]]
    cotangents = {
        name: reached[value.ref]
        for name, value in zip(role.spec.outputs, node.outputs, strict=True)
        if value.ref in reached
    }
    by_value, by_tensor = gradients(role.spec, done.calls[node.name], {}, cotangents, train=train)
    given = zip(role.spec.inputs, (value.ref for value in node.inputs), strict=True)
    return (
        [(ref, by_value[name]) for name, ref in given if name in by_value],
        [(f"{role.name}.{name}", gradient) for name, gradient in by_tensor.items()],
    )
