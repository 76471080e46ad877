"""What a layer stores for its plain tensors: groups of tensors that belong together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from twinzoo.converters.forms.values import Value, kept
from twinzoo.converters.layers import Shape

Roles = Mapping[str, Shape]


@dataclass(frozen=True)
class Unit:
    """Tensors of a layer that stand for others: a norm and a direction for a weight, one packed matrix for three.

    Attributes:
        stored: roles and shapes as the layer has them.
        plain: role of what they stand for -> how it is made from the stored roles.
        unfold: stored role -> how it is made from the plain roles; empty where that cannot be done.
        refusal: why `unfold` is empty.
    """

    stored: Roles
    plain: Mapping[str, Value]
    unfold: Mapping[str, Value] = field(default_factory=dict)
    refusal: str = ""


@dataclass(frozen=True)
class Seen:
    """What a rule looks at.

    Attributes:
        roles: of the layer, with their shapes; those that an earlier rule took are gone.
        kind: of the layer or else of its counterpart, empty where neither is known.
        other: roles and shapes of the layer's counterpart in its plain form, empty where there is none.
    """

    roles: Roles
    kind: str = ""
    other: Roles = field(default_factory=dict)


Rule = Callable[[Seen], Iterator[Unit]]


def itself(role: str, shape: Shape) -> Unit:
    """A tensor that stands for itself."""
    value = {role: kept(role, shape)}
    return Unit({role: shape}, value, value)


def renamed(roles: Mapping[str, str], shapes: Roles) -> Unit:
    """Tensors that only have other names in the plain form.

    Args:
        roles: stored role -> plain role.
    """
    plain = {new: kept(old, shapes[old]) for old, new in roles.items()}
    unfold = {old: kept(new, shapes[old]) for old, new in roles.items()}
    return Unit({old: shapes[old] for old in roles}, plain, unfold)
