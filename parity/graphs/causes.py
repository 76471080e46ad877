"""What a difference between two operations is called: attribute by attribute, and kind by kind."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

from twinzoo.converters.graph import Operation

_SAME = frozenset(
    [
        "eps",
        "momentum",
        "affine",
        "padding",
        "stride",
        "kernel",
        "dilation",
        "groups",
        "bias",
        "slope",
        "axis",
        "scale",
        "reduction",
    ]
)

OF_ATTRIBUTE: Mapping[str, str] = {
    **{name: name for name in _SAME},
    "output_padding": "output-padding",
    "alpha": "slope",
    "approximate": "approximation",
    "p": "dropout",
    "align_corners": "align-corners",
    "ceil_mode": "ceil-mode",
    "count_include_pad": "count-include-pad",
    "axes": "axis",
    "correction": "variance",
    "shift": "offset",
    "batch_statistics": "norm-mode",
}
"""Attribute -> cause, whatever the operation."""

_OF_OWN: Mapping[tuple[str, str], str] = {
    ("interpolate", "mode"): "resize-mode",
    ("interpolate", "scale"): "resize-mode",
    ("interpolate", "size"): "resize-mode",
    ("pad2d", "mode"): "pad-mode",
    ("prelu", "slope"): "slope",
}
"""(kind, attribute) -> cause, where it is another than the attribute's."""

FAMILIES: Mapping[str, frozenset[str]] = {
    "activation": frozenset(
        ["relu", "leaky_relu", "elu", "gelu", "silu", "tanh", "sigmoid", "softplus", "prelu", "clamp"]
    ),
    "norm-kind": frozenset(["batch_norm", "instance_norm", "group_norm", "layer_norm", "l2_normalize"]),
    "pool-kind": frozenset(["max_pool2d", "avg_pool2d", "adaptive_avg_pool2d"]),
    "reduction": frozenset(["sum", "mean", "amax", "amin"]),
}
"""Cause -> the kinds that stand in each other's stead."""

_SILENT = frozenset({"momentum", "p"})
"""Attributes that eval mode does not show."""


def differing(a: Operation, b: Operation) -> dict[str, tuple[Hashable, Hashable]]:
    """The attributes of two operations of one kind that are not the same; floats to the digits of float32."""
    names = [*a.attrs, *(name for name in b.attrs if name not in a.attrs)]
    pairs = {name: (a.attrs.get(name), b.attrs.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if not _alike(*pair)}


def of_attribute(kind: str, name: str) -> str:
    """The cause that an attribute stands for."""
    plain = name.rpartition(".")[2]
    return _OF_OWN.get((kind, plain), OF_ATTRIBUTE.get(plain, "unexplained"))


def of_kinds(a: str, b: str) -> str:
    """The cause where one operation stands in another's stead."""
    return next((cause for cause, kinds in FAMILIES.items() if {a, b} <= kinds), "unexplained")


def silent(name: str) -> bool:
    """Whether an attribute makes no difference in eval mode, and is to be reported all the same."""
    return name in _SILENT


def _alike(a: Hashable, b: Hashable) -> bool:
    if isinstance(a, float) and isinstance(b, (int, float)):
        return abs(a - b) <= 1e-6 * max(abs(a), abs(b))
    return a == b
