"""Comparing twins: run both, judge every layer of each against float64, and say what differs first."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from twinzoo.converters.live import framework_of, spec_of
from twinzoo.parity.findings import differing_weights, findings_of
from twinzoo.parity.graphs.again import held_again
from twinzoo.parity.graphs.carried import keys_of_b
from twinzoo.parity.graphs.compare import compare_runs
from twinzoo.parity.graphs.pairs import pair
from twinzoo.parity.graphs.record import read_record
from twinzoo.parity.graphs.run import How, Run, run
from twinzoo.parity.inputs import checked_inputs
from twinzoo.parity.layers import Walk
from twinzoo.parity.report import ParityReport
from twinzoo.parity.results import SideInfo
from twinzoo.parity.steps.live import live_steps
from twinzoo.parity.trace import Trace, capture
from twinzoo.parity.verdict import kernel_uses
from twinzoo.ports.port import Port, PortInfo, check_state
from twinzoo.ports.reference.port import ReferenceModel
from twinzoo.ports.registry import port, port_of
from twinzoo.zoo import registry
from twinzoo.zoo.errors import ParityError
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.spec import Spec, spec_hash, to_json
from twinzoo.zoo.spec.show import parameter_count

Array = NDArray[Any]

_NO_INPUTS = "compare: inputs are missing: give arrays, by name or in order"


def compare(
    a: Any,
    b: Any,
    inputs: ArrayLike | Mapping[str, ArrayLike] | None = None,
    *,
    grad: bool = False,
    train: bool = False,
    steps: int = 0,
    loss: Any = None,
) -> ParityReport:
    """Run two models on the same inputs and judge every layer of both.

    Twins of one spec are both held against the spec. For any other pair side a is what is right: each of its operations
    is computed in float64 on what its counterpart on side b was given (see twinzoo.parity.graphs).

    Args:
        a, b: each a live nn.Module or nn.Cell, the path of a record, or (spec or model name, port) for a twin with the
            spec's initial weights of seed 0, or what tz.build made on the reference port.
        inputs: an array for a model of one input, a tuple in the order of its arguments, or a mapping by their names;
            where a side is a record, its own inputs.
        grad: compare the gradients of all values and parameters too. Every output is pulled back with the same random
            numbers on both sides, or the loss with 1.
        train: run in training mode: statistics of the batch, dropout, and the running statistics after the step. Each
            side is judged by its own draws. A model that is in training mode keeps the parts of it that are not.
        loss: a function of what a model returns, to a scalar, in its framework; a pair of them for sides of two. It is
            compared as part of the model.
        steps: train both live models for so many steps of Adam on the inputs too, and add what tz.compare_steps finds.
            Dropout is off then.

    Raises:
        ParityError: the sides cannot be compared, or not yet.
        SpecError: no such model, or inputs that do not fit.
        PortError: a framework is missing.
    """
    began = time.perf_counter()
    how = How(train, grad, loss is not None)
    if steps or how != How() or any(_is_foreign(side) or isinstance(side, (str, PathLike)) for side in (a, b)):
        return _compared(a, b, inputs, how, loss, steps, began)
    sides = (_side("a", a), _side("b", b))
    spec = sides[0].spec
    _check_same(spec, sides[1].spec)
    if inputs is None:
        raise ParityError(_NO_INPUTS)
    given = checked_inputs(spec, inputs)
    with ThreadPoolExecutor() as pool:  # a port may ask a process of its own which devices there are
        infos = {name: pool.submit(found.info) for name, found in {side.port.name: side.port for side in sides}.items()}
        traces = _traces(sides, given)
    evidence = differing_weights(traces[0].state, traces[1].state)
    walk = Walk(frozenset(evidence))
    walk.model(spec, traces, given)
    ports = (sides[0].port.name, sides[1].port.name)
    return ParityReport(
        spec=spec.name,
        spec_hash=spec_hash(spec),
        parameters=parameter_count(spec),
        inputs={name: _described(x) for name, x in given.items()},
        a=_side_info(sides[0], infos[ports[0]].result()),
        b=_side_info(sides[1], infos[ports[1]].result()),
        layers=walk.rows,
        findings=findings_of(evidence, walk.rows, ports),
        kernels=kernel_uses(walk.kernels),
        seconds=time.perf_counter() - began,
    )


def _is_foreign(side: Any) -> bool:
    """Whether a side is a live model that twinzoo did not build."""
    return bool(framework_of(side)) and spec_of(side) is None


def _compared(a: Any, b: Any, inputs: Any, how: How, loss: Any, steps: int, began: float) -> ParityReport:
    """Any two sides, by their graphs.

    Records have been run already, and a live model beside one is given its inputs.

    Raises:
        ParityError: two records were not made on the same inputs, or not on those that are given, or not in this mode.
    """
    losses = loss if isinstance(loss, tuple) else (loss, loss)
    recorded = [read_record(Path(side)) if isinstance(side, (str, PathLike)) else None for side in (a, b)]
    if steps and any(recorded):
        raise ParityError("compare: steps needs live models: a record cannot be trained")
    sides = [side if found else _live(label, side) for label, side, found in zip("ab", (a, b), recorded, strict=True)]
    known = next((done.inputs for done in recorded if done is not None), None)
    given = tuple(known.values()) if inputs is None and known is not None else inputs
    if given is None:
        raise ParityError(_NO_INPUTS)
    running = [partial(run, label, side, given, how, of) for label, side, of in zip("ab", sides, losses, strict=True)]
    ours, theirs = (repeat() if found is None else found for found, repeat in zip(recorded, running, strict=True))
    _check_runs(ours, theirs, how)
    again = [repeat if found is None else None for found, repeat in zip(recorded, running, strict=True)]
    report = held_again(compare_runs(ours, theirs, began), (ours, theirs), tuple(again))
    if not steps:
        return report
    of_b = keys_of_b(pair(ours, theirs))
    trained = live_steps(sides[0], sides[1], given, steps, how.train, losses, pairs=of_b)
    verdict = f"{steps} training steps: {str(trained).splitlines()[0]}"
    return replace(
        report,
        findings=[*report.findings, *trained.findings],
        notes=[*report.notes, verdict, *trained.notes],
        seconds=time.perf_counter() - began,
    )


def _check_runs(a: Run, b: Run, how: How) -> None:
    """Both must be what was asked for, on the same inputs.

    Raises:
        ParityError: a record is not.
    """
    for label, made in zip("ab", (a, b), strict=True):
        if made.how != how:
            raise ParityError(f"compare: {label} was recorded in mode {made.how}, and {how} is asked for: record it so")
    ours, theirs = (list(side.inputs.values()) for side in (a, b))
    if len(ours) != len(theirs) or not all(map(_same, ours, theirs)):
        raise ParityError("compare: a and b were not run on the same inputs: record both on the same ones")


def _same(x: Array, y: Array) -> bool:
    """Whether two inputs are the same numbers, in the element type with fewer digits."""
    wide, narrow = (x, y) if x.itemsize >= y.itemsize else (y, x)
    return x.shape == y.shape and np.array_equal(wide.astype(narrow.dtype), narrow)


def _live(label: str, given: Any) -> Any:
    """A side as a live model.

    Raises:
        ParityError: it is on a port that has none.
    """
    if framework_of(given):
        return given
    side = _side(label, given)
    (model,) = _models((side,))
    if not framework_of(model) and not isinstance(model, ReferenceModel):
        raise ParityError(
            f"compare: {label} is on port {side.port.name}, which has no live models: give a framework's for "
            "gradients, training mode, or beside somebody's own model"
        )
    return model


@dataclass(frozen=True)
class _Side:
    spec: Spec
    port: Port
    model: Any
    weights: str


def _side_info(side: _Side, info: PortInfo) -> SideInfo:
    """What stood on a side; the device is left open where the framework has a choice of them."""
    devices = [device.name for device in info.devices if device.available]
    device = devices[0] if len(devices) == 1 else ""
    return SideInfo(info.name, info.framework, info.version, device, side.weights)


def _side(label: str, given: Any) -> _Side:
    if isinstance(given, tuple) and len(given) == 2:
        named, place = given
        spec = named if isinstance(named, Spec) else registry.spec(named)
        return _Side(spec, port(place) if isinstance(place, str) else place, None, "the spec's initial ones, seed 0")
    found = port_of(given)
    built_from = found.spec_of(given) if found else None
    if found is None or built_from is None:
        kind = f"{type(given).__module__}.{type(given).__qualname__}"
        raise ParityError(f"compare: {label} is a {kind}: must be an nn.Module, an nn.Cell, or (spec, port)")
    return _Side(built_from, found, given, "the model's own")


def _traces(sides: tuple[_Side, _Side], inputs: Mapping[str, Array]) -> tuple[Trace, Trace]:
    """Run both sides, one after the other; no more weights are held than are needed."""
    models = _models(sides)
    a = _trace(sides[0], models.pop(0), inputs, {})
    return a, _trace(sides[1], models.pop(0), inputs, a.state)


def _models(sides: tuple[_Side, ...]) -> list[Any]:
    """The models; initial weights are drawn once for sides of one spec."""
    models = []
    drawn: dict[str, dict[str, Any]] = {}
    for side in sides:
        model, key = side.model, spec_hash(side.spec)
        if model is None:
            model = side.port.build(side.spec)
            if key not in drawn:
                drawn[key] = initial_state(side.spec)
            side.port.load(model, drawn[key])
        models.append(model)
    return models


def _trace(side: _Side, model: Any, inputs: Mapping[str, Array], known: Mapping[str, Array]) -> Trace:
    """Run a model and its tapped twin; where `known` is its state, that is the one that is kept."""
    state = side.port.state(model)
    check_state(side.spec, state)
    if known and not differing_weights(known, state):
        state = dict(known)
    outputs = side.port.run(model, inputs)
    del model
    return capture(side.port, side.spec, state, inputs, outputs)


def _check_same(a: Spec, b: Spec) -> None:
    """Both sides must be drawn from one graph; descriptions, options and initialisation may differ.

    Raises:
        ParityError: naming the first node that is not the same.
    """
    if (first := _first_difference(_graph(a), _graph(b))) is not None:
        raise ParityError(f"compare: a is {a!r}, b is {b!r}: they differ at {first}: compare twins of one spec")


def _graph(spec: Spec) -> dict[str, str]:
    """Everything that decides what a spec computes, as text by place."""
    plain = json.loads(to_json(spec))
    kept = ("shape", "multiple_of", "dtype")
    lines: dict[str, Any] = {f"input {item['name']}": {k: item[k] for k in kept} for item in plain["inputs"]}
    for name, role in spec.roles.items():
        lines |= {f"{name}: {place}": text for place, text in _graph(role.spec).items()}
    lines |= {node["name"]: {k: node[k] for k in ("op", "inputs", "attrs")} for node in plain["nodes"]}
    lines |= {f"output {name}": ref for name, ref in plain["outputs"].items()}
    return {place: json.dumps(line) for place, line in lines.items()}


def _first_difference(a: Mapping[str, str], b: Mapping[str, str]) -> str | None:
    for (place, text), (other, beside) in zip(a.items(), b.items(), strict=False):
        if place != other:
            return f"{place} ~ {other}"
        if text != beside:
            return f"{place}: {text} ~ {beside}"
    longer = a if len(a) > len(b) else b
    extra = list(longer)[min(len(a), len(b)) :]
    return f"{extra[0]}, which only {'a' if longer is a else 'b'} has" if extra else None


def _described(x: Array) -> str:
    """(1, 3, 64, 64) float32 in [-1, 0.998]"""
    span = f" in [{np.nanmin(x):.3g}, {np.nanmax(x):.3g}]" if x.size else ""
    return f"{x.shape} {x.dtype}{span}"
