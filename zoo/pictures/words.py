"""What a picture says of a node: a few words of the field, its shape, and which kind of box it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from twinzoo.zoo.spec import Node, Value

_KINDS: Mapping[str, tuple[str, ...]] = {
    "conv": ("conv1d", "conv2d"),
    "up": ("conv_transpose2d", "interpolate", "pixel_shuffle", "blur_transpose2d"),
    "down": ("max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "blur2d"),
    "dense": ("linear", "embedding", "matmul", "softmax"),
    "call": ("call",),
    "join": ("add", "concat", "stack"),
}
KIND: Mapping[str, str] = {op: kind for kind, ops in _KINDS.items() for op in ops}
"""Op -> kind of box; every other op is `math`."""

OPENERS = frozenset({"pad2d", "interpolate"})
"""Ops that belong to the convolution after them, not to the one before."""

LEADS = frozenset(KIND) - {"add", "concat", "stack", "interpolate", "softmax"}
"""Ops of which a box has at most one."""

THROUGH = frozenset({"slice", "reshape", "flatten", "transpose", "stop_gradient"})
"""Ops that compute nothing; they are no box but part of a line."""

_WIDTH = 30


def describe(node: Node) -> str:
    """A node in a few words: `3x3 conv 64, stride 2`, `leaky relu 0.2`, `reflect pad 3`."""
    a, op = node.attrs, node.op
    if op == "call":
        return str(a["role"])
    if op in ("conv1d", "conv2d", "conv_transpose2d"):
        named = "transposed conv" if op == "conv_transpose2d" else "conv"
        return f"{_window(a['kernel'])} {named} {a['channels']}{_steps(a)}"
    if op in ("max_pool2d", "avg_pool2d"):
        return f"{_window(a['kernel'])} {op[:3]} pool{_steps(a)}"
    if op == "pad2d":
        return f"{a['mode']} pad {_one(a['padding'])}"
    if op == "linear":
        return f"linear {a['features']}"
    if op == "affine":
        scale = f"× {a['scale']:.4g}" if a["scale"] != 1 else ""
        shift = f"{'-' if a['shift'] < 0 else '+'} {abs(a['shift']):.4g}" if a["shift"] else ""
        return f"{scale} {shift}".strip() or "× 1"
    if op == "leaky_relu":
        return f"leaky relu {a['slope']:g}"
    if op == "interpolate":
        return f"{a['mode']} × {a['scale']:g}" if a["scale"] else f"{a['mode']} resize"
    return op.removesuffix("2d").replace("_", " ")


def _window(kernel: Any) -> str:
    return "×".join(map(str, kernel)) if isinstance(kernel, tuple) else str(kernel)


def _one(sizes: Any) -> str:
    """Equal numbers as one."""
    many = sizes if isinstance(sizes, tuple) else (sizes,)
    return str(many[0]) if len(set(many)) == 1 else " ".join(map(str, many))


def _steps(attrs: Mapping[str, Any]) -> str:
    words = ("stride", "dilation", "groups")
    given = ((word, _one(attrs[word])) for word in words if attrs.get(word) is not None)
    return "".join(f", {word} {number}" for word, number in given if number != "1")


def kind_of(node: Node) -> str:
    """The kind of box that a node leads."""
    return KIND.get(node.op, "math")


def shape(value: Value) -> str:
    """A shape without its batch: `64 × H/2 × W/2`; of a number, `scalar`."""
    sizes = value.shape[1:] if value.shape and str(value.shape[0]) == "N" else value.shape
    if not value.shape:
        return "scalar"
    return " × ".join(str(size) if str(size).count(" ") == 0 else f"({size})" for size in sizes) or "N"


def wrapped(words: Iterable[str]) -> list[str]:
    """Words as lines of about 30 characters, what repeats at once counted, three lines at most."""
    lines: list[str] = []
    for word in _counted(words):
        if lines and len(lines[-1]) + len(word) + 2 <= _WIDTH:
            lines[-1] += f", {word}"
        else:
            lines.append(word)
    return lines if len(lines) <= 3 else [*lines[:2], f"{lines[2]} …"]


def _counted(words: Iterable[str]) -> list[str]:
    runs: list[tuple[str, int]] = []
    for word in words:
        if runs and runs[-1][0] == word:
            runs[-1] = (word, runs[-1][1] + 1)
        else:
            runs.append((word, 1))
    return [word if count == 1 else f"{count} {word}" for word, count in runs]
