"""A compiled model as a whole: what came back to it, held against the plain run of the same side."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np

from twinzoo.converters.graph import INPUT
from twinzoo.parity.gradient_drift import gradient_drift
from twinzoo.parity.graphs.backward import first_names, sides_of
from twinzoo.parity.graphs.carried import value_of
from twinzoo.parity.graphs.drawing import node_name
from twinzoo.parity.graphs.norms import gradients_of, kind_of
from twinzoo.parity.graphs.pairs import Paired
from twinzoo.parity.graphs.run import Array, Run
from twinzoo.parity.layers import REPEAT
from twinzoo.parity.measure import difference, judge
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
        pairs = [_Pair(name, drift.get(name, 0.0), a, b) for name, a, b in _pairs(paired, run, place)]
        pairs += _of_computed(paired, run, place, drift)
        largest = max((float(np.abs(pair.plain).max(initial=0)) for pair in pairs), default=0.0)
        for name, off, plain, compiled, role in pairs:
            limit = np.full(plain.shape, REPEAT * off + _LEAST * largest)
            row = row_of(name, place, plain, compiled, limit, f"gradient of {role}" if role else _quantity(name))
            rows.append(row)
            if not row.ok:
                findings.append(finding_of(paired, name, row, "ab"[place]))
    return rows, findings


class _Pair(NamedTuple):
    """A gradient of the plain run and of the compiled one, by its name in the spec.

    Attributes:
        off: how far rounding of the values moves it.
        role: of the tensor, where the spec does not have it.
    """

    name: str
    off: float
    plain: Array
    compiled: Array
    role: str = ""


def whole_notes(paired: Paired) -> list[str]:
    """A line for each compiled side that cannot be held against its plain run."""
    return [
        f"side {label}'s compiled run is not held against its plain one: it draws random numbers"
        for label, run in zip("ab", (paired.a, paired.b), strict=True)
        if run.whole is not None and run.draws
    ]


def _pairs(paired: Paired, run: Run, place: int) -> Iterator[tuple[str, Array, Array]]:
    """The name in the spec, the gradient of the plain run and that of the compiled one."""
    assert run.whole is not None
    places = {other: ours for ours, other in paired.alignment.pairs.items()}
    for position, operation in enumerate(run.graph.operations):
        if operation.kind == INPUT and (place == 0 or position in places):
            plain, compiled = run.gradients.values.get(position), run.whole.input_gradients.get(operation.name)
            if compiled is not None or "." not in operation.name:  # a compiled run has none inside tuples and mappings
                yield from _both(node_name(places[position] if place else position), plain, compiled)
    computed = {made.key for ones in run.made.values() for made in ones}
    for name in dict.fromkeys(first_names(paired).values()):
        key = key_of(paired, name, place)
        if key not in computed:
            yield from _both(name, run.gradients.parameters.get(key), run.whole.parameter_gradients.get(key))


def _of_computed(paired: Paired, run: Run, place: int, drift: Mapping[str, float]) -> Iterator[_Pair]:
    """The gradients of the tensors that a weight is computed from: a compiled run has none of the weight itself."""
    assert run.whole is not None
    random = np.random.default_rng(0)
    made = {one.key: one for ones in run.made.values() for one in ones if kind_of(one)}
    for name in dict.fromkeys(first_names(paired).values()):
        one = made.get(key_of(paired, name, place))
        gradient = None if one is None else run.gradients.parameters.get(one.key)
        if one is None or gradient is None:
            continue
        moved = drift.get(name, 0.0) * random.uniform(-1, 1, gradient.shape)
        state = {**run.state, **run.after}
        exact, shaken = (gradients_of(one, state, given) for given in (gradient, gradient + moved))
        for key, (wanted, _) in exact.items():
            off = float(np.abs(shaken[key][0] - wanted).max(initial=0.0))
            role = next(role for role, tensor in one.layer.tensors.items() if tensor.key == key)
            found = run.gradients.parameters.get(key), run.whole.parameter_gradients.get(key)
            for _, plain, compiled in _both(name, *found):
                yield _Pair(name, off, plain, compiled, role)


def _both(name: str, plain: Array | None, compiled: Array | None) -> Iterator[tuple[str, Array, Array]]:
    """Where nothing came back in one of the two runs, that is zero."""
    known = plain if plain is not None else compiled
    if known is not None:
        nothing = np.zeros_like(known)
        yield name, nothing if plain is None else plain, nothing if compiled is None else compiled


def key_of(paired: Paired, name: str, place: int) -> str:
    """A tensor's key on a side; empty where side b has not that one alone in its place."""
    if place == 0:
        return paired.drawing.keys[name]
    value = value_of(paired, name)
    return value.sources[0] if value is not None and value.exact and len(value.sources) == 1 else ""


def _quantity(name: str) -> str:
    role = name.partition(".")[2]
    return f"gradient of {role}" if role else "gradient"


def row_of(name: str, place: int, plain: Array, compiled: Array, limit: Array, quantity: str) -> LayerResult:
    """A quantity of a side that is compiled, held against the plain run of the same side."""
    apart, judged = difference(plain, compiled, plain), judge(compiled, plain, limit)
    clean = SideResult(0.0, 0.0, (), 0.0, dtype=str(plain.dtype))
    result = SideResult(judged.ratio, apart.max_abs, (), apart.max_abs, dtype=str(compiled.dtype))
    numbers = (apart.max_abs, apart.mean_abs, apart.relative, apart.cosine, float(limit.max(initial=0.0)))
    sides = (clean, result) if place else (result, clean)
    return LayerResult(f"model: {name}", "output", "", plain.shape, *numbers, *sides, quantity=quantity)


def finding_of(paired: Paired, name: str, row: LayerResult, label: str) -> Finding:
    """What is wrong with such a quantity."""
    evidence = (
        f"compiled, side {label} has another {row.quantity} than its own Python code: up to {row.max_abs:.3g} apart, "
        f"where rounding explains {row.rounding:.3g}"
    )
    layer = paired.name(int(name.partition(".")[0].removeprefix("n")))
    return Finding(f"model: {layer}", "unexplained", evidence, f"run side {label} uncompiled, and report it")
