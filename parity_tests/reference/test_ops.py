"""The reference against torch in float64: every op said again in torch.nn.functional, over the shared cases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from twinzoo.parity.op_cases import CASES, NODE, OpCase, case_inputs, case_spec, case_state
from twinzoo.ports.reference import trace
from twinzoo.ports.reference.evaluate import TABLE
from twinzoo.zoo.spec import OPS

torch = pytest.importorskip("torch")
F = torch.nn.functional

Definition = Callable[..., Any]


def _norm(a: Any, p: Any, x: Any, train: bool = False) -> Any:
    mean, var = p["running_mean"], p["running_var"]
    return F.batch_norm(x, mean, var, p.get("weight"), p.get("bias"), train, a["momentum"], a["eps"])


def _blur(a: Any, p: Any, x: Any) -> Any:
    taps = torch.tensor(a["taps"], dtype=x.dtype)
    kernel = torch.outer(taps, taps) / taps.sum() ** 2
    return F.conv2d(x, kernel.expand(x.shape[1], 1, -1, -1), stride=a["stride"], groups=x.shape[1])


def _blur_transpose(a: Any, p: Any, x: Any) -> Any:
    taps = torch.tensor(a["taps"], dtype=x.dtype)
    kernel = (a["stride"] ** 2 * torch.outer(taps, taps) / taps.sum() ** 2).expand(x.shape[1], 1, -1, -1)
    return F.conv_transpose2d(x, kernel, stride=a["stride"], padding=a["padding"], groups=x.shape[1])


def _resize(a: Any, p: Any, x: Any) -> Any:
    corners = a["align_corners"] if a["mode"] == "bilinear" else None
    return F.interpolate(x, a["size"], a["scale"], a["mode"], corners, antialias=False)


def _pool(function: Callable[..., Any], *names: str) -> Definition:
    def rule(a: Any, p: Any, x: Any) -> Any:
        more = {name: a[name] for name in names}
        return function(x, a["kernel"], a["stride"], a["padding"], ceil_mode=a["ceil_mode"], **more)

    return rule


def _axes(a: Any, x: Any) -> tuple[int, ...]:
    return a["axes"] or tuple(range(x.ndim))


def _over(function: Callable[..., Any], *names: str) -> Definition:
    def rule(a: Any, p: Any, x: Any) -> Any:
        return function(x, dim=_axes(a, x), keepdim=a["keepdims"], **{name: a[name] for name in names})

    return rule


def _loss(function: Callable[..., Any], *names: str) -> Definition:
    def rule(a: Any, p: Any, x: Any, y: Any) -> Any:
        return function(x, y, reduction=a["reduction"], **{name: a[name] for name in names})

    return rule


def _channels(values: Any, x: Any) -> Any:
    return torch.tensor(values, dtype=x.dtype).reshape(-1, *(1,) * (x.ndim - 2))


def _conv(function: Callable[..., Any]) -> Definition:
    def rule(a: Any, p: Any, x: Any) -> Any:
        return function(x, p["weight"], p.get("bias"), a["stride"], a["padding"], a["dilation"], a["groups"])

    return rule


LAYERS: dict[str, Definition] = {
    "conv1d": _conv(F.conv1d),
    "conv2d": _conv(F.conv2d),
    "conv_transpose2d": lambda a, p, x: F.conv_transpose2d(
        x, p["weight"], p.get("bias"), a["stride"], a["padding"], a["output_padding"], a["groups"], a["dilation"]
    ),
    "linear": lambda a, p, x: F.linear(x, p["weight"], p.get("bias")),
    "embedding": lambda a, p, x: F.embedding(x, p["weight"]),
    "batch_norm": _norm,
    "instance_norm": lambda a, p, x: F.instance_norm(x, weight=p.get("weight"), bias=p.get("bias"), eps=a["eps"]),
    "group_norm": lambda a, p, x: F.group_norm(x, a["groups"], p.get("weight"), p.get("bias"), a["eps"]),
    "layer_norm": lambda a, p, x: F.layer_norm(x, x.shape[-a["axes"] :], p.get("weight"), p.get("bias"), a["eps"]),
    "prelu": lambda a, p, x: F.prelu(x, p["weight"]),
    "learned_scale": lambda a, p, x: x * p["weight"],
    "dropout": lambda a, p, x: x * p["mask"] / (1 - a["p"]) if "mask" in p else x,
}

SPECTRAL = ("spectral_conv2d", "spectral_conv_transpose2d", "spectral_linear")


def _spectral(op: str, a: Any, p: Any, x: Any, train: bool) -> Any:
    """The weight without its matrix, so that a wrong one would show; in training mode u and v move."""
    outputs = "oi" if op == "spectral_linear" else "iohw" if "transpose" in op else "oihw"
    weight, v = p["weight_orig"], p["weight_v"]
    rest = outputs.replace("o", "")
    shape = [size for size, axis in zip(weight.shape, outputs, strict=True) if axis != "o"]
    if train:
        u = torch.einsum(f"{outputs},{rest}->o", weight, v.reshape(shape))
        p["weight_u"] = u / max(torch.linalg.vector_norm(u), torch.tensor(a["eps"]))
        v = torch.einsum(f"{outputs},o->{rest}", weight, p["weight_u"]).flatten()
        p["weight_v"] = v / max(torch.linalg.vector_norm(v), torch.tensor(a["eps"]))
    sigma = torch.einsum(f"{outputs},o,{rest}->", weight, p["weight_u"], p["weight_v"].reshape(shape))
    return LAYERS[op.removeprefix("spectral_")](a, {**p, "weight": weight / sigma}, x)


POINTWISE: dict[str, Definition] = {
    **{
        op: (lambda function: lambda a, p, x: function(x))(getattr(torch, op))
        for op in ("relu", "tanh", "sigmoid", "exp", "log", "sqrt", "abs", "square", "neg")
    },
    "softplus": lambda a, p, x: torch.logaddexp(x, torch.zeros_like(x)),
    "silu": lambda a, p, x: F.silu(x),
    "stop_gradient": lambda a, p, x: x.detach(),
    "leaky_relu": lambda a, p, x: F.leaky_relu(x, a["slope"]),
    "elu": lambda a, p, x: F.elu(x, a["alpha"]),
    "gelu": lambda a, p, x: F.gelu(x, approximate=a["approximate"]),
    "pow": lambda a, p, x: x ** a["exponent"],
    "clamp": lambda a, p, x: torch.clamp(x, a["low"], a["high"]),
    "affine": lambda a, p, x: a["scale"] * x + a["shift"],
    "standardize": lambda a, p, x: (x - _channels(a["mean"], x)) / _channels(a["std"], x),
    "add": lambda a, p, x, y: x + y,
    "sub": lambda a, p, x, y: x - y,
    "mul": lambda a, p, x, y: x * y,
    "div": lambda a, p, x, y: x / y,
    "maximum": lambda a, p, x, y: torch.maximum(x, y),
}

STRUCTURE: dict[str, Definition] = {
    "concat": lambda a, p, *x: torch.cat(x, a["axis"]),
    "stack": lambda a, p, *x: torch.stack(x, a["axis"]),
    "slice": lambda a, p, x: x.movedim(a["axis"], 0)[a["start"] : a["stop"] : a["step"]].movedim(0, a["axis"]),
    "reshape": lambda a, p, x: x.reshape([x.shape[i] if size == 0 else size for i, size in enumerate(a["shape"])]),
    "reshape_like": lambda a, p, x, like: x.view_as(like),
    "flatten": lambda a, p, x: torch.flatten(x, a["start"]),
    "transpose": lambda a, p, x: x.permute(a["order"]),
    "flip": lambda a, p, x: torch.flip(x, (a["axis"],)),
    "gather": lambda a, p, x, i: torch.index_select(x, a["axis"], i),
}

REDUCTIONS: dict[str, Definition] = {
    **{op: _over(getattr(torch, op)) for op in ("sum", "mean", "amax", "amin", "logsumexp")},
    "var": _over(torch.var, "correction"),
    "std": _over(torch.std, "correction"),
    "softmax": lambda a, p, x: F.softmax(x, a["axis"]),
    "log_softmax": lambda a, p, x: F.log_softmax(x, a["axis"]),
    "cumsum": lambda a, p, x: torch.cumsum(x, a["axis"]),
    "l2_normalize": lambda a, p, x: F.normalize(x, dim=a["axis"], eps=a["eps"]),
    "matmul": lambda a, p, x, y: torch.matmul(x, y),
    "topk": lambda a, p, x: tuple(torch.topk(x, a["k"], a["axis"])),
}

SPATIAL: dict[str, Definition] = {
    "pad2d": lambda a, p, x: F.pad(x, a["padding"], {"zero": "constant"}.get(a["mode"], a["mode"])),
    "max_pool2d": _pool(F.max_pool2d),
    "avg_pool2d": _pool(F.avg_pool2d, "count_include_pad"),
    "adaptive_avg_pool2d": lambda a, p, x: F.adaptive_avg_pool2d(x, a["size"]),
    "interpolate": _resize,
    "pixel_shuffle": lambda a, p, x: F.pixel_shuffle(x, a["factor"]),
    "blur2d": _blur,
    "blur_transpose2d": _blur_transpose,
}

LOSSES: dict[str, Definition] = {
    "l1_loss": _loss(F.l1_loss),
    "mse_loss": _loss(F.mse_loss),
    "smooth_l1_loss": _loss(F.smooth_l1_loss, "beta"),
    "bce_with_logits": _loss(F.binary_cross_entropy_with_logits),
    "cross_entropy": _loss(F.cross_entropy),
}

DEFINITIONS = {**LAYERS, **POINTWISE, **STRUCTURE, **REDUCTIONS, **SPATIAL, **LOSSES}


def _by_torch(case: OpCase, inputs: dict[str, Any], state: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Outputs and buffers of the one node, all in float64."""
    spec = case_spec(case)
    node = spec.nodes[NODE]
    held = {name.partition(".")[2]: torch.from_numpy(value).double() for name, value in state.items()}
    held |= {suffix: torch.from_numpy(inputs[f"{NODE}_{suffix}"]).double() for suffix in node.draws if case.fed}
    given = [torch.from_numpy(inputs[name]) for name in spec.inputs]
    given = [x.double() if x.is_floating_point() else x for x in given]
    if case.op == "batch_norm":
        made = _norm(node.attrs, held, given[0], case.train)
    elif case.op in SPECTRAL:
        made = _spectral(case.op, node.attrs, held, given[0], case.train)
    else:
        made = DEFINITIONS[case.op](node.attrs, held, *given)
    buffers = {f"{NODE}.{role}": held[role].numpy() for role, param in node.params.items() if param.buffer}
    return list(made) if isinstance(made, tuple) else [made], buffers


def test_every_op_has_a_row_and_a_case() -> None:
    assert set(TABLE) == set(OPS)
    assert {case.op for case in CASES} >= set(OPS)
    assert {*DEFINITIONS, *SPECTRAL} == set(OPS)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
@pytest.mark.parametrize("seed", [0, 1])
def test_case_agrees_with_torch(case: OpCase, seed: int) -> None:
    spec, state, inputs = case_spec(case), case_state(case, seed), case_inputs(case, seed)
    done = trace(spec, state, inputs, train=case.train)
    expected, buffers = _by_torch(case, inputs, state)
    for value, want in zip(spec.nodes[NODE].outputs, expected, strict=True):
        got = done.values[value.ref]
        sizes = spec.sizes_of({name: inputs[name].shape for name in spec.inputs})
        assert got.shape == spec.concrete(value, sizes)
        assert got.dtype == (np.int64 if value.dtype == "int" else np.float64)
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-12, atol=1e-14)
    for name, want in buffers.items():
        np.testing.assert_allclose(done.state[name], want, rtol=1e-12, atol=1e-14)
