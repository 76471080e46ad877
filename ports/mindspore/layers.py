"""Rows of the ops that have parameters, or that a cell of MindSpore's own computes (see table.py)."""

from __future__ import annotations

from dataclasses import replace

from twinzoo.ports.expressions import Inputs, Table, dropout, layer, plain_tuple
from twinzoo.ports.source import Code, call, differing
from twinzoo.zoo.spec import Node
from twinzoo.zoo.spectral import PLAIN

ROWS = Table()


@ROWS.row("conv1d", "conv2d")
def _convolution(node: Node, x: Inputs) -> Code:
    a = node.attrs
    flat = node.op == "conv1d"
    padding = a["padding"] if flat else sides(a["padding"], a["padding"])
    padded = {"pad_mode": "pad", "padding": padding} if padding else {"pad_mode": "valid"}
    one = 1 if flat else (1, 1)
    keywords = differing(stride=(a["stride"], one)) | padded
    keywords |= differing(dilation=(a["dilation"], one), group=(a["groups"], 1), has_bias=(a["bias"], False))
    kind = "nn.Conv1d" if flat else "nn.Conv2d"
    return layer(node, x, call(kind, node.inputs[0].shape[1], a["channels"], a["kernel"], **keywords))


def sides(before: tuple[int, int], after: tuple[int, int]) -> int | tuple[int, int, int, int]:
    """(top, bottom, left, right), or one number where all are equal."""
    sides = (before[0], after[0], before[1], after[1])
    return sides[0] if len(set(sides)) == 1 else sides


@ROWS.row("conv_transpose2d")
def _conv_transpose2d(node: Node, x: Inputs) -> Code:
    """With MindSpore's own `output_padding` the last row and column hold only the bias on CPU.

    Less padding behind gives the same output. Where there is not enough of it, a line of zeros behind the input is
    `stride` more lines of output, of which the padding crops what is too much.
    """
    a = node.attrs
    extra = [max(0, op - p) for op, p in zip(a["output_padding"], a["padding"], strict=True)]
    lines = [-(-e // s) for e, s in zip(extra, a["stride"], strict=True)]
    cropped = zip(a["padding"], a["output_padding"], lines, a["stride"], strict=True)
    behind = tuple(p - op + n * s for p, op, n, s in cropped)
    padding = sides(a["padding"], (behind[0], behind[1]))
    padded = {"pad_mode": "pad", "padding": padding} if padding else {"pad_mode": "valid"}
    keywords = differing(stride=(a["stride"], (1, 1))) | padded
    keywords |= differing(dilation=(a["dilation"], (1, 1)), group=(a["groups"], 1), has_bias=(a["bias"], False))
    made = call("nn.Conv2dTranspose", node.inputs[0].shape[1], a["channels"], a["kernel"], **keywords)
    given = f"ops.pad({x[0]}, (0, {lines[1]}, 0, {lines[0]}))" if any(lines) else x[0]
    return layer(node, [given], made)


@ROWS.row("linear")
def _linear(node: Node, x: Inputs) -> Code:
    a = node.attrs
    keywords = differing(has_bias=(a["bias"], True))
    return layer(node, x, call("nn.Dense", node.inputs[0].shape[-1], a["features"], **keywords))


@ROWS.row(*PLAIN)
def _spectral(node: Node, x: Inputs) -> Code:
    """The plain layer's cell with its weight normalised; what is fed to it stays as it is."""
    plain = replace(node, op=PLAIN[node.op])
    code = ROWS[plain.op](plain, x)
    kind, _, arguments = code.layer.removeprefix("nn.").partition("(")
    keywords = differing(eps=(node.attrs["eps"], 1e-12))
    return Code(code.call, call(f"Spectral{kind}", arguments.removesuffix(")"), **keywords))


@ROWS.row("embedding")
def _embedding(node: Node, x: Inputs) -> Code:
    return layer(node, x, call("nn.Embedding", node.attrs["entries"], node.attrs["features"]))


@ROWS.row("batch_norm")
def _batch_norm(node: Node, x: Inputs) -> Code:
    """MindSpore's momentum is the share of the old value. Its BatchNorm1d takes no (N, C, L): that goes as a map."""
    a = node.attrs
    shape = node.inputs[0].shape
    if a["affine"]:
        keywords = differing(eps=(a["eps"], 1e-5), momentum=(round(1 - a["momentum"], 12), 0.9))
        made = call("nn.BatchNorm3d" if len(shape) == 5 else "nn.BatchNorm2d", shape[1], **keywords)
    else:
        made = call("BatchNorm", shape[1], eps=a["eps"], momentum=a["momentum"])
    if len(shape) >= 4:
        return layer(node, x, made)
    added = "[:, :, None, None]" if len(shape) == 2 else "[:, :, :, None]"
    taken = "[:, :, 0, 0]" if len(shape) == 2 else "[:, :, :, 0]"
    return Code(f"self.{node.name}({x[0]}{added}){taken}", made)


@ROWS.row("instance_norm")
def _instance_norm(node: Node, x: Inputs) -> Code:
    """nn.InstanceNorm2d has no CPU kernel: groups of one channel are the same."""
    a = node.attrs
    channels = node.inputs[0].shape[1]
    keywords = differing(eps=(a["eps"], 1e-5))
    if a["affine"]:
        return layer(node, x, call("nn.GroupNorm", channels, channels, **keywords))
    return Code(call("ops.group_norm", x[0], channels, **keywords))


@ROWS.row("group_norm")
def _group_norm(node: Node, x: Inputs) -> Code:
    """nn.GroupNorm keeps a frozen gain and offset among the parameters where it has none."""
    a = node.attrs
    keywords = differing(eps=(a["eps"], 1e-5))
    if a["affine"]:
        return layer(node, x, call("nn.GroupNorm", a["groups"], node.inputs[0].shape[1], **keywords))
    return Code(call("ops.group_norm", x[0], a["groups"], **keywords))


@ROWS.row("layer_norm")
def _layer_norm(node: Node, x: Inputs) -> Code:
    """MindSpore takes an axis from behind for the last dimension alone, and another default eps."""
    a = node.attrs
    shape = node.inputs[0].shape
    axis = len(shape) - a["axes"]
    if not a["affine"]:
        return layer(node, x, call("LayerNorm", axis, a["eps"]))
    axes = {} if a["axes"] == 1 else {"begin_norm_axis": axis, "begin_params_axis": axis}
    return layer(node, x, call("nn.LayerNorm", plain_tuple(shape[axis:]), **axes, epsilon=a["eps"]))


@ROWS.row("prelu")
def _prelu(node: Node, x: Inputs) -> Code:
    keywords = differing(channel=(node.attrs["parameters"], 1), w=(node.attrs["slope"], 0.25))
    return layer(node, x, call("nn.PReLU", **keywords))


@ROWS.row("learned_scale")
def _learned_scale(node: Node, x: Inputs) -> Code:
    return layer(node, x, call("LearnedScale", node.attrs["start"]))


@ROWS.row("dropout")
def _dropout(node: Node, x: Inputs) -> Code:
    return dropout(node, x, call("nn.Dropout", p=node.attrs["p"]))


@ROWS.row("blur2d")
def _blur2d(node: Node, x: Inputs) -> Code:
    keywords = differing(stride=(node.attrs["stride"], 1))
    return layer(node, x, call("Blur2d", node.inputs[0].shape[1], plain_tuple(node.attrs["taps"]), **keywords))


@ROWS.row("blur_transpose2d")
def _blur_transpose2d(node: Node, x: Inputs) -> Code:
    a = node.attrs
    taps = plain_tuple(a["taps"])
    made = call("BlurTranspose2d", node.inputs[0].shape[1], taps, stride=a["stride"], padding=a["padding"])
    return layer(node, x, made)


@ROWS.row("standardize")
def _standardize(node: Node, x: Inputs) -> Code:
    a = node.attrs
    shape = "shape=" + plain_tuple((-1, *(1 for _ in node.inputs[0].shape[2:])))
    return layer(node, x, call("Standardize", a["mean"], a["std"], shape))
