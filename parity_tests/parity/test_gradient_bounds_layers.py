"""Float32 gradients of clean layers stay within their bounds, on both frameworks; what is wrong by more does not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.parity.bounds.gradients import layers, spatial, structure
from twinzoo.parity.bounds.sums import U
from twinzoo.parity.gradient_rounding import GRADIENT_BOUNDS, gradient_bound
from twinzoo.parity.op_cases import CASES, NODE, case_inputs, case_spec, case_state
from twinzoo.ports.port import Port
from twinzoo.ports.reference import evaluate
from twinzoo.ports.reference.backward.rule import Pulled
from twinzoo.ports.reference.pull import pull
from twinzoo.zoo.spec import OPS, Spec

Array = NDArray[Any]

PORTS = ("torch", "mindspore")
SCALES = (1e-3, 1.0, 1e3)
OURS = (*layers.RULES, *spatial.RULES, *structure.RULES)


def _port(name: str) -> Port:
    pytest.importorskip(name)
    port: Port = import_module(f"twinzoo.ports.{name}.port").PORT
    return port


@dataclass
class Run:
    """One node with its numbers, and the float64 gradients and their bounds."""

    spec: Spec
    state: dict[str, Array]
    inputs: dict[str, Array]
    gradient: Array

    def __post_init__(self) -> None:
        node, params = self.spec.nodes[NODE], {name.partition(".")[2]: value for name, value in self.state.items()}
        arrays = tuple(self.inputs[name] for name in self.spec.inputs)
        outputs = evaluate(node, params, arrays)
        self.pulled = pull(node, params, arrays, outputs, self.gradient)
        self.bounds = gradient_bound(node, params, arrays, outputs, self.gradient, 0.0, self.pulled)

    def by(self, port: Port) -> dict[str, Array]:
        """The port's gradients, by input and parameter."""
        model = port.build(self.spec)
        port.load(model, self.state)
        return port.gradients(model, self.inputs, {next(iter(self.spec.outputs)): self.gradient})

    def shares(self, got: dict[str, Array]) -> dict[str, float]:
        """The largest error over its bound, for each gradient by its name in the spec."""
        wanted, allowed = self.named(self.pulled), self.named(self.bounds)
        assert got.keys() == wanted.keys() == allowed.keys()
        found = {}
        for name, exact in wanted.items():
            assert allowed[name].shape == exact.shape == got[name].shape
            assert np.all(np.isfinite(allowed[name])) and np.all(allowed[name] > 0)
            found[name] = float(np.max(np.abs(got[name] - exact) / allowed[name]))
        return found

    def named(self, made: Pulled) -> dict[str, Array]:
        """The entries of `made` that are there, by input and parameter."""
        by_input = {name: x for name, x in zip(self.spec.inputs, made.inputs, strict=True) if x is not None}
        return by_input | {f"{NODE}.{role}": x for role, x in made.params.items()}


def _gradient(shape: tuple[int, ...], seed: int, scale: float = 1.0) -> Array:
    return (np.random.default_rng([seed, 8]).standard_normal(shape) * scale).astype(np.float32)


def _case_run(case: Any, seed: int, scale: float) -> Run:
    spec, state, inputs = case_spec(case), case_state(case, seed), case_inputs(case, seed)
    inputs = {n: x * np.float32(scale) if x.dtype == np.float32 else x for n, x in inputs.items()}
    params = {name.partition(".")[2]: value for name, value in state.items()}
    shape = evaluate(spec.nodes[NODE], params, tuple(inputs[name] for name in spec.inputs))[0].shape
    return Run(spec, state, inputs, _gradient(shape, seed, scale))


def test_every_op_has_a_bound() -> None:
    assert set(GRADIENT_BOUNDS) == set(OPS)


@pytest.mark.parametrize("op", OURS)
@pytest.mark.parametrize("name", PORTS)
def test_clean_gradients_are_within_and_near_the_bound(name: str, op: str) -> None:
    """At most 1 everywhere; and not far below it somewhere, or the bound would see nothing."""
    port = _port(name)
    largest: dict[str, float] = {}
    for case in (case for case in CASES if case.op == op):
        for seed, scale in ((0, 1.0), (1, SCALES[0]), (2, SCALES[2])):
            run = _case_run(case, seed, scale)
            for which, share in run.shares(run.by(port)).items():
                assert share <= 1, (case.id, seed, scale, which)
                largest[which] = max(share, largest.get(which, 0.0))
    for which, share in largest.items():
        assert share == 0 or share >= 0.05, f"{which}: the bound is {1 / share:.0f} times wider than the errors"


@dataclass(frozen=True)
class Layer:
    """A layer of the size that models have, or nearly."""

    op: str
    shape: tuple[int, ...]
    attrs: dict[str, Any]


LAYERS = (
    Layer("conv2d", (1, 3, 64, 64), {"channels": 16, "kernel": 7, "padding": 3}),
    Layer("conv2d", (4, 32, 24, 24), {"channels": 32, "kernel": 3, "padding": 1}),
    Layer("conv2d", (1, 128, 14, 14), {"channels": 64, "kernel": 4, "stride": 2, "padding": 1, "bias": False}),
    Layer("conv2d", (2, 16, 32, 32), {"channels": 16, "kernel": 3, "groups": 16}),
    Layer("conv_transpose2d", (1, 128, 8, 8), {"channels": 64, "kernel": 4, "stride": 2, "padding": 1}),
    Layer("linear", (4, 256, 64), {"features": 32}),
    Layer("pad2d", (1, 4, 32, 32), {"padding": (30, 30, 30, 30), "mode": "reflect"}),
    Layer("interpolate", (1, 4, 60, 50), {"size": (128, 128), "mode": "bilinear"}),
    Layer("interpolate", (1, 4, 8, 8), {"size": (96, 96)}),
    Layer("adaptive_avg_pool2d", (1, 4, 60, 50), {"size": 7}),
    Layer("cumsum", (4, 1000), {"axis": 1}),
)

KINDS: dict[str, Any] = {
    "even": lambda random, shape: random.standard_normal(shape),
    "rectified": lambda random, shape: np.maximum(random.standard_normal(shape), 0),
    "constant": lambda random, shape: np.full(shape, 0.1),
    "signs": lambda random, shape: np.sign(random.standard_normal(shape)) / np.prod(shape),
    "up and down": lambda random, shape: (
        random.random(shape) * np.where(np.arange(shape[-2]) * 2 < shape[-2], 1, -1)[:, None]
    ),
    "eight bits": lambda random, shape: random.integers(0, 256, shape) / 255,
    "channels apart": lambda random, shape: (
        random.standard_normal(shape) * np.logspace(-30, 0, shape[1]).reshape(-1, *(1,) * (len(shape) - 2))
    ),
}


def _layer_run(layer: Layer, kind: str = "even", gradient: str = "even", seed: int = 5) -> Run:
    random, spec = np.random.default_rng(seed), Spec("layer")
    spec.output(y=getattr(spec, layer.op)(NODE, spec.input("x", shape=layer.shape), **layer.attrs))
    state = {
        name: (random.standard_normal(param.shape) * (2 / np.prod(param.shape[1:])) ** 0.5).astype(np.float32)
        for name, param in spec.params.items()
    }
    shape = spec.concrete(spec.outputs["y"], {})
    x, g = (KINDS[k](random, s).astype(np.float32) for k, s in ((kind, layer.shape), (gradient, shape)))
    return Run(spec, state, {"x": x}, g)


@pytest.mark.parametrize(
    "kinds",
    [
        ("even", "even"),
        ("rectified", "signs"),
        ("constant", "constant"),
        ("up and down", "rectified"),
        ("eight bits", "constant"),
        ("even", "channels apart"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: f"{layer.op}-{'x'.join(map(str, layer.shape))}")
@pytest.mark.parametrize("name", PORTS)
def test_clean_layers_use_part_of_the_bound(name: str, layer: Layer, kinds: tuple[str, str]) -> None:
    run = _layer_run(layer, *kinds)
    shares = run.shares(run.by(_port(name)))
    assert max(shares.values()) <= 0.9, shares


def test_gradients_of_channels_far_apart_are_judged_apart() -> None:
    """Squares of what is 1e-25 of the largest are nothing in float32."""
    run = _layer_run(LAYERS[1], "even", "channels apart")
    wanted, allowed = run.pulled.params["weight"], run.bounds.params["weight"]
    sizes = [np.abs(a).max((1, 2, 3)) for a in (wanted, allowed)]
    assert np.all(sizes[1] < 1e-3 * sizes[0]) and np.all(sizes[1] > 1e-7 * sizes[0])


def test_pixels_far_apart_are_not_accused() -> None:
    """Below the square root of the smallest float32, relative to the largest, a bound is of that size."""
    layer = Layer("conv2d", (1, 4, 12, 12), {"channels": 4, "kernel": 3, "padding": 1})
    run = _layer_run(layer)
    run.gradient[..., 6:, :] *= np.float32(1e-28)
    run.__post_init__()
    by_input = run.pulled.inputs[0]
    assert by_input is not None
    assert run.shares(run.named(run.pulled) | {"x": by_input * (1 + 8 * U)})["x"] <= 1


@pytest.mark.parametrize("op", OURS)
def test_a_gradient_that_is_off_by_a_thousandth_shows(op: str) -> None:
    for case in (case for case in CASES if case.op == op):
        run = _case_run(case, 0, 1.0)
        other = Run(run.spec, run.state, run.inputs, run.gradient * 1.001)
        for which, share in run.shares(run.named(other.pulled)).items():
            assert share > 1 or which == "like", (case.id, which)  # only the shape of `like` is used


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if layer.op in ("conv2d", "conv_transpose2d", "linear")])
def test_one_weight_whose_gradient_is_off_shows(layer: Layer) -> None:
    run = _layer_run(layer)
    for role, gradient in run.pulled.params.items():
        place = np.unravel_index(int(np.argmax(np.abs(gradient))), gradient.shape)
        other = gradient.copy()
        other[place] *= 1.001
        assert run.shares(run.named(run.pulled) | {f"{NODE}.{role}": other})[f"{NODE}.{role}"] > 1


@pytest.mark.parametrize("layer", [layer for layer in LAYERS if layer.op in ("conv2d", "conv_transpose2d", "linear")])
@pytest.mark.parametrize("lost", ["last row", "last channel", "one element"])
def test_a_lost_term_shows(layer: Layer, lost: str) -> None:
    """What a kernel would give that forgets part of the gradient."""
    run = _layer_run(layer)
    part = run.gradient.copy()
    place = {"last row": (..., -1, slice(None)), "last channel": (slice(None), -1), "one element": (0, 0, -1)}[lost]
    part[place] = 0
    shares = run.shares(run.named(Run(run.spec, run.state, run.inputs, part).pulled))
    assert min(shares.values()) > 10


_IMAGE = (2, 4, 12, 12)
_BUGS: dict[str, tuple[str, tuple[int, ...], dict[str, Any], dict[str, Any]]] = {
    "dilation": ("conv2d", _IMAGE, {"channels": 4, "kernel": 3, "padding": 1}, {"padding": (2, 2), "dilation": (2, 2)}),
    "dilation-transposed": (
        "conv_transpose2d",
        _IMAGE,
        {"channels": 4, "kernel": 3, "padding": 1},
        {"padding": (2, 2), "dilation": (2, 2)},
    ),
    "pad-mode": ("pad2d", _IMAGE, {"padding": (1, 1, 1, 1), "mode": "reflect"}, {"mode": "replicate"}),
    "zeros": ("pad2d", _IMAGE, {"padding": (1, 1, 1, 1), "mode": "reflect"}, {"mode": "zero"}),
    "count-include-pad": ("avg_pool2d", _IMAGE, {"kernel": 3, "padding": 1}, {"count_include_pad": False}),
    "align-corners": ("interpolate", _IMAGE, {"size": (24, 24), "mode": "bilinear"}, {"align_corners": True}),
    "resize-mode": ("interpolate", _IMAGE, {"size": (24, 24)}, {"mode": "bilinear"}),
    "direction": ("cumsum", (4, 6, 6), {"axis": 1}, {"axis": 2}),
    "flip": ("flip", _IMAGE, {"axis": 2}, {"axis": 3}),
    "order": ("transpose", (6, 6), {"order": (1, 0)}, {"order": (0, 1)}),
    "start": ("slice", (6, 6), {"axis": 1, "stop": 5}, {"start": 1, "stop": 6}),
}


@pytest.mark.parametrize("bug", _BUGS)
def test_a_gradient_of_another_op_shows(bug: str) -> None:
    op, shape, attrs, changed = _BUGS[bug]
    run = _layer_run(Layer(op, shape, attrs))
    node = run.spec.nodes[NODE]
    params = {role: run.state[f"{NODE}.{role}"] for role in node.params}
    given = (run.inputs["x"],)
    wrong = replace(node, attrs={**node.attrs, **changed})
    made = pull(wrong, params, given, evaluate(node, params, given), run.gradient)
    assert max(run.shares(run.named(made)).values()) > 10


def _one(op: str, x: Array, gradient: Array, **attrs: Any) -> Run:
    spec = Spec("one")
    spec.output(y=getattr(spec, op)(NODE, spec.input("x", shape=x.shape), **attrs))
    return Run(spec, {}, {"x": x.astype(np.float32)}, gradient.astype(np.float32))


def test_of_equal_numbers_any_may_take_the_gradient() -> None:
    """And only of equal ones: where a window, or a choice of the best, has no ties nothing may move."""
    x = np.array([[[[1.0, 1.0, 3.0, 4.0], [0.0, 1.0, 2.0, 1.0]]]])
    run = _one("max_pool2d", x, np.array([[[[5.0, 7.0]]]]), kernel=2)
    for other in ([[0, 5, 0, 7], [0, 0, 0, 0]], [[0, 0, 0, 7], [0, 5, 0, 0]], [[2.5, 2.5, 0, 7], [0, 0, 0, 0]]):
        assert run.shares({"x": np.array([[other]], float)})["x"] <= 1
    for other in ([[0, 0, 0, 7], [5, 0, 0, 0]], [[5, 0, 7, 0], [0, 0, 0, 0]]):
        assert run.shares({"x": np.array([[other]], float)})["x"] > 1
    run = _one("topk", np.array([[2.0, 1.0, 1.0, 0.0]]), np.array([[3.0, 5.0]]), k=2)
    assert run.shares({"x": np.array([[3.0, 0, 5, 0]])})["x"] <= 1
    assert run.shares({"x": np.array([[5.0, 3, 0, 0]])})["x"] > 1
    assert run.shares({"x": np.array([[3.0, 0, 0, 5]])})["x"] > 1


@pytest.mark.parametrize("size, count, at", [(20, 12, 9), (6, 12, 4), (9, 12, 4)])
def test_nearest_may_stray_only_where_a_place_is_rounded_down(size: int, count: int, at: int) -> None:
    """9 * 20 / 12 = 15 is below it where float32 divides by 12 / 20; a half and three quarters are exact."""
    run = _one(
        "interpolate", np.zeros((1, 1, size, 1)), np.arange(1.0, 1 + count).reshape(1, 1, count, 1), size=(count, 1)
    )
    other = run.named(run.pulled)["x"].copy()
    other[0, 0, at * size // count] -= run.gradient[0, 0, at]
    other[0, 0, at * size // count - 1] += run.gradient[0, 0, at]
    assert (run.shares({"x": other})["x"] <= 1) == (size == 20)


@pytest.mark.parametrize("size, count", [(20, 12), (14, 2), (28, 8), (41, 123), (7, 21)])
@pytest.mark.parametrize("name", PORTS)
def test_nearest_of_any_sizes_is_clean(name: str, size: int, count: int) -> None:
    random = np.random.default_rng(1)
    run = _one("interpolate", np.zeros((1, 2, size, 3)), random.standard_normal((1, 2, count, 4)), size=(count, 4))
    assert run.shares(run.by(_port(name)))["x"] <= 1
