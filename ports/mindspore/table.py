"""One row per op: the MindSpore code that computes it, with public names that work on every device, CPU included.

Where the name that suggests itself is missing, wrong or very slow on a device, the row says so and takes another way;
parity_tests/ports holds each one against PyTorch, forward and gradient, in PyNative and in graph mode.
"""

from __future__ import annotations

from typing import Any

from twinzoo.ports.expressions import (
    Inputs,
    kept,
    layer,
    over,
    plain_tuple,
    scaled_and_shifted,
    shape_args,
    slice_text,
)
from twinzoo.ports.mindspore.helpers import HELPERS
from twinzoo.ports.mindspore.layers import ROWS, sides
from twinzoo.ports.source import Code, Language, call, differing, literal
from twinzoo.zoo.spec import Node

_PLAIN = "relu softplus silu sigmoid exp log sqrt abs square maximum matmul stop_gradient"

ROWS.functions({op: f"ops.{op}" for op in _PLAIN.split()})
ROWS.operators({"add": "+", "sub": "-", "mul": "*", "div": "/"})


@ROWS.row("tanh")
def _tanh(node: Node, x: Inputs) -> Code:
    """ops.tanh errs by 1e-4 on CPU, this by 2e-6."""
    return Code(f"2 * ops.sigmoid(2 * {x[0]}) - 1")


@ROWS.row("neg")
def _neg(node: Node, x: Inputs) -> Code:
    return Code(f"-{x[0]}")


@ROWS.row("leaky_relu")
def _leaky_relu(node: Node, x: Inputs) -> Code:
    return Code(call("ops.leaky_relu", x[0], node.attrs["slope"]))


@ROWS.row("elu")
def _elu(node: Node, x: Inputs) -> Code:
    """ops.elu takes no alpha but 1."""
    alpha = node.attrs["alpha"]
    if alpha == 1.0:
        return Code(call("ops.elu", x[0]))
    return Code(f"ops.relu({x[0]}) + {literal(alpha)} * ops.expm1(-ops.relu(-{x[0]}))")


@ROWS.row("gelu")
def _gelu(node: Node, x: Inputs) -> Code:
    return Code(call("ops.gelu", x[0], approximate=node.attrs["approximate"]))


@ROWS.row("pow")
def _pow(node: Node, x: Inputs) -> Code:
    return Code(call("ops.pow", x[0], node.attrs["exponent"]))


@ROWS.row("clamp")
def _clamp(node: Node, x: Inputs) -> Code:
    return Code(call("ops.clamp", x[0], **differing(min=(node.attrs["low"], None), max=(node.attrs["high"], None))))


@ROWS.row("affine")
def _affine(node: Node, x: Inputs) -> Code:
    return Code(scaled_and_shifted(x[0], node.attrs["scale"], node.attrs["shift"]))


@ROWS.row("concat")
def _concat(node: Node, x: Inputs) -> Code:
    return Code(call("ops.cat", f"[{', '.join(x)}]", axis=node.attrs["axis"]))


@ROWS.row("stack")
def _stack(node: Node, x: Inputs) -> Code:
    return Code(call("ops.stack", f"[{', '.join(x)}]", axis=node.attrs["axis"]))


@ROWS.row("slice")
def _slice(node: Node, x: Inputs) -> Code:
    """With a step, the gradient of a subscript or of ops.strided_slice along a middle axis fails in PyNative on CPU."""
    a = node.attrs
    if a["step"] == 1:
        return Code(f"{x[0]}[{slice_text(node)}]")
    size = f"{x[0]}.shape[{a['axis']}]"
    stop = size if a["stop"] is None else f"{size} - {-a['stop']}" if a["stop"] < 0 else str(a["stop"])
    return Code(f"ops.gather({x[0]}, ops.arange({a['start']}, {stop}, {a['step']}), {a['axis']})")


@ROWS.row("reshape")
def _reshape(node: Node, x: Inputs) -> Code:
    return Code(f"{x[0]}.reshape({shape_args(node, x[0])})")


@ROWS.row("reshape_like")
def _reshape_like(node: Node, x: Inputs) -> Code:
    return Code(f"{x[0]}.reshape({x[1]}.shape)")


@ROWS.row("flatten")
def _flatten(node: Node, x: Inputs) -> Code:
    return Code(call("ops.flatten", x[0], **differing(start_dim=(node.attrs["start"], 1))))


@ROWS.row("transpose")
def _transpose(node: Node, x: Inputs) -> Code:
    return Code(call("ops.permute", x[0], plain_tuple(node.attrs["order"])))


@ROWS.row("flip")
def _flip(node: Node, x: Inputs) -> Code:
    return Code(call("ops.flip", x[0], (node.attrs["axis"],)))


@ROWS.row("gather")
def _gather(node: Node, x: Inputs) -> Code:
    return Code(call("ops.gather", x[0], x[1], node.attrs["axis"]))


@ROWS.row("sum")
def _sum(node: Node, x: Inputs) -> Code:
    return Code(call("ops.sum", x[0], *over(node, "dim"), **kept(node, "keepdim")))


@ROWS.row("mean")
def _mean(node: Node, x: Inputs) -> Code:
    return Code(call("ops.mean", x[0], *over(node, "axis"), **kept(node, "keep_dims")))


@ROWS.row("amax", "amin")
def _extreme(node: Node, x: Inputs) -> Code:
    return Code(call(f"ops.{node.op}", x[0], *over(node, "axis"), **kept(node, "keepdims")))


@ROWS.row("var")
def _var(node: Node, x: Inputs) -> Code:
    """The method: ops.var has NaN for a gradient where all numbers are equal. Both are biased by default.

    A compiled graph divides a variance of no axes by a float64 number, and its gradient does not compile.
    """
    if node.outputs[0].shape:
        return Code(call(f"{x[0]}.var", *over(node, "axis"), **_spread(node)))
    correction = differing(ddof=(node.attrs["correction"], 0))
    return Code(f"{call(f'{x[0]}.var', **correction, keepdims=True)}.reshape(())")


@ROWS.row("std")
def _std(node: Node, x: Inputs) -> Code:
    return Code(call("ops.std", x[0], *over(node, "axis"), **_spread(node)))


def _spread(node: Node) -> dict[str, Any]:
    return differing(ddof=(node.attrs["correction"], 0)) | kept(node, "keepdims")


@ROWS.row("logsumexp")
def _logsumexp(node: Node, x: Inputs) -> Code:
    return Code(call("ops.logsumexp", x[0], *over(node, "dim", everything=True), **kept(node, "keepdim")))


@ROWS.row("softmax", "log_softmax")
def _softmax(node: Node, x: Inputs) -> Code:
    return Code(call(f"ops.{node.op}", x[0], axis=node.attrs["axis"]))


@ROWS.row("cumsum")
def _cumsum(node: Node, x: Inputs) -> Code:
    return Code(call("ops.cumsum", x[0], node.attrs["axis"]))


@ROWS.row("l2_normalize")
def _l2_normalize(node: Node, x: Inputs) -> Code:
    """ops.L2Normalize has a wrong gradient where the norm is below eps."""
    a = node.attrs
    squares = f"ops.sum(ops.square({x[0]}), dim={a['axis']}, keepdim=True)"
    return Code(f"{x[0]} / ops.sqrt(ops.clamp({squares}, min={literal(a['eps'])}**2))")


@ROWS.row("topk")
def _topk(node: Node, x: Inputs) -> Code:
    return Code(call("ops.topk", x[0], node.attrs["k"], dim=node.attrs["axis"]))


@ROWS.row("pad2d")
def _pad2d(node: Node, x: Inputs) -> Code:
    """The cell for reflections is ten times faster on CPU than ops.pad, and that for zeros is right.

    A compiled training step with a constant ops.pad in it gives wrong gradients, or hangs, from its second run on.
    """
    a = node.attrs
    if a["mode"] == "reflect":
        return layer(node, x, call("nn.ReflectionPad2d", _even(a["padding"])))
    if a["mode"] == "replicate":
        return layer(node, x, call("nn.ReplicationPad2d", _even(a["padding"])))
    left, right, top, bottom = a["padding"]
    return layer(node, x, call("nn.Pad", f"((0, 0), (0, 0), ({top}, {bottom}), ({left}, {right}))"))


def _even(padding: tuple[int, ...]) -> str:
    return str(padding[0]) if len(set(padding)) == 1 else plain_tuple(padding)


@ROWS.row("max_pool2d")
def _max_pool2d(node: Node, x: Inputs) -> Code:
    """The cell, because the gradient of ops.max_pool2d takes minutes on CPU."""
    a = node.attrs
    stride = a["stride"] or a["kernel"]
    keywords = differing(stride=(stride, (1, 1)))
    if a["padding"] != (0, 0) or a["ceil_mode"]:
        keywords |= {"pad_mode": "pad", **differing(padding=(a["padding"], (0, 0)))}
        keywords |= differing(ceil_mode=(a["ceil_mode"], False))
    return layer(node, x, call("nn.MaxPool2d", a["kernel"], **keywords))


@ROWS.row("avg_pool2d")
def _avg_pool2d(node: Node, x: Inputs) -> Code:
    a = node.attrs
    keywords = differing(
        stride=(a["stride"] or a["kernel"], (1, 1)),
        padding=(sides(a["padding"], a["padding"]), 0),
        ceil_mode=(a["ceil_mode"], False),
        count_include_pad=(a["count_include_pad"], True),
    )
    return Code(call("ops.avg_pool2d", x[0], a["kernel"], **keywords))


@ROWS.row("adaptive_avg_pool2d")
def _adaptive_avg_pool2d(node: Node, x: Inputs) -> Code:
    return Code(call("ops.adaptive_avg_pool2d", x[0], node.attrs["size"]))


@ROWS.row("interpolate")
def _interpolate(node: Node, x: Inputs) -> Code:
    """ops.interpolate takes a scale on no device for every mode: the size is worked out instead."""
    a = node.attrs
    if a["size"] is not None:
        size = plain_tuple(a["size"])
    else:
        by = f"* {round(a['scale'])}" if a["scale"] >= 1 else f"// {round(1 / a['scale'])}"
        size = f"({x[0]}.shape[2] {by}, {x[0]}.shape[3] {by})"
    keywords = differing(mode=(a["mode"], "nearest"))
    if a["mode"] == "bilinear":
        keywords["align_corners"] = a["align_corners"]
    return Code(call("ops.interpolate", x[0], f"size={size}", **keywords))


@ROWS.row("pixel_shuffle")
def _pixel_shuffle(node: Node, x: Inputs) -> Code:
    return Code(call("ops.pixel_shuffle", x[0], node.attrs["factor"]))


@ROWS.row("l1_loss", "mse_loss", "smooth_l1_loss", "bce_with_logits", "cross_entropy")
def _loss(node: Node, x: Inputs) -> Code:
    a = node.attrs
    function = "ops.binary_cross_entropy_with_logits" if node.op == "bce_with_logits" else f"ops.{node.op}"
    default = "none" if node.op == "smooth_l1_loss" else "mean"
    keywords = differing(beta=(a.get("beta", 1.0), 1.0), reduction=(a["reduction"], default))
    return Code(call(function, *x, **keywords))


LANGUAGE = Language(
    title="MindSpore",
    base="nn.Cell",
    method="construct",
    rows=ROWS,
    imports={
        "import mindspore as ms": ("ms",),
        "import numpy as np": ("np",),
        "from mindspore import": ("Parameter", "Tensor", "nn", "ops"),
    },
    helpers=HELPERS,
)
