"""Compiled runs: each gradient is held against the plain run of the same side, within what rounding carries it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from parity_tests.parity.graphs.made import BIAS, IMAGE, KERNEL, Array, Side, convolution
from parity_tests.parity.graphs.passes import Plant, compiled, pulled
from parity_tests.parity.test_gradients import network as spec_of
from parity_tests.parity.test_gradients import side as passes
from twinzoo.converters.layers import Layer, Tensor
from twinzoo.parity.gradient_drift import gradient_drift
from twinzoo.parity.gradients import Backward
from twinzoo.parity.graphs.compare import compare_runs
from twinzoo.parity.graphs.computed import Made
from twinzoo.parity.graphs.norms import gradients_of
from twinzoo.parity.graphs.pairs import pair
from twinzoo.parity.graphs.run import Run
from twinzoo.parity.graphs.whole import whole_gradients, whole_notes
from twinzoo.parity.pulling import passed
from twinzoo.parity.results import LayerResult
from twinzoo.zoo.spec import Spec

KEYS = ("image", "conv.weight", "conv.bias")


def plain(path: str = "conv", scale: float = 1.0) -> Run:
    """A convolution that is called twice."""
    side = Side()
    x = convolution(side, side.input(IMAGE * np.float32(scale)), path, KERNEL[:3], BIAS[:3])
    side.output(convolution(side, side.op("tanh", x), path, KERNEL[:3], BIAS[:3]))
    return pulled(side)


def rows(a: Run, b: Run) -> list[LayerResult]:
    report = compare_runs(a, b, 0.0)
    assert report.ok is not bool(report.findings)
    return [row for row in report.layers if row.name.startswith("model: ") and row.backward]


def told(a: Run, b: Run) -> list[tuple[str, str]]:
    return [(finding.layer, finding.evidence) for finding in compare_runs(a, b, 0.0).findings]


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_a_compiled_side_that_gives_the_same_passes(scale: float) -> None:
    run = plain(scale=scale)
    names = [("model: image", "gradient"), ("model: conv", "gradient of weight"), ("model: conv", "gradient of bias")]
    for sides in ((compiled(run), run), (run, compiled(run)), (compiled(run), compiled(run))):
        found = rows(*sides)
        assert [(row.name, row.quantity) for row in found] == names * sum(side.whole is not None for side in sides)
        assert all(row.ok and row.max_abs == 0 and row.rounding > 0 for row in found)
    assert rows(run, run) == []


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("fault", [lambda g: g * np.float32(1.001), lambda g: -g, lambda g: g * 0])
def test_a_compiled_gradient_that_differs(key: str, fault: Plant) -> None:
    run, wrong = plain(), compiled(plain(), {key: fault})
    layer, _, role = key.partition(".")
    quantity = f"gradient of {role}" if role else "gradient"
    for label, sides in (("a", (wrong, run)), ("b", (run, wrong))):
        ((name, evidence),) = told(*sides)
        assert name == f"model: {layer}"
        assert evidence.startswith(f"compiled, side {label} has another {quantity} than its own Python code: up to")
        (row,) = (row for row in rows(*sides) if not row.ok)
        assert (row.a.ok, row.b.ok) == (label == "b", label == "a")


def test_names_are_those_of_side_a_and_tensors_those_of_side_b() -> None:
    ((name, _),) = told(plain(), compiled(plain("other"), {"other.weight": lambda g: -g}))
    assert name == "model: conv ~ other"


@pytest.mark.parametrize(("share", "ok"), [(0.9, True), (1.1, False)])
@pytest.mark.parametrize("key", KEYS)
def test_the_bound_is_what_rounding_carries_twice_and_a_share_of_the_largest(key: str, share: float, ok: bool) -> None:
    run = plain()
    moved: dict[str, Array] = {}
    clean, _ = whole_gradients(pair(run, compiled(run)), moved)
    row = clean[KEYS.index(key)]
    largest = max(float(np.abs(g).max()) for g in (run.gradients.values[0], *run.gradients.parameters.values()))
    assert 2**-20 * largest < row.rounding < 2**-17 * largest

    def off(gradient: Array) -> Array:
        made = gradient.astype(np.float64)
        made.flat[0] += share * row.rounding
        return made

    made, findings = whole_gradients(pair(run, compiled(run, {key: off})), moved)
    assert made[KEYS.index(key)].ok is ok and bool(findings) is not ok
    assert made[KEYS.index(key)].b.ratio == pytest.approx(share, rel=1e-3)


def test_what_values_were_moved_by_counts() -> None:
    run = plain()
    paired = pair(run, compiled(run))
    still, _ = whole_gradients(paired, {})
    shaken, _ = whole_gradients(paired, {"n2": run.values[2] * np.float32(1.01)})
    assert shaken[1].rounding > 100 * still[1].rounding


def forgotten(run: Run, key: str) -> Run:
    """A run whose compiled one lets nothing back to an input or a parameter."""
    assert run.whole is not None
    found: list[Mapping[str, Array]] = [run.whole.input_gradients, run.whole.parameter_gradients]
    inputs, parameters = ({k: g for k, g in gradients.items() if k != key} for gradients in found)
    return replace(run, whole=replace(run.whole, input_gradients=inputs, parameter_gradients=parameters))


@pytest.mark.parametrize("key", KEYS)
def test_a_compiled_run_to_which_nothing_comes_back(key: str) -> None:
    run = plain()
    ((name, evidence),) = told(run, forgotten(compiled(run), key))
    assert name == f"model: {key.partition('.')[0]}" and "has another gradient" in evidence
    assert len(rows(run, forgotten(compiled(run), key))) == 3


def test_what_is_absent_in_the_plain_run_may_be_zero_in_the_compiled_one() -> None:
    def without(run: Run) -> Run:
        kept = {k: g for k, g in run.gradients.parameters.items() if k != "conv.bias"}
        return replace(run, gradients=replace(run.gradients, parameters=kept), frozen=frozenset({"conv.bias"}))

    both, zero, other = (compiled(plain(), {"conv.bias": fault}) for fault in (lambda g: g, lambda g: g * 0, abs))
    run = without(plain())
    assert not told(run, without(zero))
    assert [name for name, _ in told(run, without(both))] == [name for name, _ in told(run, without(other))]
    assert [name for name, _ in told(run, without(both))] == ["model: conv"]


def test_inputs_that_only_one_side_has() -> None:
    def masked(extra: bool) -> Run:
        side = Side()
        if extra:
            side.output(side.op("square", side.op("sigmoid", side.input(IMAGE + 1, "mask"))))
        side.output(side.op("tanh", convolution(side, side.input(), "conv", KERNEL[:3], BIAS[:3])))
        return pulled(side)

    for a, b, names in (
        (compiled(masked(True)), masked(False), ["n0", "n4"]),
        (masked(False), compiled(masked(True)), ["n0"]),  # the other has no place on side a
    ):
        found, findings = whole_gradients(pair(a, b), {})
        told = [row.name.removeprefix("model: ") for row in found if row.quantity == "gradient"]
        assert told == names and not findings


def test_inputs_inside_tuples_have_none_in_a_compiled_run() -> None:
    run = compiled(plain())
    operations = (replace(run.graph.operations[0], name="batch.0"), *run.graph.operations[1:])
    inside = replace(run, graph=replace(run.graph, operations=operations))
    assert len(rows(plain(), inside)) == 2 and not told(plain(), inside)


def test_runs_that_draw_are_not_held_against_each_other() -> None:
    run = compiled(plain(), {"conv.weight": lambda g: -g})
    operations = list(run.graph.operations)
    operations[2] = replace(operations[2], kind="dropout", attrs={"p": 0.0})
    drawn = replace(run, graph=replace(run.graph, operations=tuple(operations)))
    paired = pair(plain(), drawn)
    assert whole_gradients(paired, {}) == ([], []) and len(whole_notes(paired)) == 1
    assert whole_notes(pair(plain(), run)) == whole_notes(pair(plain(), replace(drawn, whole=None))) == []


def test_drift_is_what_rounding_makes_of_each_gradient() -> None:
    spec = spec_of()
    clean = passes(spec)
    found = gradient_drift(spec, clean, clean.values, set(), {})
    assert set(found) == {"image", "conv.weight", "conv.bias", "again.weight", "again.bias"}
    for name, drift in found.items():
        assert 2**-26 < drift / np.abs(clean.gradients[name]).max() < 2**-17
    assert found == gradient_drift(spec, clean, clean.values, set(), {})
    assert found != gradient_drift(spec, clean, clean.values, set(), {}, seed=1)


def test_drift_is_measured_from_what_was_recorded() -> None:
    spec = spec_of()
    clean = passes(spec)
    off = replace(clean, gradients={**clean.gradients, "conv.bias": clean.gradients["conv.bias"] + np.float32(5)})
    assert gradient_drift(spec, off, off.values, set(), {})["conv.bias"] == pytest.approx(5, rel=1e-4)
    absent = {k: g for k, g in clean.gradients.items() if k != "again.bias"}
    other = replace(clean, gradients={**absent, "image": clean.gradients["image"][:1]})
    assert set(gradient_drift(spec, other, other.values, set(), {})) == {"conv.weight", "conv.bias", "again.weight"}


def test_drift_of_a_shared_parameter_is_that_of_the_sum() -> None:
    spec = spec_of()
    clean = passes(spec)
    summed = clean.gradients["conv.bias"] + clean.gradients["again.bias"]
    both = replace(clean, gradients={**clean.gradients, "conv.bias": summed})
    found = gradient_drift(spec, both, both.values, set(), {"again.bias": "conv.bias"})
    assert "again.bias" not in found and found["conv.bias"] < 2**-17 * np.abs(summed).max()


@pytest.mark.parametrize(("share", "ok"), [(0.9, True), (1.1, False)])
def test_where_rounding_carries_nothing_a_share_of_the_largest_is_allowed(share: float, ok: bool) -> None:
    side = Side()
    side.output(side.op("relu", side.input()))
    run = pulled(side)
    largest = float(np.abs(run.gradients.values[0]).max())

    def off(gradient: Array) -> Array:
        return gradient.astype(np.float64) + share * 2**-20 * largest

    ((row,), findings) = whole_gradients(pair(run, compiled(run, {"image": off})), {})
    assert row.ok is ok and bool(findings) is not ok
    assert row.rounding == pytest.approx(2**-20 * largest)


@pytest.mark.parametrize("exact", [False, True])
def test_drift_is_of_every_bound_on_the_way(exact: bool) -> None:
    """What a relu passes back is exact, so that the drift behind it is that of the product before it."""
    spec = Spec("chain")
    x = spec.input("x", shape=IMAGE.shape)
    spec.output(y=spec.square("y", spec.relu("z", x) if exact else x))
    positive = np.full(IMAGE.shape, 1.3, np.float32)
    values = {"x": positive, "z": positive, "y": positive**2}
    pull = np.ones_like(positive)
    ((_, (gradient, allowed, _)),) = passed("fake", spec.nodes["y"], {}, values, pull, set()).parts()
    side = Backward("fake", {}, values, {"y": pull, "z": gradient, "x": gradient}, {"y": (pull,)})
    drift = gradient_drift(spec, side, values, set(), {})["x"]
    assert 0.8 * allowed.max() < drift <= allowed.max()


def normed(path: str = "conv") -> Run:
    """A convolution whose weight is g v / |v|, with the gradients of g and v beside that of the weight."""
    size = np.sqrt((KERNEL**2).sum((1, 2, 3), keepdims=True))
    tensors = {"g": size, "v": 2 * KERNEL}
    side = Side()
    side.output(side.op("tanh", convolution(side, side.input(), path)))
    run = pulled(side)
    roles = {f"weight_{part}": Tensor(f"{path}.{part}", f"weight_{part}", x.shape) for part, x in tensors.items()}
    made = Made(f"{path}.weight", "weight", Layer(path, roles, "conv2d"), tuple(f"{path}.{part}" for part in "gv"))
    state = {**run.state, **{f"{path}.{part}": x for part, x in tensors.items()}}
    found = gradients_of(made, state, run.gradients.parameters[made.key])
    of_parts = {key: gradient.astype(np.float32) for key, (gradient, _) in found.items()}
    gradients = replace(run.gradients, parameters={**run.gradients.parameters, **of_parts})
    return replace(run, state=state, gradients=gradients, made={1: (made,)})


PARTS = ["gradient of weight_g", "gradient of weight_v"]


def test_of_a_computed_weight_what_it_is_computed_from_is_held() -> None:
    run = normed()
    for sides in ((compiled(run), run), (run, compiled(run))):
        found, findings = whole_gradients(pair(*sides), {})
        assert not findings and [row.quantity for row in found] == ["gradient", "gradient of bias", *PARTS]
        for row, key in zip(found[2:], ("conv.g", "conv.v"), strict=True):
            largest = float(np.abs(run.gradients.parameters[key]).max())
            assert row.max_abs == 0 and row.rounding < 1e-4 * largest
    moved = {"n1": run.values[1] * np.float32(1.01)}
    shaken = whole_gradients(pair(run, compiled(run)), moved)[0]
    assert all(new.rounding > 30 * old.rounding for new, old in zip(shaken[2:], found[2:], strict=True))
    assert all(new.rounding < np.abs(run.gradients.parameters["conv.g"]).max() for new in shaken[2:])


@pytest.mark.parametrize("part", ["g", "v"])
def test_a_compiled_gradient_of_a_computed_weight_that_differs(part: str) -> None:
    run, wrong = normed(), compiled(normed("other"), {f"other.{part}": lambda g: g * np.float32(1.001)})
    found, findings = whole_gradients(pair(run, wrong), {})
    assert [row.quantity for row in found if not row.ok] == [f"gradient of weight_{part}"]
    ((layer, evidence),) = ((finding.layer, finding.evidence) for finding in findings)
    assert layer == "model: conv ~ other" and f"another gradient of weight_{part}" in evidence
    assert not whole_gradients(pair(run, forgotten(compiled(run), f"conv.{part}")), {})[0][-1 if part == "v" else 2].ok


def test_a_weight_that_is_computed_in_another_way_has_no_such_rows() -> None:
    run = normed()
    (made,) = run.made[1]
    roles = {"weight_scale": made.layer.tensors["weight_g"], "weight_raw": made.layer.tensors["weight_v"]}
    other = replace(made, layer=Layer("conv", roles, "conv2d"))
    found, _ = whole_gradients(pair(run, compiled(replace(run, made={1: (other,)}))), {})
    assert [row.quantity for row in found] == ["gradient", "gradient of bias"]


def test_a_computed_weight_to_which_nothing_came_back_has_no_such_rows() -> None:
    run = normed()
    kept = {key: gradient for key, gradient in run.gradients.parameters.items() if key != "conv.weight"}
    bare = compiled(replace(run, gradients=replace(run.gradients, parameters=kept)))
    found, findings = whole_gradients(pair(run, bare), {})
    assert [row.quantity for row in found] == ["gradient", "gradient of bias"] and not findings
