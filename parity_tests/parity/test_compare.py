"""The comparison on a port that errs as planted: clean twins pass, every planted error is caught at its layer."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.parity import runs, verdict
from twinzoo.parity.compare import compare
from twinzoo.parity.inputs import default_inputs
from twinzoo.parity.kernels import KernelAccuracy
from twinzoo.parity.report import ParityReport
from twinzoo.parity.rounding import bound
from twinzoo.ports.reference import evaluate
from twinzoo.zoo.errors import ParityError
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.spec import Spec

Array = NDArray[Any]
Fake = Callable[..., Any]


def run(spec: Spec, a: Any, b: Any) -> ParityReport:
    return compare((spec, a), (spec, b), default_inputs(spec))


def names(report: ParityReport) -> list[str]:
    return [layer.name for layer in report.layers]


def wrong(report: ParityReport) -> list[str]:
    return [layer.name for layer in report.layers if not layer.ok]


def at(place: tuple[int, ...], value: float) -> Callable[[Array], Array]:
    def plant(x: Array) -> Array:
        x = x.copy()
        x[place] = value
        return x

    return plant


def off_by(bounds: float, spec: Spec, node: str) -> Callable[[Array], Array]:
    """Move one element of a layer by a number of its bounds, on the fake port's own path."""

    def plant(x: Array) -> Array:
        state, values = initial_state(spec), dict(default_inputs(spec))
        for step in spec.nodes.values():
            params = {role: state[f"{step.name}.{role}"] for role in step.params}
            given = tuple(values[v.ref] for v in step.inputs)
            (y,) = made = evaluate(step, params, given)
            if step.name == node:
                limit = bound(step, params, given, made)[0][(0,) * y.ndim]
                return at((0,) * x.ndim, y[(0,) * y.ndim] + bounds * limit)(x)
            values[step.name] = y.astype(np.float32)
        raise AssertionError(node)

    return plant


def test_clean_twins_agree(fake: Fake, chain_spec: Spec) -> None:
    report = run(chain_spec, fake("one"), fake("two"))
    assert report.ok
    assert report.first_divergence is None
    assert report.findings == []
    assert names(report) == ["first", "act", "second", "squash", "model: output"]
    assert all(layer.max_abs == 0 and layer.cosine == pytest.approx(1) for layer in report.layers)
    assert all(0 < layer.a.ratio < 1 for layer in report.layers if layer.op in ("conv2d", "tanh"))
    assert report.layers[1].a.ratio == 0  # relu is exact


def test_rounding_accumulates_within_what_the_noise_explains(fake: Fake, chain_spec: Spec) -> None:
    report = run(chain_spec, fake(), "reference")
    for layer in report.layers:
        assert 0 < layer.a.drift < layer.rounding
        assert layer.b.drift == layer.b.ratio == 0
        assert layer.max_abs == pytest.approx(layer.a.drift)


def test_a_changed_weight_is_named(fake: Fake, chain_spec: Spec) -> None:
    plant = {"second.weight": at((1, 0, 2, 1), 0.5)}
    report = run(chain_spec, fake(), fake(weights=plant))
    was = initial_state(chain_spec)["second.weight"][1, 0, 2, 1]
    assert not report.ok
    assert report.first_divergence is not None
    assert report.first_divergence.name == "second"
    (finding,) = report.findings
    assert (finding.layer, finding.cause) == ("second", "weight-value")
    assert finding.evidence == (
        f"second.weight differs in 1 of 72 values, largest |a-b| {abs(np.float32(0.5) - was):.3g} at (1, 0, 2, 1)"
    )
    # each side computes rightly with the weights that it has
    assert all(layer.a.ok and layer.b.ok for layer in report.layers)
    assert wrong(report) == ["second"]


def test_a_weight_that_is_no_number_is_named(fake: Fake, chain_spec: Spec) -> None:
    report = run(chain_spec, fake(), fake(weights={"first.bias": at((0,), np.nan)}))
    assert [(finding.layer, finding.cause) for finding in report.findings] == [("first", "weight-value")]


@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize("node", ["first", "second", "squash"])
def test_a_layer_off_by_ten_bounds_is_caught_on_its_side(fake: Fake, chain_spec: Spec, node: str, side: str) -> None:
    bad, good = fake("bad", values={node: off_by(10, chain_spec, node)}), fake("good")
    report = run(chain_spec, *((bad, good) if side == "a" else (good, bad)))
    assert wrong(report) == [node]
    layer = report.first_divergence
    assert layer is not None
    assert (layer.a.ok, layer.b.ok) == (side == "b", side == "a")
    assert 9 < getattr(layer, side).ratio < 11
    assert getattr(layer, side).index == (0, 0, 0, 0)
    (finding,) = report.findings
    assert (finding.layer, finding.cause) == (node, "unexplained")
    assert f"{side} (bad) is" in finding.evidence
    assert "(good) is right" in finding.evidence


@pytest.mark.parametrize("node", ["first", "second", "squash"])
def test_a_layer_off_by_nine_tenths_of_its_bound_passes(fake: Fake, chain_spec: Spec, node: str) -> None:
    assert run(chain_spec, fake(values={node: off_by(0.9, chain_spec, node)}), fake()).ok


def test_a_bound_that_is_ten_times_too_wide_would_let_it_pass(
    fake: Fake, chain_spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "bound", lambda *a, **k: tuple(20 * limit for limit in bound(*a, **k)))
    assert run(chain_spec, fake(values={"first": off_by(10, chain_spec, "first")}), fake()).ok


@pytest.mark.parametrize(("bounds", "asked"), [(0.05, 0), (0.3, 1), (0.9, 2)])
def test_a_side_near_its_bound_is_held_against_its_own(
    fake: Fake, chain_spec: Spec, monkeypatch: pytest.MonkeyPatch, bounds: float, asked: int
) -> None:
    """Sides with nearly the same inputs share a bound, but not where the answer may hang on the difference; and none
    is asked for where the floor, which costs less, is clear."""
    nodes = []

    def counted(node: Any, *rest: Any, floor: bool, **more: Any) -> Any:
        if not floor:
            nodes.append(node.name)
        return bound(node, *rest, floor=floor, **more)

    monkeypatch.setattr(runs, "bound", counted)
    other = fake(values={"first": off_by(0.8, chain_spec, "first"), "second": off_by(bounds, chain_spec, "second")})
    assert run(chain_spec, fake(), other).ok
    assert nodes.count("second") == asked


def test_every_wrong_layer_is_found_not_only_the_first(fake: Fake, chain_spec: Spec) -> None:
    values = {"act": lambda x: x * np.float32(1.001), "second": lambda x: x + np.float32(1e-3)}
    report = run(chain_spec, fake(), fake(values=values))
    assert wrong(report) == ["act", "second"]
    assert [finding.layer for finding in report.findings] == ["act", "second"]


def test_an_error_in_an_exact_layer_is_wrong_however_small(fake: Fake, chain_spec: Spec) -> None:
    report = run(chain_spec, fake(values={"act": lambda x: np.nextafter(x, np.float32(9))}), fake())
    assert wrong(report) == ["act"]
    assert report.layers[1].a.ratio > 1e9
    assert "where it must be exact" in report.findings[0].evidence


def test_a_nan_is_wrong_where_it_arises_alone(fake: Fake, chain_spec: Spec) -> None:
    report = run(chain_spec, fake(), fake(values={"act": at((0, 1, 2, 3), np.nan)}))
    assert wrong(report) == ["act"]
    assert report.layers[1].b.problem == "nan at (0, 1, 2, 3), where float64 has 0" or report.layers[1].b.problem
    assert np.isinf(report.layers[2].max_abs)  # it spreads, and is not blamed again


def test_the_same_nan_on_both_sides_is_no_difference(fake: Fake, chain_spec: Spec) -> None:
    given = default_inputs(chain_spec)
    given["image"][0, 0, 3, 3] = np.nan
    assert compare((chain_spec, fake()), (chain_spec, fake()), given).ok


def test_swapped_sides_swap_the_blame(fake: Fake, chain_spec: Spec) -> None:
    bad, good = fake("bad", values={"act": lambda x: x * 2}), fake("good")
    one, two = run(chain_spec, bad, good), run(chain_spec, good, bad)
    assert [(layer.a.ok, layer.b.ok) for layer in one.layers] == [(layer.b.ok, layer.a.ok) for layer in two.layers]
    assert (one.a.port, one.b.port) == (two.b.port, two.a.port) == ("bad", "good")
    assert one.findings[0].evidence.startswith("a (bad)")
    assert two.findings[0].evidence.startswith("b (bad)")


def test_a_side_that_feeds_itself_something_else_is_wrong_at_the_first_layer(fake: Fake, chain_spec: Spec) -> None:
    report = run(chain_spec, fake(fed={"image": lambda x: x[:, ::-1].copy()}), fake())
    assert wrong(report) == ["first"]


def test_a_missing_value_is_a_finding_and_hides_nothing_after_it(fake: Fake, chain_spec: Spec) -> None:
    values = {"act": lambda x: None, "squash": lambda x: x + np.float32(1e-3)}
    report = run(chain_spec, fake(), fake(values=values))
    assert wrong(report) == ["act", "squash"]
    assert [(finding.layer, finding.cause) for finding in report.findings[:2]] == [
        ("act", "missing-op"),
        ("squash", "unexplained"),
    ]


def test_a_missing_output_of_the_model_is_a_finding(fake: Fake, chain_spec: Spec) -> None:
    report = run(chain_spec, fake(), fake(outputs={"output": lambda x: None}))
    assert wrong(report) == ["model: output"]
    assert "returned nothing" in report.findings[0].evidence


@pytest.mark.parametrize("reshape", [lambda x: x[:, :, :-1], lambda x: x[0]])
def test_a_wrong_shape_is_wrong(fake: Fake, chain_spec: Spec, reshape: Callable[[Array], Array]) -> None:
    report = run(chain_spec, fake(), fake(outputs={"output": reshape}))
    assert wrong(report) == ["model: output"]
    assert "shape" in report.findings[0].evidence


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_another_dtype_is_a_finding(fake: Fake, chain_spec: Spec, dtype: type) -> None:
    report = run(chain_spec, fake(), fake(values={"act": lambda x: x.astype(dtype)}))
    assert wrong(report)[0] == "act"
    assert report.findings[0].cause == "dtype"
    assert f"dtype {np.dtype(dtype)}, where float32 is right" in report.findings[0].evidence


def test_a_model_that_does_not_do_what_its_layers_do_is_caught(fake: Fake, chain_spec: Spec) -> None:
    report = run(chain_spec, fake(), fake(outputs={"output": at((0, 1, 5, 5), 0.9)}))
    assert wrong(report) == ["model: output"]
    assert "the network as a whole" in report.findings[0].evidence


@pytest.mark.parametrize(("roundings", "ok"), [(1.8, True), (2.2, False)])
def test_a_model_may_differ_from_its_layers_by_two_accumulated_roundings(
    fake: Fake, chain_spec: Spec, roundings: float, ok: bool
) -> None:
    step = roundings * run(chain_spec, fake(), fake()).layers[-1].rounding
    plant: Callable[[Array], Array] = lambda x: x.astype(np.float64) + step  # noqa: E731
    report = run(chain_spec, fake(), fake("reference", outputs={"output": plant}))
    assert (report.layers[-1].b.ratio <= 1) is ok


def test_two_runs_give_the_same_numbers(fake: Fake, loss_spec: Spec) -> None:
    assert run(loss_spec, fake(), "reference").layers == run(loss_spec, fake(), "reference").layers


def test_called_networks_are_judged_layer_by_layer(fake: Fake, loss_spec: Spec) -> None:
    report = run(loss_spec, fake(), fake())
    assert report.ok
    inner = ["first", "act", "second", "squash"]
    seen, wanted = [f"seen.{name}" for name in inner], [f"wanted.{name}" for name in inner]
    assert names(report) == [*seen, "seen", *wanted, "wanted", "loss", "model: loss"]


def test_an_error_inside_a_called_network_is_named(fake: Fake, loss_spec: Spec) -> None:
    report = run(loss_spec, fake(values={"act": lambda x: x * 2}), fake())
    assert wrong(report) == ["seen.act", "wanted.act"]
    report = run(loss_spec, fake(values={"wanted": lambda x: x + 1}), fake())
    assert wrong(report) == ["wanted"]


def test_a_weight_of_a_called_network_is_one_finding_at_its_first_call(fake: Fake, loss_spec: Spec) -> None:
    report = run(loss_spec, fake(), fake(weights={"features.first.weight": lambda w: np.full_like(w, 0.1)}))
    assert [(finding.layer, finding.cause) for finding in report.findings] == [("seen.first", "weight-value")]
    assert wrong(report) == ["seen.first", "wanted.first"]


def test_a_call_that_was_given_nothing_is_wrong_inside_too(fake: Fake, chain_spec: Spec) -> None:
    s = Spec("outer")
    x = s.relu("before", s.input("image", channels=3, example=12))
    s.output(output=s.call("inner", s.role("network", chain_spec), x)[0])
    report = run(s, fake(values={"before": lambda x: None}), fake())
    assert wrong(report)[0] == "before"
    assert "inner.first" in wrong(report)


def test_indices_are_compared_exactly(fake: Fake) -> None:
    s = Spec("best", doc="rows: (N, 6)")
    best = s.topk("best", s.input("rows", shape=("N", 6)), 2, axis=1)
    s.output(values=best, indices=s.values("best")[1])
    assert run(s, fake(), "reference").ok
    report = run(s, fake(), fake(values={"best:1": lambda x: x + 100}))
    assert wrong(report) == ["best:1", "model: indices"]


def test_a_wrong_index_does_not_stop_the_comparison(fake: Fake) -> None:
    s = Spec("pick")
    x = s.input("rows", shape=(1, 6))
    s.topk("best", x, 2, axis=1)
    s.output(output=s.gather("taken", x, s.reshape("flat", s.values("best")[1], (2,)), axis=1))
    report = run(s, fake(values={"best:1": lambda x: x + 100}), fake())
    assert report.first_divergence is not None
    assert report.first_divergence.name == "best:1"


def test_a_measured_kernel_is_allowed_and_listed_where_it_matters(
    fake: Fake, chain_spec: Spec, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels = {("coarse", "tanh"): KernelAccuracy(absolute=1e-3, relative=0.0, note="measured 1e-3")}
    monkeypatch.setattr(verdict, "KERNELS", kernels)
    values = {"squash": lambda x: x + np.float32(5e-4)}
    report = run(chain_spec, fake("coarse", values=values), fake())
    assert report.ok
    assert [(k.port, k.op, k.layers) for k in report.kernels] == [("coarse", "tanh", ("squash",))]
    assert "coarse tanh at squash: allowed 0.001 beyond rounding (measured 1e-3)" in str(report)
    assert run(chain_spec, fake("coarse"), fake()).kernels == []
    assert not run(chain_spec, fake("other", values=values), fake()).ok  # nobody else has the allowance
    beyond = run(chain_spec, fake("coarse", values={"squash": lambda x: x + np.float32(2e-3)}), fake())
    assert (beyond.ok, beyond.kernels) == (False, [])
    assert not run(chain_spec, fake("coarse", values={"first": lambda x: x + np.float32(5e-4)}), fake()).ok


def test_a_spec_without_layers_is_not_agreed_upon(fake: Fake) -> None:
    s = Spec("nothing")
    s.input("image", channels=3)
    assert not run(s, fake(), fake()).ok


def test_other_graphs_are_refused_by_their_first_difference(fake: Fake, chain_spec: Spec) -> None:
    s = Spec("chain")
    x = s.input("image", channels=3)
    s.output(output=s.relu("act", s.conv2d("first", x, 4, kernel=3, padding=2)))
    with pytest.raises(ParityError, match="differ at first: .*padding") as caught:
        compare((chain_spec, fake()), (s, fake()), default_inputs(chain_spec))
    assert "\n" not in str(caught.value)


def test_other_graphs_of_a_called_network_are_refused(fake: Fake, chain_spec: Spec, loss_spec: Spec) -> None:
    narrow = Spec("chain")
    x = narrow.input("image", channels=3)
    narrow.output(output=narrow.conv2d("first", x, 2, kernel=3, padding=1))
    s = Spec("distance")
    role = s.role("features", narrow)
    image, target = s.input("image", channels=3), s.input("target", channels=3)
    s.output(loss=s.l1_loss("loss", s.call("seen", role, image)[0], s.call("wanted", role, target)[0]))
    with pytest.raises(ParityError, match="differ at features: first: "):
        compare((loss_spec, fake()), (s, fake()), default_inputs(loss_spec))


@pytest.mark.parametrize("longer", ["a", "b"])
def test_a_graph_that_goes_on_is_another(fake: Fake, longer: str) -> None:
    specs = []
    for tail in (False, True):
        s = Spec("plain")
        x = s.relu("act", s.input("image", channels=3, example=4))
        if tail:
            s.tanh("more", x)
        s.output(output=x)
        specs.append(s)
    a, b = specs if longer == "b" else specs[::-1]
    with pytest.raises(ParityError, match="more"):
        compare((a, fake()), (b, fake()), default_inputs(a))


def test_a_description_makes_no_difference(fake: Fake, chain_spec: Spec) -> None:
    copy = chain_spec.tapped()
    copy.outputs, copy.doc, copy.init = chain_spec.outputs, "other words", "torch"
    assert compare((chain_spec, fake()), (copy, fake()), default_inputs(chain_spec)).ok


@pytest.mark.parametrize("asked", [{"grad": True}, {"train": True}, {"steps": 3}, {"loss": abs}])
def test_what_needs_live_models_says_so(fake: Fake, chain_spec: Spec, asked: dict[str, Any]) -> None:
    with pytest.raises(ParityError, match="a is on port fake, which has no live models"):
        compare((chain_spec, fake()), (chain_spec, fake()), default_inputs(chain_spec), **asked)


def test_what_is_no_model_is_refused(fake: Fake, chain_spec: Spec) -> None:
    with pytest.raises(
        ParityError, match=r"b is a builtins.object: must be an nn.Module, an nn.Cell, or \(spec, port\)"
    ):
        compare((chain_spec, fake()), object(), default_inputs(chain_spec))


def test_reference_models_are_twins_too(fake: Fake, chain_spec: Spec) -> None:
    from twinzoo.ports.reference import PORT

    model = PORT.build(chain_spec)
    PORT.load(model, initial_state(chain_spec))
    report = compare(model, (chain_spec, fake()), default_inputs(chain_spec)["image"])
    assert report.ok
    assert report.a.weights == "the model's own"
