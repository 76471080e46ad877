"""What a difference between two operations is called: attribute by attribute, and kind by kind."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

from twinzoo.converters.graph import Operation

OF_ATTRIBUTE: Mapping[str, str] = {
    **{name: name for name in ("eps", "momentum", "affine", "padding", "stride", "kernel", "dilation", "groups")},
    **{name: name for name in ("bias", "slope", "axis", "scale", "reduction")},
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
    "training": "norm-mode",
    "pad_mode": "padding",
    "padding_tblr": "padding",
    "before": "output-padding",
    "behind": "output-padding",
    "label_smoothing": "label",
    "beta": "slope",
}
"""Attribute -> cause, whatever the operation; a framework's own attributes without its name."""

_OF_OWN: Mapping[tuple[str, str], str] = {
    ("interpolate", "mode"): "resize-mode",
    ("interpolate", "scale"): "resize-mode",
    ("interpolate", "size"): "resize-mode",
    ("pad2d", "mode"): "pad-mode",
    ("conv_transpose2d", "padding"): "padding",
    ("standardize", "mean"): "offset",
    ("standardize", "std"): "scale",
    ("clamp", "low"): "activation",
    ("clamp", "high"): "activation",
    ("group_norm", "groups"): "norm-kind",
    ("layer_norm", "axes"): "axis",
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

LOSSES = frozenset(["l1_loss", "mse_loss", "smooth_l1_loss", "bce_with_logits", "cross_entropy"])
"""Kinds whose second operand is a label."""

_SILENT = frozenset({"momentum", "p", "eps", "slope", "alpha", "ceil_mode"})
"""Attributes that decide what becomes of other inputs, even where these inputs or eval mode do not show it."""


def differing(a: Operation, b: Operation) -> dict[str, tuple[Hashable, Hashable]]:
    """The attributes of two operations of one kind that are not the same; floats to the digits of float32."""
    pairs = {name: (a.attrs.get(name), b.attrs.get(name)) for name in {**a.attrs, **b.attrs}}
    return {name: pair for name, pair in pairs.items() if not _alike(*pair)}


def same_number(a: float, b: float) -> bool:
    """Whether two numbers are the same to the digits of float32."""
    return abs(a - b) <= 1e-6 * max(abs(a), abs(b))


def of_attribute(kind: str, name: str) -> str:
    """The cause that an attribute stands for."""
    plain = name.rpartition(".")[2]
    return _OF_OWN.get((kind, plain), OF_ATTRIBUTE.get(plain, "unexplained"))


def of_kinds(a: str, b: str) -> str:
    """The cause where one operation stands in another's stead; of strangers, that side a's is missing."""
    return next((cause for cause, kinds in FAMILIES.items() if {a, b} <= kinds), "missing-op")


def of_lone(operations: Sequence[Operation], otherwise: str) -> str:
    """The cause where only one side has these operations; `otherwise` where they are nothing in particular."""
    causes = {_of_lone(operation) for operation in operations}
    return causes.pop() or otherwise if len(causes) == 1 else otherwise


def _of_lone(operation: Operation) -> str:
    word = operation.kind.rpartition(".")[2]
    if "dropout" in word:
        return "dropout"
    if word == "pad2d":
        return "padding" if operation.attrs.get("mode") == "zero" else "pad-mode"
    if word == "affine":
        return "offset" if operation.attrs.get("scale") == 1 else "scale"
    return ""


def silent(name: str) -> bool:
    """Whether an attribute is to be reported although what was computed does not show it."""
    return name in _SILENT


def _alike(a: Hashable, b: Hashable) -> bool:
    if isinstance(a, float) and isinstance(b, (int, float)):
        return same_number(a, b)
    return a == b
