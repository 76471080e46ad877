"""Rows of functions and tensors: resizing, tensor methods, accuracy of kernels."""

from __future__ import annotations

from twinzoo.parity.differences.row import Row

RESIZING = (
    Row(
        "interpolate, nearest",
        "lambda x: F.interpolate(x, scale_factor=2)",
        "lambda x: ops.interpolate(x, scale_factor=2.0)",
        "lambda x: ops.interpolate(x, size=(2 * x.shape[2], 2 * x.shape[3]))",
        cause="resize-mode",
        note="nearest takes a size alone",
        defaults=("F.interpolate mode align_corners", "ops.interpolate mode align_corners"),
    ),
    Row(
        "interpolate, nearest, to an odd size",
        "lambda x: F.interpolate(x, (13, 5))",
        "lambda x: ops.interpolate(x, (13, 5))",
        cause="resize-mode",
    ),
    Row(
        "interpolate, bilinear",
        "lambda x: F.interpolate(x, (13, 5), mode='bilinear')",
        "lambda x: ops.interpolate(x, (13, 5), mode='bilinear')",
        cause="align-corners",
    ),
    Row(
        "interpolate, bilinear, align_corners",
        "lambda x: F.interpolate(x, (13, 5), mode='bilinear', align_corners=True)",
        "lambda x: ops.interpolate(x, (13, 5), mode='bilinear', align_corners=True)",
        cause="align-corners",
    ),
    Row(
        "interpolate, bilinear, scale_factor",
        "lambda x: F.interpolate(x, scale_factor=2.0, mode='bilinear')",
        "lambda x: ops.interpolate(x, scale_factor=2.0, mode='bilinear')",
        "lambda x: ops.interpolate(x, scale_factor=2.0, mode='bilinear', recompute_scale_factor=True)",
        cause="resize-mode",
    ),
    Row(
        "interpolate, bicubic",
        "lambda x: F.interpolate(x, (16, 16), mode='bicubic')",
        "lambda x: ops.interpolate(x, (16, 16), mode='bicubic')",
        cause="resize-mode",
        note="another cubic; nothing in MindSpore on CPU equals PyTorch's",
    ),
)

FUNCTIONS = (
    Row(
        "var",
        "lambda x: x.var((2, 3))",
        "lambda x: x.var((2, 3))",
        "lambda x: ops.var(x, (2, 3), ddof=1)",
        cause="variance",
        note="MindSpore divides by n, PyTorch by n - 1",
        defaults=("", "ops.var ddof"),
    ),
    Row(
        "std",
        "lambda x: torch.std(x, (2, 3))",
        "lambda x: ops.std(x, (2, 3))",
        "lambda x: ops.std(x, (2, 3), ddof=1)",
        cause="variance",
        note="MindSpore divides by n, PyTorch by n - 1",
        defaults=("", "ops.std ddof"),
    ),
    Row(
        "max along an axis",
        "lambda x: x.max(1)[0]",
        "lambda x: x.max(1)[0]",
        cause="axis",
    ),
    Row("sum along axes", "lambda x: x.sum((2, 3))", "lambda x: x.sum((2, 3))"),
    Row(
        "split",
        "lambda x: x.split(1, 1)[1]",
        "lambda x: x.split(1, 1)[1]",
        cause="axis",
    ),
    Row(
        "transpose",
        "lambda x: x.transpose(1, 2)",
        "lambda x: x.transpose(1, 2)",
        cause="axis",
    ),
    Row(
        "repeat",
        "lambda x: x.repeat(1, 2, 1, 1)",
        "lambda x: x.repeat(1, 2, 1, 1)",
        "lambda x: x.tile((1, 2, 1, 1))",
        cause="axis",
    ),
    Row(
        "slice with a step",
        "lambda x: x[:, :, ::2, ::2]",
        "lambda x: x[:, :, ::2, ::2]",
        "lambda x: ops.strided_slice(x, (0, 0, 0, 0), x.shape, (1, 1, 2, 2))",
        cause="grad-missing",
        note="the gradient fails",
    ),
    Row(
        "+= on a second name",
        "lambda x: [y := x * 1, operator.iadd(y, 1)][0]",
        "lambda x: [y := x * 1, operator.iadd(y, 1)][0]",
        "lambda x: x * 1 + 1",
        cause="inplace",
        note="+= makes a new tensor: what had the same name before keeps its values",
    ),
    Row(
        "detach",
        "lambda x: x * x.detach()",
        "lambda x: x * x.detach()",
        "lambda x: x * ops.stop_gradient(x)",
        cause="missing-op",
    ),
    Row(
        "einsum",
        "lambda x: torch.einsum('nchw,nchw->nc', x, x)",
        "lambda x: ops.einsum('nchw,nchw->nc', x, x)",
        "lambda x: (x * x).sum((2, 3))",
        cause="missing-op",
        note="no kernel on CPU",
    ),
    Row(
        "roll",
        "lambda x: x.roll(1, 3)",
        "lambda x: x.roll(1, 3)",
        "lambda x: ops.cat([x[:, :, :, -1:], x[:, :, :, :-1]], 3)",
        cause="missing-op",
        note="no kernel on CPU",
    ),
    Row(
        "size",
        "tuple(torch.zeros(2, 3).size())",
        "ops.zeros((2, 3)).size",
        "ops.zeros((2, 3)).shape",
        note="a number of elements, and no method",
        kind="value",
    ),
    Row(
        "draws of one seed",
        "[torch.manual_seed(0), torch.randn(3)][1].tolist()",
        "[ms.set_seed(0), ops.randn(3)][1].tolist()",
        note="no seed gives the same numbers: draw in NumPy and feed both",
        kind="value",
    ),
)

KERNELS = (
    Row(
        "tanh, -12 to 12",
        "torch.tanh",
        "ops.tanh",
        "lambda x: 2 * ops.sigmoid(2 * x) - 1",
        note="less accurate than rounding; `compare` allows for it and lists it",
        inputs=("even numbers",),
    ),
    Row(
        "sigmoid, -12 to 12, relative",
        "torch.sigmoid",
        "ops.sigmoid",
        note="less accurate than rounding; `compare` allows for it and lists it",
        inputs=("even numbers",),
        relative=True,
    ),
    Row(
        "exp, -12 to 12, relative",
        "torch.exp",
        "ops.exp",
        note="less accurate than rounding; `compare` allows for it and lists it",
        inputs=("even numbers",),
        relative=True,
    ),
    Row(
        "log, 0.001 to 1000, relative",
        "torch.log",
        "ops.log",
        note="an absolute error near 1, where the logarithm is small; `compare` allows for it and lists it",
        inputs=("positive numbers",),
        relative=True,
    ),
    Row("sqrt, 0.001 to 1000, relative", "torch.sqrt", "ops.sqrt", inputs=("positive numbers",), relative=True),
)
