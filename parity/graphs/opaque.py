"""Operations that cannot be computed here: both sides are held against each other, where that says anything."""

from __future__ import annotations

from collections.abc import Iterator

from twinzoo.parity.graphs.drawing import node_name
from twinzoo.parity.graphs.pairs import Paired
from twinzoo.parity.graphs.run import Array, draws
from twinzoo.parity.measure import difference, largest_finite
from twinzoo.parity.results import LayerResult, SideResult

OPAQUE = 1e-4
"""How far, of their largest value, outputs may lie apart where the inputs are the same."""

_GROWTH = 8.0
"""How much of what their inputs lie apart is allowed on top."""


def opaque_rows(paired: Paired) -> tuple[list[LayerResult], list[str]]:
    """A row for each such operation that can be compared, and a line for each that cannot."""
    rows, notes = [], []
    for position in paired.drawing.opaque:
        reason = _incomparable(paired, position)
        if reason:
            notes.append(f"{paired.name(position)} is not comparable: {reason}")
        else:
            rows.append(_row(paired, position))
    return rows, notes


def _incomparable(paired: Paired, position: int) -> str:
    if draws(paired.a.graph.operations[position].kind):
        return "it draws random numbers"
    apart = _inputs_apart(paired, position)
    return f"its inputs are apart by {apart:.2g} of their size already" if apart > OPAQUE else ""


def _inputs_apart(paired: Paired, position: int) -> float:
    return max(_operands_apart(paired, position), default=0.0)


def _operands_apart(paired: Paired, position: int) -> Iterator[float]:
    for operand, output in paired.a.graph.operations[position].operands:
        ours, theirs = paired.a.values.get(operand), paired.values.get(operand)
        if output == 0 and ours is not None and theirs is not None and ours.shape == theirs.shape:
            yield difference(ours, theirs, ours).relative


def _row(paired: Paired, position: int) -> LayerResult:
    ours, theirs = paired.a.values[position], paired.values.get(position)
    kind = paired.a.graph.operations[position].kind
    side = SideResult(0.0, 0.0, (), 0.0, dtype=str(ours.dtype))
    if theirs is None:  # or it has another shape: what follows could not be given it
        wrong = SideResult(float("inf"), float("inf"), (), 0.0, "returned nothing", str(ours.dtype))
        return LayerResult(node_name(position), kind, "", ours.shape, *(float("inf"),) * 3, 0.0, 0.0, side, wrong)
    apart = difference(ours, theirs, ours)
    limit = _limit(paired, position, ours)
    wrong = SideResult(apart.max_abs / limit, apart.max_abs, (), 0.0, dtype=str(theirs.dtype))
    numbers = (apart.max_abs, apart.mean_abs, apart.relative, apart.cosine, limit)
    return LayerResult(node_name(position), kind, "", ours.shape, *numbers, side, wrong, max_ulp=apart.max_ulp)


def _limit(paired: Paired, position: int, ours: Array) -> float:
    share = OPAQUE + _GROWTH * _inputs_apart(paired, position)
    return share * max(largest_finite(ours), 1e-30)
