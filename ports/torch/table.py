"""One row per op: the PyTorch code that computes it."""

from __future__ import annotations

from dataclasses import replace

from twinzoo.ports.expressions import (
    Inputs,
    Table,
    dropout,
    kept,
    layer,
    over,
    plain_tuple,
    scaled_and_shifted,
    shape_args,
    slice_text,
)
from twinzoo.ports.source import Code, Language, call, differing
from twinzoo.ports.torch.helpers import HELPERS
from twinzoo.zoo.spec import Node
from twinzoo.zoo.spectral import PLAIN

ROWS = Table()


@ROWS.row("conv1d", "conv2d")
def _convolution(node: Node, x: Inputs) -> Code:
    a = node.attrs
    one = 1 if node.op == "conv1d" else (1, 1)
    keywords = differing(
        stride=(a["stride"], one),
        padding=(a["padding"], 0 if node.op == "conv1d" else (0, 0)),
        dilation=(a["dilation"], one),
        groups=(a["groups"], 1),
        bias=(a["bias"], True),
    )
    kind = "nn.Conv1d" if node.op == "conv1d" else "nn.Conv2d"
    return layer(node, x, call(kind, node.inputs[0].shape[1], a["channels"], a["kernel"], **keywords))


@ROWS.row("conv_transpose2d")
def _conv_transpose2d(node: Node, x: Inputs) -> Code:
    a = node.attrs
    keywords = differing(
        stride=(a["stride"], (1, 1)),
        padding=(a["padding"], (0, 0)),
        output_padding=(a["output_padding"], (0, 0)),
        groups=(a["groups"], 1),
        bias=(a["bias"], True),
        dilation=(a["dilation"], (1, 1)),
    )
    made = call("nn.ConvTranspose2d", node.inputs[0].shape[1], a["channels"], a["kernel"], **keywords)
    return layer(node, x, made)


@ROWS.row("linear")
def _linear(node: Node, x: Inputs) -> Code:
    a = node.attrs
    keywords = differing(bias=(a["bias"], True))
    return layer(node, x, call("nn.Linear", node.inputs[0].shape[-1], a["features"], **keywords))


@ROWS.row(*PLAIN)
def _spectral(node: Node, x: Inputs) -> Code:
    plain = replace(node, op=PLAIN[node.op])
    keywords = differing(eps=(node.attrs["eps"], 1e-12))
    return layer(node, x, call("spectral_norm", ROWS[plain.op](plain, x).layer, **keywords))


@ROWS.row("embedding")
def _embedding(node: Node, x: Inputs) -> Code:
    return layer(node, x, call("nn.Embedding", node.attrs["entries"], node.attrs["features"]))


@ROWS.row("batch_norm")
def _batch_norm(node: Node, x: Inputs) -> Code:
    a = node.attrs
    shape = node.inputs[0].shape
    kind = f"nn.BatchNorm{max(len(shape) - 2, 1)}d"
    keywords = differing(eps=(a["eps"], 1e-5), momentum=(a["momentum"], 0.1), affine=(a["affine"], True))
    return layer(node, x, call(kind, shape[1], **keywords))


@ROWS.row("instance_norm")
def _instance_norm(node: Node, x: Inputs) -> Code:
    a = node.attrs
    keywords = differing(eps=(a["eps"], 1e-5), affine=(a["affine"], False))
    return layer(node, x, call("nn.InstanceNorm2d", node.inputs[0].shape[1], **keywords))


@ROWS.row("group_norm")
def _group_norm(node: Node, x: Inputs) -> Code:
    a = node.attrs
    keywords = differing(eps=(a["eps"], 1e-5), affine=(a["affine"], True))
    return layer(node, x, call("nn.GroupNorm", a["groups"], node.inputs[0].shape[1], **keywords))


@ROWS.row("layer_norm")
def _layer_norm(node: Node, x: Inputs) -> Code:
    a = node.attrs
    shape = node.inputs[0].shape[-a["axes"] :]
    keywords = differing(eps=(a["eps"], 1e-5), elementwise_affine=(a["affine"], True))
    return layer(node, x, call("nn.LayerNorm", str(shape[0]) if len(shape) == 1 else plain_tuple(shape), **keywords))


@ROWS.row("prelu")
def _prelu(node: Node, x: Inputs) -> Code:
    a = node.attrs
    keywords = differing(num_parameters=(a["parameters"], 1), init=(a["slope"], 0.25))
    return layer(node, x, call("nn.PReLU", **keywords))


@ROWS.row("learned_scale")
def _learned_scale(node: Node, x: Inputs) -> Code:
    return layer(node, x, call("LearnedScale", node.attrs["start"]))


@ROWS.row("dropout")
def _dropout(node: Node, x: Inputs) -> Code:
    return dropout(node, x, call("nn.Dropout", node.attrs["p"]))


@ROWS.row("blur2d")
def _blur2d(node: Node, x: Inputs) -> Code:
    a = node.attrs
    keywords = differing(stride=(a["stride"], 1))
    return layer(node, x, call("Blur2d", node.inputs[0].shape[1], plain_tuple(node.attrs["taps"]), **keywords))


@ROWS.row("blur_transpose2d")
def _blur_transpose2d(node: Node, x: Inputs) -> Code:
    a = node.attrs
    made = call(
        "BlurTranspose2d",
        node.inputs[0].shape[1],
        plain_tuple(node.attrs["taps"]),
        stride=a["stride"],
        padding=a["padding"],
    )
    return layer(node, x, made)


@ROWS.row("standardize")
def _standardize(node: Node, x: Inputs) -> Code:
    a = node.attrs
    sizes = ", 1" * (len(node.inputs[0].shape) - 2)
    return layer(node, x, call("Standardize", a["mean"], a["std"], f"shape=(-1{sizes or ','})"))


ROWS.functions(
    {op: f"F.{op}" for op in ("relu", "softplus", "silu")}
    | {op: f"torch.{op}" for op in ("tanh", "sigmoid", "exp", "log", "sqrt", "abs", "square", "maximum", "matmul")}
)
ROWS.operators({"add": "+", "sub": "-", "mul": "*", "div": "/"})


@ROWS.row("neg")
def _neg(node: Node, x: Inputs) -> Code:
    return Code(f"-{x[0]}")


@ROWS.row("stop_gradient")
def _stop_gradient(node: Node, x: Inputs) -> Code:
    return Code(f"{x[0]}.detach()")


@ROWS.row("leaky_relu")
def _leaky_relu(node: Node, x: Inputs) -> Code:
    return Code(call("F.leaky_relu", x[0], node.attrs["slope"]))


@ROWS.row("elu")
def _elu(node: Node, x: Inputs) -> Code:
    return Code(call("F.elu", x[0], **differing(alpha=(node.attrs["alpha"], 1.0))))


@ROWS.row("gelu")
def _gelu(node: Node, x: Inputs) -> Code:
    return Code(call("F.gelu", x[0], **differing(approximate=(node.attrs["approximate"], "none"))))


@ROWS.row("pow")
def _pow(node: Node, x: Inputs) -> Code:
    return Code(call("torch.pow", x[0], node.attrs["exponent"]))


@ROWS.row("clamp")
def _clamp(node: Node, x: Inputs) -> Code:
    return Code(call("torch.clamp", x[0], **differing(min=(node.attrs["low"], None), max=(node.attrs["high"], None))))


@ROWS.row("affine")
def _affine(node: Node, x: Inputs) -> Code:
    return Code(scaled_and_shifted(x[0], node.attrs["scale"], node.attrs["shift"]))


@ROWS.row("concat")
def _concat(node: Node, x: Inputs) -> Code:
    return Code(call("torch.cat", f"[{', '.join(x)}]", dim=node.attrs["axis"]))


@ROWS.row("stack")
def _stack(node: Node, x: Inputs) -> Code:
    return Code(call("torch.stack", f"[{', '.join(x)}]", dim=node.attrs["axis"]))


@ROWS.row("slice")
def _slice(node: Node, x: Inputs) -> Code:
    return Code(f"{x[0]}[{slice_text(node)}]")


@ROWS.row("reshape")
def _reshape(node: Node, x: Inputs) -> Code:
    return Code(f"{x[0]}.reshape({shape_args(node, x[0])})")


@ROWS.row("reshape_like")
def _reshape_like(node: Node, x: Inputs) -> Code:
    return Code(f"{x[0]}.reshape({x[1]}.shape)")


@ROWS.row("flatten")
def _flatten(node: Node, x: Inputs) -> Code:
    return Code(call("torch.flatten", x[0], node.attrs["start"]))


@ROWS.row("transpose")
def _transpose(node: Node, x: Inputs) -> Code:
    return Code(call(f"{x[0]}.permute", *node.attrs["order"]))


@ROWS.row("flip")
def _flip(node: Node, x: Inputs) -> Code:
    return Code(call("torch.flip", x[0], (node.attrs["axis"],)))


@ROWS.row("gather")
def _gather(node: Node, x: Inputs) -> Code:
    return Code(call("torch.index_select", x[0], node.attrs["axis"], x[1]))


@ROWS.row("sum", "mean", "amax", "amin")
def _reduce(node: Node, x: Inputs) -> Code:
    return Code(call(f"torch.{node.op}", x[0], *over(node, "dim"), **kept(node, "keepdim")))


@ROWS.row("var", "std")
def _spread(node: Node, x: Inputs) -> Code:
    correction = differing(correction=(node.attrs["correction"], 1))
    return Code(call(f"torch.{node.op}", x[0], *over(node, "dim"), **correction, **kept(node, "keepdim")))


@ROWS.row("logsumexp")
def _logsumexp(node: Node, x: Inputs) -> Code:
    return Code(call("torch.logsumexp", x[0], *over(node, "dim", everything=True), **kept(node, "keepdim")))


@ROWS.row("softmax", "log_softmax")
def _softmax(node: Node, x: Inputs) -> Code:
    return Code(call(f"F.{node.op}", x[0], dim=node.attrs["axis"]))


@ROWS.row("cumsum")
def _cumsum(node: Node, x: Inputs) -> Code:
    return Code(call("torch.cumsum", x[0], dim=node.attrs["axis"]))


@ROWS.row("l2_normalize")
def _l2_normalize(node: Node, x: Inputs) -> Code:
    keywords = differing(eps=(node.attrs["eps"], 1e-12))
    return Code(call("F.normalize", x[0], dim=node.attrs["axis"], **keywords))


@ROWS.row("topk")
def _topk(node: Node, x: Inputs) -> Code:
    return Code(call("torch.topk", x[0], node.attrs["k"], dim=node.attrs["axis"]))


@ROWS.row("pad2d")
def _pad2d(node: Node, x: Inputs) -> Code:
    a = node.attrs
    mode = "constant" if a["mode"] == "zero" else a["mode"]
    return Code(call("F.pad", x[0], a["padding"], **differing(mode=(mode, "constant"))))


@ROWS.row("max_pool2d", "avg_pool2d")
def _pool(node: Node, x: Inputs) -> Code:
    a = node.attrs
    keywords = differing(
        stride=(a["stride"] or a["kernel"], a["kernel"]),
        padding=(a["padding"], (0, 0)),
        ceil_mode=(a["ceil_mode"], False),
        count_include_pad=(a.get("count_include_pad", True), True),
    )
    return Code(call(f"F.{node.op}", x[0], a["kernel"], **keywords))


@ROWS.row("adaptive_avg_pool2d")
def _adaptive_avg_pool2d(node: Node, x: Inputs) -> Code:
    return Code(call("F.adaptive_avg_pool2d", x[0], node.attrs["size"]))


@ROWS.row("interpolate")
def _interpolate(node: Node, x: Inputs) -> Code:
    a = node.attrs
    keywords = differing(
        size=(a["size"], None),
        scale_factor=(a["scale"], None),
        mode=(a["mode"], "nearest"),
        align_corners=(a["align_corners"] or None if a["mode"] == "nearest" else a["align_corners"], None),
    )
    return Code(call("F.interpolate", x[0], **keywords))


@ROWS.row("pixel_shuffle")
def _pixel_shuffle(node: Node, x: Inputs) -> Code:
    return Code(call("F.pixel_shuffle", x[0], node.attrs["factor"]))


@ROWS.row("l1_loss", "mse_loss", "smooth_l1_loss", "bce_with_logits", "cross_entropy")
def _loss(node: Node, x: Inputs) -> Code:
    a = node.attrs
    function = "F.binary_cross_entropy_with_logits" if node.op == "bce_with_logits" else f"F.{node.op}"
    keywords = differing(reduction=(a["reduction"], "mean"), beta=(a.get("beta", 1.0), 1.0))
    return Code(call(function, *x, **keywords))


LANGUAGE = Language(
    title="PyTorch",
    base="nn.Module",
    method="forward",
    rows=ROWS,
    imports={
        "import torch": ("torch",),
        "import torch.nn.functional as F": ("F",),
        "from torch import": ("Tensor", "nn"),
        "from torch.nn.utils.parametrizations import": ("spectral_norm",),
    },
    helpers=HELPERS,
)
