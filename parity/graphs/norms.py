"""What a weight norm or a spectral norm makes of its tensors in float64, with bounds: the weight and its gradients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.converters.forms import carry
from twinzoo.converters.layers import Layer, Tensor
from twinzoo.parity.bounds import weight_norm
from twinzoo.parity.bounds.gradients.spectral import through_norm
from twinzoo.parity.bounds.spectral import estimate
from twinzoo.parity.bounds.sums import U
from twinzoo.parity.graphs.computed import Made
from twinzoo.zoo import spectral
from twinzoo.zoo.errors import ConversionError

Array = NDArray[Any]
Bounded = tuple[Array, Array]
"""A float64 array and how far a float32 kernel's may lie from it."""


def kind_of(made: Made) -> str:
    """`weight_norm` or `spectral_norm`, empty where it is neither."""
    roles, role = made.layer.tensors, made.role
    if {f"{role}_g", f"{role}_v"} <= roles.keys():
        return "weight_norm"
    return "spectral_norm" if _original(made) and {f"{role}_u", f"{role}_v"} <= roles.keys() else ""


def _original(made: Made) -> str:
    """The role of the weight that a spectral norm divides, empty where there is none."""
    names = (f"{made.role}_orig", f"{made.role}_bar")
    return next((name for name in names if name in made.layer.tensors), "")


def weight_of(made: Made, shape: tuple[int, ...], state: Mapping[str, Array]) -> Bounded | None:
    """The weight; None where it is computed in another way, or the values forbid it."""
    kind = kind_of(made)
    target = Layer("", {made.role: Tensor("", made.role, shape)}, made.layer.kind)
    value = carry(made.layer, target).values.get("") if kind else None
    if value is None:
        return None
    try:
        weight = np.asarray(value.make(state), np.float64)
    except ConversionError:
        return None
    if kind == "weight_norm":
        g, v = (_array(made, state, f"{made.role}_{part}") for part in ("g", "v"))
        return weight, weight_norm.weight_norm_bound(g, v).reshape(shape)
    op, params = _spectral(made, state)
    found = estimate(op, {}, params, train=False)
    return weight, np.abs(weight) * (found.relative + 3 * U)


def gradients_of(made: Made, state: Mapping[str, Array], gradient: Array) -> dict[str, Bounded]:
    """By key, of the tensors that the weight is computed from and that are trained."""
    tensors, role = made.layer.tensors, made.role
    given = np.asarray(gradient, np.float64)
    if kind_of(made) == "weight_norm":
        g, v = (_array(made, state, f"{role}_{part}") for part in ("g", "v"))
        found = weight_norm.pulled(g, v, given.reshape(v.shape))
        return {tensors[f"{role}_{part}"].key: bounded for part, bounded in found.items()}
    op, params = _spectral(made, state)
    given = given.reshape(params["weight_orig"].shape)
    off, held = estimate(op, {}, params, train=False), spectral.normalised(op, params)["weight"]
    outer = spectral.weight_of(op, np.outer(off.u, off.v), held.shape)
    wanted = (given - (given * held).sum() * outer) / off.sigma
    return {tensors[_original(made)].key: (wanted, through_norm(op, off, held, given, 0.0))}


def _array(made: Made, state: Mapping[str, Array], role: str) -> Array:
    return np.asarray(state[made.layer.tensors[role].key], np.float64)


def _spectral(made: Made, state: Mapping[str, Array]) -> tuple[str, dict[str, Array]]:
    """The op whose rows the weight has, and its tensors under the roles of the op table."""
    roles = {"weight_orig": _original(made), "weight_u": f"{made.role}_u", "weight_v": f"{made.role}_v"}
    params = {role: _array(made, state, own) for role, own in roles.items()}
    params |= {role: params[role].reshape(-1) for role in ("weight_u", "weight_v")}
    return "spectral_conv_transpose2d" if "transpose" in made.layer.kind else "spectral_conv2d", params


def stepped(made: Made, before: Mapping[str, Array], *, u_first: bool) -> dict[str, Bounded]:
    """u and v by key after one step of the power method, in PyTorch's newer order or in the paper's."""
    op, params = _spectral(made, before)
    matrix, first, second = spectral.matrix_of(op, params["weight_orig"]), "u", "v"
    if not u_first:  # the same of the transposed matrix
        matrix, first, second = matrix.T, "v", "u"
    turned = {"weight_orig": matrix, "weight_u": params[f"weight_{first}"], "weight_v": params[f"weight_{second}"]}
    found = estimate("spectral_linear", {"eps": _EPS}, turned, train=True)
    after = {first: (found.u, found.u_off), second: (found.v, found.v_off)}
    return {made.layer.tensors[f"{made.role}_{part}"].key: after[part] for part in "uv"}


def moves(made: Made, before: Mapping[str, Array], times: int, *, u_first: bool) -> list[dict[str, Bounded]]:
    """u and v by key after 0, 1 and up to `times` steps, one after the other.

    A step carries an error of what it starts from on, at most by |W| / (u W v) for each of its two products.
    """
    keys = [made.layer.tensors[f"{made.role}_{part}"].key for part in "uv"]
    found = [{key: (np.asarray(before[key], np.float64).reshape(-1), np.zeros(before[key].size)) for key in keys}]
    for _ in range(times):
        here = at(before, found[-1])
        earlier = _length(found[-1]) * gain(made, here) ** 2
        after = stepped(made, here, u_first=u_first)
        found.append({key: (value, off + earlier) for key, (value, off) in after.items()})
    return found


def at(before: Mapping[str, Array], moved: Mapping[str, Bounded]) -> dict[str, Array]:
    """The state with u and v as they are after some steps."""
    return {**before, **{key: value.reshape(before[key].shape) for key, (value, _) in moved.items()}}


def gain(made: Made, state: Mapping[str, Array]) -> float:
    """|W| (Frobenius) over u W v: how much larger an error may become in a product with W that is made 1 long."""
    op, params = _spectral(made, state)
    sigma = estimate(op, {}, params, train=False).sigma
    return float(np.linalg.norm(params["weight_orig"]) / max(abs(sigma), _EPS))


def weight_after(
    made: Made, shape: tuple[int, ...], before: Mapping[str, Array], moved: Mapping[str, Bounded]
) -> Bounded | None:
    """The weight of a spectral norm with u and v as they are after some steps; None where the values forbid it."""
    state = at(before, moved)
    found = weight_of(made, shape, state)
    if found is None:
        return None
    weight, off = found
    return weight, off + np.abs(weight) * gain(made, state) * _length(moved)


def _length(moved: Mapping[str, Bounded]) -> float:
    """How far u and v may be off together, as a length."""
    return float(sum(np.linalg.norm(off) for _, off in moved.values()))


_EPS = 1e-12
"""PyTorch's, of spectral norms."""
