"""A compiled model after a step in training mode: what moved in it, held against the plain run of the same side."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterator, Mapping

import numpy as np

from twinzoo.parity.graphs.buffers import ROLES, calls_of_norms, moved, values_of
from twinzoo.parity.graphs.drawing import node_name
from twinzoo.parity.graphs.opaque import OPAQUE
from twinzoo.parity.graphs.pairs import Paired
from twinzoo.parity.graphs.run import Array, Run
from twinzoo.parity.graphs.whole import finding_of, key_of, row_of
from twinzoo.parity.layers import REPEAT
from twinzoo.parity.results import Finding, LayerResult


def whole_buffers(paired: Paired, shaken: Mapping[str, Array]) -> tuple[list[LayerResult], list[Finding]]:
    """A row for each tensor that a step of a compiled side moves, plain or compiled, and a finding for each wrong one.

    Running statistics may lie apart by what rounding explains; what nobody can follow, by a share of its size.

    Args:
        shaken: every value as accumulated rounding may have moved it, by reference.
    """
    rows, findings = [], []
    last = node_name(len(paired.a.graph.operations) - 1)
    for place, run in enumerate((paired.a, paired.b)):
        if run.whole is None or run.draws:
            continue
        limits = dict(_statistics(paired, place, shaken))
        for key in dict.fromkeys((*run.after, *run.whole.state_after)):
            plain, compiled = (after.get(key, run.state.get(key)) for after in (run.after, run.whole.state_after))
            assert plain is not None and compiled is not None
            layer = _layer(paired, run, place, key)
            what = key.rpartition(".")[2] if layer else key
            limit = limits[key] if key in limits else _share(plain)
            row = row_of(layer or last, place, plain, compiled, limit, f"buffer {what}")
            rows.append(row)
            if not row.ok:
                findings.append(finding_of(paired, layer or last, row, "ab"[place]))
    return rows, findings


def _statistics(paired: Paired, place: int, shaken: Mapping[str, Array]) -> Iterator[tuple[str, Array]]:
    """Key and limit of each running statistic of a side: twice what moves it where every value is moved."""
    values = values_of(paired)[place]
    other = ChainMap({int(ref.removeprefix("n")): x for ref, x in shaken.items() if ":" not in ref}, dict(values))
    for nodes in calls_of_norms(paired):
        operation = paired.operations(int(nodes[0].name.removeprefix("n")))[place]
        for role in ROLES:
            name = f"{nodes[0].name}.{role}"
            plain, apart = (moved(paired, nodes, role, place, found) for found in (values, other))
            if operation is not None and plain is not None and apart is not None:
                momentum = float(str(operation.attrs.get("momentum", nodes[0].attrs["momentum"])))
                wanted, allowed = plain.wanted(momentum)
                distance = np.abs(apart.wanted(momentum)[0] - wanted).max(initial=0.0)
                yield key_of(paired, name, place), REPEAT * (allowed + distance)


def _layer(paired: Paired, run: Run, place: int, key: str) -> str:
    """The node of the layer that has a tensor; empty where no operation has it."""
    layers = {name for name, layer in run.graph.layers.items() if key in {t.key for t in layer.tensors.values()}}
    places = {p: p for p in range(len(run.graph.operations))} if place == 0 else paired.alignment.pairs
    for ours, theirs in places.items():
        if run.graph.operations[theirs].layer in layers:
            return node_name(ours)
    return ""


def _share(plain: Array) -> Array:
    """What is counted is exact."""
    size = OPAQUE * float(np.abs(plain).max(initial=0.0)) if plain.dtype.kind not in "iub" else 0.0
    return np.full(plain.shape, size)
