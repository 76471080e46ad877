"""A concat whose operands come in another order on the other side: the channels that follow are put in order too.

The order travels from the concat through whatever works channel by channel, permutes the vectors of norms on its way,
and ends in the input channels of the convolutions that follow. Where it would reach anything else, nothing is guessed.
"""

from __future__ import annotations

from collections import Counter

from twinzoo.converters.graph import Graph, Operation
from twinzoo.converters.matching.graphs import GraphMatch
from twinzoo.converters.matching.proposal import Blocks
from twinzoo.converters.result import Tie

_POINTWISE = {"relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "softplus", "abs", "square", "sqrt"}
_SCALAR = {"exp", "neg", "clamp", "affine", "pow"}
_SPATIAL = {"max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "interpolate", "pad2d", "instance_norm"}
_CHANNEL_BY_CHANNEL = frozenset(_POINTWISE | _SCALAR | _SPATIAL)
_VECTORS = frozenset({"batch_norm", "instance_norm", "prelu"})
_WEIGHT_AXES = {"conv1d": 1, "conv2d": 1, "conv_transpose2d": 0}


class _Blocked(Exception):
    """The order reaches something that cannot be put in order."""


def reordered_inputs(source: Graph, target: Graph, found: GraphMatch) -> tuple[dict[str, Blocks], Tie | None]:
    """Target layer -> the order of its channels, for all that follows the concats that differ; or why it cannot be."""
    blocks: dict[str, Blocks] = {}
    back = {theirs: ours for ours, theirs in found.operations.items()}
    for position, order in found.concats.items():
        ours = source.operations[back[position]]
        try:
            sizes = tuple(channels(source, operand) for operand, _ in ours.operands)
            _follow(target, position, sizes, order, blocks)
        except _Blocked as problem:
            theirs = target.operations[position]
            reason = f"the operands of this concat come in another order, which cannot be made good: {problem}"
            return {}, Tie((ours.name,), (theirs.name,), reason)
    return blocks, None


def channels(graph: Graph, position: int) -> int:
    """The channels of an operation's output, as far back as the next layer that sets them."""
    operation = graph.operations[position]
    layer = graph.layers.get(operation.layer)
    if layer is not None and operation.kind in (*_WEIGHT_AXES, "linear"):
        weight = layer.tensors["weight"].shape
        return weight[1] if operation.kind == "conv_transpose2d" else weight[0]
    if operation.kind == "concat" and operation.attrs.get("axis") == 1:
        return sum(channels(graph, operand) for operand, _ in operation.operands)
    passes = operation.kind in _CHANNEL_BY_CHANNEL | _VECTORS | {"add", "sub", "mul", "maximum", "flip"}
    if passes and operation.operands:
        return channels(graph, operation.operands[0][0])
    raise _Blocked(f"the channels of {operation.name} are not known")


def _follow(
    graph: Graph, position: int, sizes: tuple[int, ...], order: tuple[int, ...], blocks: dict[str, Blocks]
) -> None:
    """Put everything in order that the concat at `position` reaches."""
    if graph.operations[position].attrs.get("axis") != 1:
        raise _Blocked("it does not join channels")
    users = _users(graph)
    calls = Counter(op.layer for op in graph.operations if op.layer)
    pending = [position]
    while pending:
        for user in users.get(pending.pop(), []):
            operation = graph.operations[user]
            if operation.layer:
                _put(blocks, operation, _blocks(operation, sizes, order), calls[operation.layer])
            elif operation.kind not in _CHANNEL_BY_CHANNEL:
                raise _Blocked(f"{operation.name} ({operation.kind}) follows")
            if operation.kind not in _WEIGHT_AXES:
                pending.append(user)


def _put(blocks: dict[str, Blocks], operation: Operation, own: Blocks, calls: int) -> None:
    if calls > 1 or operation.layer in blocks:
        raise _Blocked(f"{operation.layer} follows, which runs on other inputs too")
    blocks[operation.layer] = own


def _blocks(operation: Operation, sizes: tuple[int, ...], order: tuple[int, ...]) -> Blocks:
    """The order along the axis that holds the input channels in the layer's tensors."""
    if operation.kind in _VECTORS:
        return Blocks(0, sizes, order)
    if operation.kind in _WEIGHT_AXES and operation.attrs.get("groups", 1) == 1:
        return Blocks(_WEIGHT_AXES[operation.kind], sizes, order, ("weight",))
    raise _Blocked(f"{operation.name} ({operation.kind}) follows")


def _users(graph: Graph) -> dict[int, list[int]]:
    users: dict[int, list[int]] = {}
    for position, operation in enumerate(graph.operations):
        for operand, _ in operation.operands:
            users.setdefault(operand, []).append(position)
    return users
