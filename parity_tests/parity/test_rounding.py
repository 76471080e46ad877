"""Clean layers of every port stay within the rounding bound; what is wrong by more than rounding does not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.parity.kernels import KERNELS
from twinzoo.parity.op_cases import CASES, NODE, OpCase, case_inputs, case_spec, case_state
from twinzoo.parity.rounding import bound
from twinzoo.ports.port import Port
from twinzoo.ports.reference import evaluate
from twinzoo.zoo.spec import OPS, Spec

Array = NDArray[Any]

PORTS = ("torch", "mindspore")
SCALES = (1e-3, 1.0, 1e3)
UNSCALED = ("exp", "pow", "cross_entropy")
"""Ops whose outputs overflow, or whose inputs are labels."""


def _port(name: str) -> Port:
    pytest.importorskip(name)
    port: Port = import_module(f"twinzoo.ports.{name}.port").PORT
    return port


def _share(port: str, node: Any, params: Any, inputs: tuple[Array, ...], got: list[Array], **how: Any) -> float:
    """The largest error over what is allowed, the port's kernel included."""
    outputs = evaluate(node, params, inputs, **how)
    how.pop("draws", None)
    known = KERNELS.get((port, node.op))
    worst = 0.0
    for y, wanted, allowed in zip(got, outputs, bound(node, params, inputs, outputs, **how), strict=True):
        if known:
            allowed = allowed + known.absolute + known.relative * np.abs(wanted)
        error = np.abs(y.astype(np.float64) - wanted)
        assert allowed.shape == wanted.shape and np.all(np.isfinite(allowed))
        worst = max(worst, float(np.max(np.divide(error, allowed, where=error > 0, out=np.zeros(error.shape)))))
    return worst


def _case_share(port: Port, case: OpCase, seed: int, scale: float) -> float:
    spec, state, inputs = case_spec(case), case_state(case, seed), case_inputs(case, seed)
    for name, array in inputs.items():
        if array.dtype == np.float32 and name in spec.inputs and name != "target":
            inputs[name] = array * np.float32(scale)
    model = port.build(spec)
    port.load(model, state)
    got = list(port.run(model, inputs, train=case.train).values())
    node, params = spec.nodes[NODE], {name.partition(".")[2]: value for name, value in state.items()}
    draws = {suffix: inputs[f"{NODE}_{suffix}"] for suffix in node.draws if case.fed}
    given = tuple(inputs[name] for name in spec.inputs)
    return _share(port.name, node, params, given, got, train=case.train, draws=draws)


@pytest.mark.parametrize("op", OPS)
@pytest.mark.parametrize("name", PORTS)
def test_clean_ops_are_within_and_near_the_bound(name: str, op: str) -> None:
    """At most 1 everywhere; and not far below it somewhere, or the bound would see nothing."""
    port = _port(name)
    shares = [
        _case_share(port, case, seed, scale)
        for case in CASES
        for seed in (0, 1)
        for scale in ((1.0,) if op in UNSCALED else SCALES)
        if case.op == op
    ]
    assert max(shares) <= 1
    exact = max(shares) == 0
    assert exact or max(shares) >= 0.05, f"{op}: the bound is {1 / max(shares):.0f} times wider than the errors"


@dataclass(frozen=True)
class Layer:
    """A layer of the size that models have."""

    op: str
    shape: tuple[int, ...]
    attrs: dict[str, Any]
    train: bool = False
    offset: float = 0.0


LAYERS = (
    Layer("conv2d", (1, 3, 96, 96), {"channels": 32, "kernel": 7, "padding": 3}),
    Layer("conv2d", (1, 64, 48, 48), {"channels": 64, "kernel": 3, "padding": 1}),
    Layer("conv2d", (1, 512, 16, 16), {"channels": 256, "kernel": 3, "padding": 1}),
    Layer("conv2d", (1, 512, 14, 14), {"channels": 256, "kernel": 4, "stride": 2, "padding": 1, "bias": False}),
    Layer("conv_transpose2d", (1, 512, 8, 8), {"channels": 256, "kernel": 4, "stride": 2, "padding": 1}),
    Layer(
        "conv_transpose2d",
        (1, 128, 24, 24),
        {"channels": 64, "kernel": 3, "stride": 2, "padding": 1, "output_padding": 1},
    ),
    Layer("linear", (8, 4096), {"features": 256}),
    Layer("matmul", (4, 256, 300), {}),
    Layer("batch_norm", (2, 16, 64, 64), {}),
    Layer("batch_norm", (2, 16, 64, 64), {}, train=True),
    Layer("batch_norm", (2, 16, 64, 64), {}, train=True, offset=30.0),
    Layer("instance_norm", (2, 16, 64, 64), {"affine": True}),
    Layer("instance_norm", (2, 16, 64, 64), {"affine": True}, offset=100.0),
    Layer("group_norm", (2, 16, 32, 32), {"groups": 4}, offset=10.0),
    Layer("layer_norm", (8, 64, 256), {}),
    Layer("mean", (2, 3, 256, 256), {}),
    Layer("var", (2, 3, 128, 128), {"axes": (2, 3)}, offset=10.0),
    Layer("adaptive_avg_pool2d", (1, 8, 120, 100), {"size": 7}),
    Layer("interpolate", (1, 4, 90, 70), {"size": (224, 224), "mode": "bilinear"}),
)


def _photo(shape: tuple[int, ...], random: np.random.Generator) -> Array:
    """A photograph; more channels than three are random mixtures of its own, without what is below zero."""
    data = pytest.importorskip("skimage.data")
    picture = np.moveaxis(data.astronaut(), 2, 0)[:, : shape[-2], : shape[-1]].astype(np.float32) / 255
    if shape[1] != 3:
        mixed = np.einsum("oc,chw->ohw", random.standard_normal((shape[1], 3)), picture)
        picture = np.maximum(mixed, 0).astype(np.float32)
    return np.broadcast_to(picture, shape).copy()


def _layer(layer: Layer, random: np.random.Generator, photo: bool) -> tuple[Any, dict[str, Array], tuple[Array, ...]]:
    """The node, its parameters by role and its inputs."""
    if photo:
        inputs = [_photo(layer.shape, random)]
    else:
        inputs = [(random.standard_normal(layer.shape) + layer.offset).astype(np.float32)]
    if layer.op == "matmul":
        inputs.append(random.standard_normal((layer.shape[-1], 64)).astype(np.float32))
    spec = Spec("layer")
    values = [spec.input(f"x{i}", shape=x.shape) for i, x in enumerate(inputs)]
    spec.output(y=getattr(spec, layer.op)("op", *values, **layer.attrs))
    params = {}
    for role, param in spec.nodes["op"].params.items():
        spread = (2 / np.prod(param.shape[1:])) ** 0.5
        params[role] = (random.standard_normal(param.shape) * spread).astype(np.float32)
    if "running_var" in params:
        params["running_var"] = np.abs(params["running_var"]) + np.float32(0.5)
    return spec, params, tuple(inputs)


def _runs() -> Iterator[Any]:
    for layer in LAYERS:
        kinds = (False, True) if len(layer.shape) == 4 and not layer.offset else (False,)
        for photo in kinds:
            label = f"{layer.op}-{'x'.join(map(str, layer.shape))}-{'photo' if photo else f'{layer.offset:g}'}"
            yield pytest.param(layer, photo, id=label + ("-train" if layer.train else ""))


@pytest.mark.parametrize("layer, photo", list(_runs()))
@pytest.mark.parametrize("name", PORTS)
def test_clean_layers_use_part_of_the_bound(name: str, layer: Layer, photo: bool) -> None:
    port, random = _port(name), np.random.default_rng(5)
    spec, params, inputs = _layer(layer, random, photo)
    model = port.build(spec)
    port.load(model, {f"op.{role}": value for role, value in params.items()})
    got = port.run(model, dict(zip(spec.inputs, inputs, strict=True)), train=layer.train)
    share = _share(name, spec.nodes["op"], params, inputs, list(got.values()), train=layer.train)
    assert share <= 0.9


def _planted(node: Any, wrong: Any, params: Any, other: Any, inputs: tuple[Array, ...], train: bool = False) -> float:
    """How far beyond the bound the float32 output of another node, or of other parameters, is."""
    (got,) = evaluate(wrong, other, inputs, train=train)
    return _share("planted", node, params, inputs, [got.astype(np.float32)], train=train)


_IMAGE = (2, 8, 24, 24)
_BUGS: dict[str, tuple[str, tuple[int, ...], dict[str, Any], dict[str, Any]]] = {
    "eps-batch": ("batch_norm", _IMAGE, {}, {"eps": 1e-3}),
    "eps-instance": ("instance_norm", _IMAGE, {}, {"eps": 1e-3}),
    "eps-group": ("group_norm", _IMAGE, {"groups": 2}, {"eps": 1e-3}),
    "eps-layer-mindspore-default": ("layer_norm", (2, 64, 36), {}, {"eps": 1e-7}),
    "groups": ("group_norm", _IMAGE, {"groups": 2}, {"groups": 4}),
    "norm-kind": ("layer_norm", (2, 8, 24), {"affine": False}, {"axes": 2}),
    "variance": ("var", _IMAGE, {}, {"correction": 0}),
    "std": ("std", _IMAGE, {"axes": (2, 3)}, {"correction": 0}),
    "slope": ("leaky_relu", _IMAGE, {"slope": 0.2}, {"slope": 0.2001}),
    "gelu": ("gelu", _IMAGE, {}, {"approximate": "tanh"}),
    "elu": ("elu", _IMAGE, {}, {"alpha": 1.001}),
    "dilation": ("conv2d", _IMAGE, {"channels": 4, "kernel": 3, "padding": 1}, {"padding": 2, "dilation": 2}),
    "align-corners": ("interpolate", _IMAGE, {"size": (48, 48), "mode": "bilinear"}, {"align_corners": True}),
    "resize-mode": ("interpolate", _IMAGE, {"size": (48, 48), "mode": "bilinear"}, {"mode": "nearest"}),
    "pad-mode": ("pad2d", _IMAGE, {"padding": (1, 1, 1, 1)}, {"mode": "reflect"}),
    "count-include-pad": ("avg_pool2d", _IMAGE, {"kernel": 3, "padding": 1}, {"count_include_pad": False}),
    "axis": ("softmax", (4, 6, 6), {}, {"axis": 2}),
    "axis-log": ("log_softmax", (4, 6, 6), {}, {"axis": 2}),
    "axis-norm": ("l2_normalize", (4, 6, 6), {}, {"axis": 2}),
    "direction": ("cumsum", (4, 6, 6), {"axis": 1}, {"axis": 2}),
    "scale": ("affine", _IMAGE, {"scale": 0.5, "shift": 0.5}, {"scale": 0.500001}),
    "offset": ("affine", _IMAGE, {"scale": 0.5, "shift": 0.5}, {"shift": 0.500001}),
    "deviation": ("standardize", (2, 2, 8, 8), {"mean": (0.5, 0.5), "std": (0.229, 0.224)}, {"std": (0.23, 0.224)}),
    "order": ("transpose", (6, 6), {"order": (0, 1)}, {"order": (1, 0)}),
    "flip": ("flip", _IMAGE, {"axis": 2}, {"axis": 3}),
    "clamp": ("clamp", _IMAGE, {"low": -0.5}, {"low": -0.5001}),
    "exponent": ("pow", (64,), {"exponent": 2.0}, {"exponent": 2.0001}),
}


@pytest.mark.parametrize("bug", _BUGS)
def test_a_wrong_attribute_is_beyond_rounding(bug: str) -> None:
    op, shape, attrs, changed = _BUGS[bug]
    random = np.random.default_rng(9)
    spec, params, inputs = _layer(Layer(op, shape, attrs), random, False)
    if op == "pow":
        inputs = (np.abs(inputs[0]),)
    wrong = _layer(Layer(op, shape, attrs | changed), random, False)[0].nodes["op"]
    node = spec.nodes["op"]
    assert _planted(node, node, params, params, inputs) <= 1
    other = params if wrong.params.keys() == params.keys() else {}
    assert _planted(node, replace(node, attrs=wrong.attrs), params, other or params, inputs) > 1.5


_WEIGHTS: dict[str, tuple[Layer, str, float]] = {
    "one weight of a small layer": (Layer("conv2d", (1, 3, 16, 16), {"channels": 4, "kernel": 3}), "weight", 1e-5),
    "one weight of a large layer": (Layer("conv2d", (1, 256, 16, 16), {"channels": 8, "kernel": 3}), "weight", 1e-3),
    "one weight, transposed": (
        Layer("conv_transpose2d", (1, 64, 8, 8), {"channels": 8, "kernel": 4, "stride": 2, "padding": 1}),
        "weight",
        3e-4,
    ),
    "one bias": (Layer("conv2d", (1, 64, 16, 16), {"channels": 4, "kernel": 3}), "bias", 3e-4),
    "one weight of a linear layer": (Layer("linear", (16, 1024), {"features": 8}), "weight", 1e-3),
    "one gain": (Layer("batch_norm", _IMAGE, {}), "weight", 3e-6),
    "one shift": (Layer("instance_norm", _IMAGE, {"affine": True}), "bias", 1e-4),
    "one running mean": (Layer("batch_norm", _IMAGE, {}), "running_mean", 1e-5),
    "one running variance": (Layer("batch_norm", _IMAGE, {}), "running_var", 1e-5),
    "one entry": (Layer("prelu", _IMAGE, {"parameters": 8}), "weight", 1e-6),
}


@pytest.mark.parametrize("kind", _WEIGHTS)
def test_one_number_of_the_state_that_is_off_is_beyond_rounding(kind: str) -> None:
    """The change is relative, to the largest entry."""
    layer, role, change = _WEIGHTS[kind]
    spec, params, inputs = _layer(layer, np.random.default_rng(9), False)
    node, other = spec.nodes["op"], {name: value.astype(np.float64) for name, value in params.items()}
    place = np.unravel_index(int(np.argmax(np.abs(params[role]))), params[role].shape)
    assert _planted(node, node, params, other, inputs) <= 1
    other[role][place] *= 1 + change
    assert _planted(node, node, params, other, inputs) > 1


def test_a_missing_bias_is_beyond_rounding() -> None:
    spec, params, inputs = _layer(LAYERS[1], np.random.default_rng(9), False)
    bare = {"weight": params["weight"], "bias": np.zeros_like(params["bias"])}
    assert _planted(spec.nodes["op"], spec.nodes["op"], params, bare, inputs) > 100


def test_the_biased_variance_in_place_of_the_unbiased_shows() -> None:
    spec, params, inputs = _layer(Layer("batch_norm", _IMAGE, {}), np.random.default_rng(9), False)
    count = 2 * 24 * 24
    other = params | {"running_var": params["running_var"] * count / (count - 1)}
    assert _planted(spec.nodes["op"], spec.nodes["op"], params, other, inputs) > 10


def test_training_mode_has_a_bound_of_its_own() -> None:
    spec, params, inputs = _layer(Layer("batch_norm", _IMAGE, {}, offset=50.0), np.random.default_rng(9), False)
    node = spec.nodes["op"]
    (eval_out,) = evaluate(node, params, inputs)
    (train_out,) = evaluate(node, params, inputs, train=True)
    assert not np.allclose(
        bound(node, params, inputs, (eval_out,))[0], bound(node, params, inputs, (train_out,), train=True)[0]
    )
    assert _planted(node, node, params, params, inputs, train=True) <= 1


def test_results_flushed_to_zero_are_allowed() -> None:
    spec, params, inputs = _layer(Layer("square", (64,), {}), np.random.default_rng(9), False)
    small = (np.abs(inputs[0]) * np.float32(1e-20),)
    flushed = np.zeros_like(small[0])
    assert _share("planted", spec.nodes["op"], params, small, [flushed]) <= 1
    assert _share("planted", spec.nodes["op"], params, (small[0] * np.float32(1e3),), [flushed]) > 1
