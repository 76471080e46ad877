"""A compiled model as a whole: what came back to it, held against the plain run of the same side."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping

import numpy as np

from twinzoo.converters.graph import INPUT
from twinzoo.parity.gradient_drift import gradient_drift
from twinzoo.parity.graphs.backward import first_names, sides_of
from twinzoo.parity.graphs.carried import value_of
from twinzoo.parity.graphs.drawing import node_name
from twinzoo.parity.graphs.pairs import Paired
from twinzoo.parity.graphs.run import Array, Run
from twinzoo.parity.layers import REPEAT
from twinzoo.parity.measure import difference
from twinzoo.parity.results import Finding, LayerResult, SideResult

_LEAST = 2.0**-20
"""How far, of the largest of them, the gradients of two runs may always lie apart: some are rounding alone."""


def whole_gradients(paired: Paired, moved: Mapping[str, Array]) -> tuple[list[LayerResult], list[Finding]]:
    """A row for each gradient of an input or a parameter of a side that is compiled, and a finding for each wrong one.

    Args:
        moved: every value as accumulated rounding may have moved it, by reference.
    """
    rows, findings = [], []
    backward = sides_of(paired)
    for place, run in enumerate((paired.a, paired.b)):
        if run.whole is None or run.draws:
            continue
        values = ChainMap(dict(moved), dict(backward[place].values))
        drift = gradient_drift(
            paired.drawing.spec, backward[place], values, paired.drawing.training, first_names(paired)
        )
        largest = max((float(np.abs(pair[0]).max(initial=0)) for _, *pair in _pairs(paired, run, place)), default=0.0)
        for name, plain, compiled in _pairs(paired, run, place):
            limit = REPEAT * drift.get(name, 0.0) + _LEAST * largest
            row = _row(name, place, plain, compiled, limit)
            rows.append(row)
            if not row.ok:
                findings.append(_finding(paired, name, row, "ab"[place]))
    return rows, findings


def _pairs(paired: Paired, run: Run, place: int) -> Iterator[tuple[str, Array, Array]]:
    """The name in the spec, the gradient of the plain run and that of the compiled one."""
    assert run.whole is not None
    places = {other: ours for ours, other in paired.alignment.pairs.items()}
    for position, operation in enumerate(run.graph.operations):
        if operation.kind == INPUT and (place == 0 or position in places):
            plain, compiled = run.gradients.values.get(position), run.whole.input_gradients.get(operation.name)
            if compiled is not None or "." not in operation.name:  # a compiled run has none inside tuples and mappings
                yield from _both(node_name(places[position] if place else position), plain, compiled)
    for name in dict.fromkeys(first_names(paired).values()):
        key = _key(paired, name, place)
        yield from _both(name, run.gradients.parameters.get(key), run.whole.parameter_gradients.get(key))


def _both(name: str, plain: Array | None, compiled: Array | None) -> Iterator[tuple[str, Array, Array]]:
    """Where nothing came back in one of the two runs, that is zero."""
    known = plain if plain is not None else compiled
    if known is not None:
        nothing = np.zeros_like(known)
        yield name, nothing if plain is None else plain, nothing if compiled is None else compiled


def _key(paired: Paired, name: str, place: int) -> str:
    """A parameter's key on a side; empty where side b has not that one alone in its place."""
    if place == 0:
        return paired.drawing.keys[name]
    value = value_of(paired, name)
    return value.sources[0] if value is not None and value.exact and len(value.sources) == 1 else ""


def _row(name: str, place: int, plain: Array, compiled: Array, limit: float) -> LayerResult:
    apart = difference(plain, compiled, plain)
    ratio = apart.max_abs / limit if limit else (0.0 if apart.max_abs == 0 else float("inf"))
    clean = SideResult(0.0, 0.0, (), 0.0, dtype=str(plain.dtype))
    result = SideResult(ratio, apart.max_abs, (), apart.max_abs, dtype=str(compiled.dtype))
    numbers = (apart.max_abs, apart.mean_abs, apart.relative, apart.cosine, limit)
    sides = (clean, result) if place else (result, clean)
    role = name.partition(".")[2]
    quantity = f"gradient of {role}" if role else "gradient"
    return LayerResult(f"model: {name}", "output", "", plain.shape, *numbers, *sides, quantity=quantity)


def _finding(paired: Paired, name: str, row: LayerResult, label: str) -> Finding:
    evidence = (
        f"compiled, side {label} has another {row.quantity} than its own Python code: up to {row.max_abs:.3g} apart, "
        f"where rounding explains {row.rounding:.3g}"
    )
    layer = paired.name(int(name.partition(".")[0].removeprefix("n")))
    return Finding(f"model: {layer}", "unexplained", evidence, f"run side {label} uncompiled, and report it")
