"""Backward passes and training runs made by hand: what a clean side gives back, in float64 and rounded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np

from parity_tests.parity.graphs.made import Array, Side
from twinzoo.converters.graph import OUTPUT
from twinzoo.converters.live import Whole
from twinzoo.parity.graphs.drawing import BATCH
from twinzoo.parity.graphs.run import Gradients, How, Run
from twinzoo.ports.reference import evaluate
from twinzoo.ports.reference.pull import pull
from twinzoo.zoo.spec import Node, Spec
from twinzoo.zoo.spec.schema import OPS

Plant = Callable[[Array], Array]

GRAD = How(grad=True)


def pulled(
    side: Side,
    how: How = GRAD,
    plant: Mapping[int | str, Plant] | None = None,
    cut: frozenset[tuple[int, int]] = frozenset(),
    frozen: frozenset[str] = frozenset(),
) -> Run:
    """The run of a side with its backward pass, rounded to float32 after every operation.

    Args:
        plant: what happens to the gradient of an operation's value, and with it to all that follows; or, by its key,
            to that of a parameter alone.
        cut: a position and the place of an operand, to which it lets nothing back.
        frozen: keys of parameters that are not trained.
    """
    plant = plant or {}
    due: dict[int, Array] = {}
    values: dict[int, Array] = {}
    parameters: dict[str, Array] = {}
    for position, operation in reversed(list(enumerate(side.operations))):
        if operation.kind == OUTPUT:
            (operand, _), index = operation.operands[0], int(str(operation.attrs["index"]))
            pull_of = how.pull(index, side.values[operand].shape)
            due[operand] = due.get(operand, np.zeros(())) + pull_of.astype(np.float64)
        elif position in due:
            values[position] = plant.get(position, _same)(due[position]).astype(np.float32)
            if operation.kind in OPS:
                node, params = _node(side, position)
                given = tuple(side.values[place] for place, _ in operation.operands)
                train = bool(operation.attrs.get(BATCH))
                made = pull(node, params, given, (side.values[position],), values[position], train=train)
                for i, gradient in enumerate(made.inputs):
                    if gradient is not None and (position, i) not in cut:
                        place = operation.operands[i][0]
                        due[place] = due.get(place, np.zeros(())) + gradient
                for role, gradient in made.params.items():
                    key = f"{operation.layer}.{role}"
                    parameters[key] = parameters.get(key, np.zeros(())) + gradient
    kept = {k: plant.get(k, _same)(g).astype(np.float32) for k, g in parameters.items() if k not in frozen}
    return replace(side.run(), how=how, gradients=Gradients(values, kept), frozen=frozen)


def compiled(run: Run, plant: Mapping[str, Plant] | None = None) -> Run:
    """The run of a side that is compiled, and gives the same, up to what is planted by input or key."""
    plant, names = plant or {}, [operation.name for operation in run.graph.operations]
    inputs = {name: run.gradients.values[names.index(name)] for name in run.inputs}
    planted = [{k: plant.get(k, _same)(g) for k, g in found.items()} for found in (inputs, run.gradients.parameters)]
    return replace(run, whole=Whole(run.outputs, planted[0], planted[1], {}))


def norm(side: Side, x: int, path: str = "norm", momentum: float = 0.1) -> int:
    """A batch norm in training mode, with statistics that no batch has."""
    channels = side.values[x].shape[1]
    tensors = {
        "weight": np.linspace(0.5, 2, channels, dtype=np.float32),
        "bias": np.linspace(-1, 1, channels, dtype=np.float32),
        "running_mean": np.linspace(-3, 3, channels, dtype=np.float32),
        "running_var": np.linspace(1, 4, channels, dtype=np.float32),
    }
    place = side.layer(path, "batch_norm", x, tensors=tensors, momentum=momentum)
    made = side.operations[place]
    side.operations[place] = replace(made, attrs={**made.attrs, BATCH: True})
    node, params = _node(side, place)
    side.values[place] = evaluate(node, params, (side.values[x],), train=True)[0].astype(np.float32)
    return place


def moved(
    side: Side, places: list[int], momentum: float = 0.1, *, unbiased: bool = True, by: Plant | None = None
) -> dict[str, Array]:
    """The statistics of a batch norm after its calls, in their order."""
    path = side.operations[places[0]].layer
    mean, var = (side.state[f"{path}.{role}"].astype(np.float64) for role in ("running_mean", "running_var"))
    for place in places:
        x = side.values[side.operations[place].operands[0][0]].astype(np.float64)
        batch = x.mean((0, 2, 3)), x.var((0, 2, 3), ddof=int(unbiased))
        mean, var = ((1 - momentum) * old + momentum * new for old, new in zip((mean, var), batch, strict=True))
    return {
        f"{path}.running_mean": (by or _same)(mean).astype(np.float32),
        f"{path}.running_var": (by or _same)(var).astype(np.float32),
    }


def _node(side: Side, position: int) -> tuple[Node, dict[str, Array]]:
    operation = side.operations[position]
    spec = Spec("made")
    given = [side.values[place] for place, _ in operation.operands]
    inputs = [
        spec.input(f"x{i}", shape=x.shape, dtype="int" if x.dtype.kind == "i" else "float") for i, x in enumerate(given)
    ]
    getattr(spec, operation.kind)("node", *inputs, **{k: v for k, v in operation.attrs.items() if k != BATCH})
    node = spec.nodes["node"]
    return node, {role: side.state[f"{operation.layer}.{role}"] for role in node.params}


def _same(gradient: Array) -> Array:
    return gradient
