"""What each framework calls a parameter, and how it lays one out where that differs from the spec: plain data.

Spec names and layouts are PyTorch's, so PyTorch's columns are empty, but for spectral norms, which have the names of
its older hook. Ports and converters both read this table; neither needs a framework for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.spec.graph import Spec
from twinzoo.zoo.spec.ops.spectral import PLAIN

Array = NDArray[Any]

_NORM = {"weight": "gamma", "bias": "beta"}
_PARAMETRIZED = {
    "weight_orig": "parametrizations.weight.original",
    "weight_u": "parametrizations.weight.0._u",
    "weight_v": "parametrizations.weight.0._v",
}

NATIVE_ROLES: Mapping[str, Mapping[str, Mapping[str, str]]] = {
    "torch": dict.fromkeys(PLAIN, _PARAMETRIZED),
    "mindspore": {
        "batch_norm": _NORM | {"running_mean": "moving_mean", "running_var": "moving_variance"},
        "instance_norm": _NORM,
        "group_norm": _NORM,
        "layer_norm": _NORM,
        "embedding": {"weight": "embedding_table"},
        "prelu": {"weight": "w"},
        "blur2d": {"filt": "weight"},
        "blur_transpose2d": {"filt": "weight"},
    },
}
"""Port -> op -> role -> the framework's own name for it. A role that is not listed keeps its name."""

EXTRA_AXES: Mapping[tuple[str, str, str], int] = {("mindspore", "conv1d", "weight"): 2}
"""(port, op, role) -> where the framework's layout has one more axis, of length 1."""

EXTRA_BUFFERS: Mapping[tuple[str, str], Mapping[str, Array]] = {
    ("torch", "batch_norm"): {"num_batches_tracked": np.zeros((), np.int64)},
}
"""(port, op) -> tensors of the framework's state that the spec has not, with the value a fresh model has."""


def parameter_ops(spec: Spec) -> dict[str, tuple[str, str]]:
    """Spec name -> (op, role), for every tensor of the state, called networks too; in the order of `spec.params`."""
    own = {f"{node.name}.{role}": (node.op, role) for node in spec.nodes.values() for role in node.params}
    called = {f"{r.name}.{name}": pair for r in spec.roles.values() for name, pair in parameter_ops(r.spec).items()}
    return own | called


def native_names(spec: Spec, port: str) -> dict[str, str]:
    """Spec name -> native name, for every tensor of the state, in the order of `spec.params`.

    Raises:
        SpecError: the table has no such port.
    """
    if port not in NATIVE_ROLES:
        raise SpecError(f"no native names are known for port {port!r}: only for {', '.join(NATIVE_ROLES)}")
    names = {}
    for name, (op, role) in parameter_ops(spec).items():
        native = NATIVE_ROLES[port].get(op, {}).get(role, role)
        names[name] = name.removesuffix(role) + native
    return names


def native_extras(spec: Spec, port: str) -> dict[str, Array]:
    """Native name -> fresh value, of the tensors that the framework's state has beyond the spec's."""
    own = {
        f"{node.name}.{buffer}": value.copy()
        for node in spec.nodes.values()
        for buffer, value in EXTRA_BUFFERS.get((port, node.op), {}).items()
    }
    called = {f"{r.name}.{name}": v for r in spec.roles.values() for name, v in native_extras(r.spec, port).items()}
    return own | called


def to_native(port: str, op: str, role: str, array: Array) -> Array:
    """A parameter in the framework's layout: the same elements in the same order, as a view."""
    axis = EXTRA_AXES.get((port, op, role))
    return array if axis is None else np.expand_dims(array, axis)


def from_native(port: str, op: str, role: str, array: Array) -> Array:
    """A parameter of the framework in the spec's layout, as a view.

    Raises:
        SpecError: the axis that the framework adds is not of length 1.
    """
    axis = EXTRA_AXES.get((port, op, role))
    if axis is None:
        return array
    if array.ndim <= axis or array.shape[axis] != 1:
        raise SpecError(f"{op} {role}: {port} keeps it with axis {axis} of length 1, got shape {array.shape}")
    return np.squeeze(array, axis)
