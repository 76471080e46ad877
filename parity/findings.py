"""From numbers to findings: which layer, on which side, by how much, and what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.measure import distances
from twinzoo.parity.results import OUTPUT, Finding, LayerResult, SideResult

Array = NDArray[Any]

EXACT = 1e-36
"""Where no more than this is allowed, nothing is rounded."""


def differing_weights(a: Mapping[str, Array], b: Mapping[str, Array]) -> dict[str, str]:
    """Evidence for each tensor, of two states with the same names and shapes, that is not the same on both sides."""
    found = {}
    for name, x in a.items():
        y = b[name]
        if x is y or np.array_equal(x, y):
            continue
        places = np.flatnonzero(~((x == y) | (np.isnan(x) & np.isnan(y))))
        if places.size:
            apart = distances(x.flat[places], y.flat[places])
            index = tuple(int(i) for i in np.unravel_index(places[apart.argmax()], x.shape))
            where = f"largest |a-b| {apart.max():.3g} at {index}"
            found[name] = f"{name} differs in {places.size:,} of {x.size:,} values, {where}"
    return found


def findings_of(evidence: Mapping[str, str], layers: Sequence[LayerResult], ports: tuple[str, str]) -> list[Finding]:
    """Everything that is wrong, in execution order; `evidence` is that of the tensors that differ."""
    found = _weight_findings(evidence, layers)
    found += [finding for layer in layers for finding in _layer_findings(layer, ports)]
    places: dict[str, int] = {}
    for i, layer in enumerate(layers):  # its gradients may come long after a layer's output
        places.setdefault(layer.name, i)
    return sorted(found, key=lambda finding: places.get(finding.layer, -1))


def _weight_findings(evidence: Mapping[str, str], layers: Sequence[LayerResult]) -> list[Finding]:
    """One finding for each tensor that differs, at the first layer that uses it."""
    users: dict[str, str] = {}
    for layer in layers:
        for name in layer.weights:
            users.setdefault(name, layer.name)
    fix = "load the same checkpoint into both sides; where both were, the conversion of this tensor is at fault"
    return [
        Finding(users.get(name, name.rpartition(".")[0]), "weight-value", text, fix) for name, text in evidence.items()
    ]


def _layer_findings(layer: LayerResult, ports: tuple[str, str]) -> list[Finding]:
    """One finding for each side that is not where float64 says."""
    sides = (("a", ports[0], layer.a), ("b", ports[1], layer.b))
    found = []
    for (label, port, side), (other, other_port, beside) in (sides, sides[::-1]):
        if not side.ok:
            rest = f"{other} ({other_port}) is {_standing(beside)}"
            found.append(_finding(layer, f"{label} ({port})", port, side, rest))
    return found


def _standing(side: SideResult) -> str:
    return f"right, at {side.ratio:.2g} of what rounding allows" if side.ok else "wrong too"


def _finding(layer: LayerResult, who: str, port: str, side: SideResult, rest: str) -> Finding:
    call = f"{layer.op}({layer.attrs})"
    cause = "unexplained"
    if side.problem.startswith("dtype"):
        cause, evidence = "dtype", f"{who}: {side.problem}"
        fix = f"keep {port}'s {layer.op} in the dtype of the spec"
    elif side.problem == "returned nothing" and layer.backward:
        cause, evidence = "grad-missing", f"{who} has none"
        fix = f"look for a detach, a stop_gradient or a frozen parameter on {port}, here or behind it"
    elif side.problem == "returned nothing":
        cause, evidence = "missing-op", f"{who} {side.problem} for it"
        fix = f"add {call} to what {port} computes"
    elif layer.op in ("output", "call"):
        evidence = f"{who}: the network as a whole is {_off(side, 'what its own layers give one by one')}"
        fix = f"look for what {port} fuses or changes when it runs whole"
    else:
        evidence = f"{who} is {_off(side, 'float64 of its own inputs')}"
        what = "differentiates" if layer.backward else "computes"
        fix = f"the fault is in this layer, not before it: look at how {port} {what} {call}"
    told = "" if layer.quantity == OUTPUT else f"{layer.quantity}: "
    return Finding(layer.name, cause, f"{told}{evidence}; {rest}", fix, layer.source)


def _off(side: SideResult, centre: str) -> str:
    if side.problem:
        return f"not {centre}: {side.problem}"
    exact = not np.isfinite(side.ratio) or side.error < EXACT * side.ratio
    times = f"{float(f'{side.ratio:.3g}'):,.10g} times what rounding allows"
    return f"{side.error:.3g} away from {centre} at {side.index}, {'where it must be exact' if exact else times}"
