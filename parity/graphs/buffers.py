"""Running statistics after a run in training mode, each side's held against what its own values make of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from twinzoo.parity.bounds.precision import FORMATS, SINGLE, precision_of
from twinzoo.parity.bounds.reductions import moments
from twinzoo.parity.graphs.carried import made_of, value_of
from twinzoo.parity.graphs.pairs import Paired
from twinzoo.parity.graphs.run import Array
from twinzoo.parity.measure import Judgement, difference, judge
from twinzoo.parity.results import Finding, LayerResult, SideResult
from twinzoo.ports.reference.layers import batch_axes
from twinzoo.zoo.spec import Node

ROLES = ("running_mean", "running_var")


@dataclass(frozen=True)
class Moved:
    """One running statistic of one side.

    Attributes:
        before, after: the values.
        batches: of each call of the layer: the batch's own statistic, its bound, and how many numbers it is of.
    """

    role: str
    before: Array
    after: Array
    batches: tuple[tuple[Array, Array, int], ...]

    def judged(self, momentum: float, *, unbiased: bool = True) -> Judgement:
        """What there is against what there should be."""
        return judge(self.after, *self.wanted(momentum, unbiased=unbiased))

    def wanted(self, momentum: float, *, unbiased: bool = True) -> tuple[Array, Array]:
        """(1 - momentum) before + momentum batch, for each batch, and its bound."""
        kind = FORMATS.get(str(self.after.dtype), SINGLE)
        wanted, allowed = self.before, np.zeros(self.before.shape)
        for batch, off, count in self.batches:
            factor = momentum * (count / (count - 1) if unbiased and self.role == "running_var" else 1.0)
            kept = (1 - momentum) * wanted
            wanted = kept + factor * batch
            rounded = 4 * kind.unit * (np.abs(kept) + factor * np.abs(batch)) + kind.least
            allowed = (1 - momentum) * allowed + factor * off + rounded
        return wanted, allowed


def buffer_rows(paired: Paired) -> tuple[list[LayerResult], list[tuple[int, Finding]]]:
    """A row for each running statistic that training moves, and what is wrong with those that are off."""
    rows, findings = [], []
    for nodes in calls_of_norms(paired):
        for role in ROLES:
            made = _row(paired, nodes, role)
            if made is not None:
                rows.append(made[0])
                findings += [(_position(nodes[0]), finding) for finding in made[1]]
    return rows, findings


def calls_of_norms(paired: Paired) -> list[list[Node]]:
    """The calls of each layer that keeps running statistics of its batches."""
    keys, layers = paired.drawing.keys, dict[str, list[Node]]()
    for node in paired.drawing.spec.nodes.values():
        if node.op == "batch_norm" and node.name in paired.drawing.training and "running_mean" in node.params:
            layers.setdefault(keys[f"{node.name}.running_mean"], []).append(node)
    return list(layers.values())


def _row(paired: Paired, nodes: list[Node], role: str) -> tuple[LayerResult, list[Finding]] | None:
    node, position = nodes[0], _position(nodes[0])
    a, b = (moved(paired, nodes, role, place, values) for place, values in enumerate(values_of(paired)))
    if a is None or b is None:
        return None
    momentum = float(node.attrs["momentum"])
    ours, theirs = (_result(side.judged(momentum), side) for side in (a, b))
    apart = difference(a.after, b.after, a.after)
    numbers = (apart.max_abs, apart.mean_abs, apart.relative, apart.cosine, 0.0)
    what = f"buffer {role}"
    row = LayerResult(
        node.name, node.op, "", a.after.shape, *numbers, ours, theirs, quantity=what, max_ulp=apart.max_ulp
    )
    return row, [] if theirs.ok else [_finding(paired, position, b, momentum)]


def _position(node: Node) -> int:
    return int(node.name.removeprefix("n"))


def _result(judged: Judgement, side: Moved) -> SideResult:
    return SideResult(judged.ratio, judged.error, judged.index, judged.error, judged.problem, str(side.after.dtype))


def values_of(paired: Paired) -> tuple[Mapping[int, Array], Mapping[int, Array]]:
    """Both sides' values in the places of side a's operations."""
    return paired.a.values, paired.values


def moved(paired: Paired, nodes: list[Node], role: str, place: int, values: Mapping[int, Array]) -> Moved | None:
    """A side's running statistic, moved by these values; None where it has none that can be told."""
    run = (paired.a, paired.b)[place]
    name = f"{nodes[0].name}.{role}"
    before = np.asarray((paired.drawing.state, paired.state)[place][name], np.float64)
    state = {**run.state, **run.after}
    after: Array | None = state[paired.drawing.keys[name]] if place == 0 else None
    value = value_of(paired, name)
    if place and value is not None:
        after = made_of(value, state)
    if after is None:
        return None
    batches = []
    for node in nodes:
        given = np.asarray(values[paired.a.graph.operations[_position(node)].operands[0][0]])
        x, r = given.astype(np.float64), precision_of(run.port, node.op, str(given.dtype), train=True)
        mean, var, mean_off, var_off = (np.asarray(array).reshape(-1) for array in moments(x, batch_axes(x), r))
        count = x.size // x.shape[1]
        batches.append((mean, mean_off, count) if role == "running_mean" else (var, var_off, count))
    return Moved(role, before, after.reshape(before.shape), tuple(batches))


def _finding(paired: Paired, position: int, moved: Moved, momentum: float) -> Finding:
    """What side b did instead, if another momentum or another variance explains it."""
    ours, theirs = paired.operations(position)
    assert theirs is not None
    name = paired.name(position)
    missed = moved.judged(momentum).ratio
    for other, unbiased, cause, words in _hypotheses(theirs.attrs, momentum):
        ratio = moved.judged(other, unbiased=unbiased).ratio
        if ratio <= 1:
            evidence = (
                f"{moved.role} after the step: with {words} float64 reproduces side b to {ratio:.2g} of the bound; "
                f"with momentum {momentum:g} and the unbiased variance it misses by {missed:,.3g} times the bound"
            )
            return Finding(name, cause, evidence, _FIXES[cause].format(theirs=theirs.name, momentum=momentum))
    still = np.array_equal(moved.after, moved.before.astype(moved.after.dtype))
    cause, words = (
        ("norm-mode", "it did not move") if still else ("unexplained", f"it misses by {missed:,.3g} times the bound")
    )
    return Finding(name, cause, f"{moved.role} after the step: {words}", _FIXES[cause].format(theirs=theirs.name))


_FIXES = {
    "momentum": "give {theirs} the share {momentum:g} of the batch (MindSpore's momentum is 1 minus PyTorch's)",
    "variance": "keep the unbiased variance, n / (n - 1) times the batch's, in {theirs}",
    "norm-mode": "let {theirs} normalise and keep statistics in training mode",
    "unexplained": "the fault is in how {theirs} moves its statistics",
}


def _hypotheses(attrs: Mapping[str, object], momentum: float) -> Iterator[tuple[float, bool, str, str]]:
    theirs = attrs.get("momentum")
    for other in dict.fromkeys((theirs if isinstance(theirs, float) else momentum, 1 - momentum)):
        if other != momentum:
            yield other, True, "momentum", f"momentum {other:g}"
    yield momentum, False, "variance", "the biased variance of the batch"
