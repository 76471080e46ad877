"""Two runs' backward passes laid on each other, in the places of side a's graph."""

from __future__ import annotations

from collections.abc import Mapping

from twinzoo.converters.graph import INPUT, OUTPUT
from twinzoo.parity.gradients import Backward, Reverse
from twinzoo.parity.graphs.carried import made_of, value_of
from twinzoo.parity.graphs.drawing import node_name
from twinzoo.parity.graphs.pairs import Paired
from twinzoo.parity.graphs.placed import Named
from twinzoo.parity.graphs.run import Array, Run


def reverse(paired: Paired) -> Reverse:
    """Judge the backward passes of two runs."""
    return Reverse(
        paired.drawing.spec,
        sides_of(paired),
        training=paired.drawing.training,
        unknown=_unknown(paired),
        owners=first_names(paired),
    )


def sides_of(paired: Paired) -> tuple[Backward, Backward]:
    """Both backward passes in the places of side a's graph."""
    owners = _owners(paired)
    return _ours(paired, owners), _theirs(paired, owners)


def first_names(paired: Paired) -> dict[str, str]:
    """The first spec name that a parameter has, by spec name: layers may share it."""
    owners = _owners(paired)
    first = {key: name for name, key in reversed(owners.items())}
    return {name: first[key] for name, key in owners.items()}


def _owners(paired: Paired) -> dict[str, str]:
    """The key in side a's model of every parameter, by spec name."""
    nodes = paired.drawing.spec.nodes.values()
    names = [f"{node.name}.{role}" for node in nodes for role, param in node.params.items() if not param.buffer]
    return {name: paired.drawing.keys[name] for name in names}


def _ours(paired: Paired, owners: Mapping[str, str]) -> Backward:
    run = paired.a
    gradients = {node_name(p): g for p, g in run.gradients.values.items()}
    shapes = paired.drawing.state
    for name, key in owners.items():
        if key in run.gradients.parameters:
            gradients[name] = run.gradients.parameters[key].reshape(shapes[name].shape)
    return Backward(
        run.port,
        paired.drawing.state,
        Named(run.values, range(len(run.graph.operations))),
        gradients,
        _cotangents(paired, run),
        frozen={name for name, key in owners.items() if key in run.frozen},
        constants=_constants(paired),
        products=run.products,
    )


def _theirs(paired: Paired, owners: Mapping[str, str]) -> Backward:
    run, pairs = paired.b, paired.alignment.pairs
    gradients = {node_name(p): run.gradients.values[o] for p, o in pairs.items() if o in run.gradients.values}
    frozen: set[str] = set()
    for name in owners:
        value = value_of(paired, name)
        if value is None or not value.exact or run.frozen.intersection(value.sources):
            frozen.add(name)  # what it computes from other parameters has no gradient of its own
        elif (found := made_of(value, run.gradients.parameters)) is not None:
            gradients[name] = found.reshape(paired.state[name].shape)
    return Backward(
        run.port,
        paired.state,
        Named(paired.values, paired.values),
        gradients,
        _cotangents(paired, run),
        filled={node_name(p) for p in range(len(paired.a.graph.operations)) if p not in pairs},
        frozen=frozen,
        constants=_constants(paired),
        products=run.products,
    )


def _constants(paired: Paired) -> set[str]:
    operations = paired.a.graph.operations
    return {name for name in paired.drawing.spec.inputs if operations[int(name.removeprefix("n"))].kind != INPUT}


def _cotangents(paired: Paired, run: Run) -> dict[str, list[Array]]:
    """What each value was pulled with as an output of the model, by reference, each time that the side returns it."""
    found: dict[str, list[Array]] = {}
    for position, operation in enumerate(paired.a.graph.operations):
        returned = operation if run is paired.a else paired.operations(position)[1]
        if operation.kind == OUTPUT and operation.operands and returned is not None:
            (operand, output), *_ = operation.operands
            value = paired.a.values.get(operand)
            if output == 0 and value is not None and value.dtype.kind not in "iub":
                index = int(str(returned.attrs["index"]))
                pulled = run.how.pull(index, value.shape)
                found.setdefault(node_name(operand), []).append(_as_returned(run, index, pulled))
    return found


def _as_returned(run: Run, index: int, pulled: Array) -> Array:
    """Numbers of the element type of an output."""
    outputs = list(run.outputs.values())
    return pulled.astype(outputs[index].dtype) if index < len(outputs) else pulled


def _unknown(paired: Paired) -> set[str]:
    """The values that an operation uses which the spec has not, on either side."""
    spec, found = paired.drawing.spec, set[str]()
    for position, operation in enumerate(paired.a.graph.operations):
        if node_name(position) not in spec.nodes and operation.kind not in (INPUT, OUTPUT):
            found |= {node_name(operand) for operand, _ in operation.operands}
        found |= {node_name(operand) for operand, output in operation.operands if output}
    return found


def unjudged(paired: Paired) -> list[str]:
    """A line for each operation through which no gradient can be computed here."""
    spec, operations = paired.drawing.spec, paired.a.graph.operations
    names = [
        operation.name
        for position, operation in enumerate(operations)
        if node_name(position) not in spec.nodes and operation.kind not in (INPUT, OUTPUT) and operation.operands
    ]
    return [f"what {name} lets back is not judged: the op table has no word for it" for name in names]
