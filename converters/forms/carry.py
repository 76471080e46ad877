"""The tensors of one layer made from those of another that holds the same in another form.

A layer is seen at three levels: as stored, without reparametrizations, and plain, with everything unpacked. Each tensor
of the target is taken from the lowest level at which both sides have it in the same form: so what both store alike is
copied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from twinzoo.converters.forms.attention import in_projections
from twinzoo.converters.forms.norms import COUNTER, NEUTRAL, created, left_out
from twinzoo.converters.forms.recurrent import flat_lstms, single_layers
from twinzoo.converters.forms.reparametrized import spectral_norms, weight_norms
from twinzoo.converters.forms.shapes import Fit, all_vectors, channels, transposed, without_kernel
from twinzoo.converters.forms.units import Roles, Rule, Seen, Unit, itself
from twinzoo.converters.forms.values import Value, composed, guarded, kept, reshaped
from twinzoo.converters.layers import PLAIN_ROLES, Layer, Shape, Tensor

RULES: tuple[tuple[Rule, ...], ...] = (
    (weight_norms, spectral_norms),
    (in_projections, single_layers, flat_lstms),
)
"""The rules that lead from each level to the next."""

ORDINARY = PLAIN_ROLES | {COUNTER}
"""The roles that no rule leads away from, unless a counterpart says so."""


@dataclass(frozen=True)
class Carried:
    """What becomes of the tensors of two layers that were paired.

    Attributes:
        values: by target key; each makes one tensor from the source's by key. Those that are `exact` are undone bit for
            bit by `carry(target, source)`.
        dropped: source keys that are left out on purpose, with the reason.
        missing: target keys that cannot be made, with the reason.
        unused: source keys that nothing was made of, though they matter.
    """

    values: Mapping[str, Value]
    dropped: Mapping[str, str] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    unused: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether the two layers hold the same: nothing is missing and nothing is lost."""
        return not self.missing and not self.unused


def carry(source: Layer, target: Layer) -> Carried:
    """How each tensor of a layer is made from those of its counterpart.

    Everything is decided by roles, shapes and, where they are known, kinds; the few doubts that only values can settle
    (a gamma that must be 1 to be left out, the rows of a square spectral norm) are settled when a value is made, which
    then raises ConversionError.
    """
    if [(t.role, t.shape) for t in source.tensors.values()] == [(t.role, t.shape) for t in target.tensors.values()]:
        return Carried({t.key: kept(source.tensors[role].key, t.shape) for role, t in target.tensors.items()})
    made, spare = created(source, target), left_out(source, target)
    have = _levels(_without(source, spare), plain(target))
    want = _levels(_without(target, made), plain(source))
    fit = Fit(
        kernels=not (transposed(source) or transposed(target)), vectors=all_vectors(source) and all_vectors(target)
    )
    found: dict[str, Value | str] = dict(made)
    for unit in want[0].units:
        found |= _made(unit, have, want, fit)
    constants = {source.tensors[role].key: NEUTRAL[role] for role, (_, neutral) in spare.items() if neutral}
    values = {
        target.tensors[role].key: guarded(value, constants) if constants else value
        for role, value in found.items()
        if isinstance(value, Value)
    }
    read = {name for value in values.values() for name in value.sources}
    return Carried(
        values,
        {source.tensors[role].key: reason for role, (reason, _) in spare.items()},
        {target.tensors[role].key: reason for role, reason in found.items() if isinstance(reason, str)},
        tuple(t.key for role, t in source.tensors.items() if t.key not in read and role not in spare),
    )


def plain(layer: Layer) -> Layer:
    """The layer as an ordinary one would store it, whose signature is the same for all forms of it.

    Weight and spectral norms are folded, attention's projections are apart (`q_proj_weight`, `q_proj_bias`, ...), a
    recurrent network of one layer has a cell's names, kernels of one element are matrices, and where all tensors are
    (1, C, 1, 1) they are (C,). Each tensor has the key of the first that it is made of. Flat weights of an LSTM stay as
    they are, since their parts' sizes are not known.
    """
    tensors = layer.tensors
    if not tensors.keys() <= ORDINARY:
        values = _levels(layer, None)[-1].values
        tensors = {role: Tensor(value.sources[0], role, value.shape) for role, value in values.items()}
    vectors = all_vectors(layer) and (len(tensors) > 1 or layer.kind == "prelu")
    found = {}
    for role, tensor in tensors.items():
        shape = (channels(tensor.shape),) if vectors and role != COUNTER else tensor.shape
        if role == "weight" and not transposed(layer):
            shape = without_kernel(shape)
        found[role] = Tensor(tensor.key, role, shape)
    return Layer(layer.prefix, found, layer.kind)


@dataclass(frozen=True)
class _Level:
    """A layer's tensors at one level by role, made from its keys, and the units they form."""

    values: Mapping[str, Value]
    units: tuple[Unit, ...]


def _levels(layer: Layer, other: Layer | None) -> tuple[_Level, ...]:
    """From the tensors as stored to the plain ones; with the counterpart's plain form, if there is one."""
    kind = layer.kind or (other.kind if other else "")
    beside = {role: tensor.shape for role, tensor in other.tensors.items()} if other else {}
    values = {role: kept(tensor.key, tensor.shape) for role, tensor in layer.tensors.items()}
    levels = []
    for rules in (*RULES, ()):
        units = _units({role: value.shape for role, value in values.items()}, rules, kind, beside)
        levels.append(_Level(values, units))
        values = {role: composed(value, values) for unit in units for role, value in unit.plain.items()}
    return tuple(levels)


def _units(roles: Roles, rules: tuple[Rule, ...], kind: str, other: Roles) -> tuple[Unit, ...]:
    left, units = dict(roles), []
    for rule in rules:
        for unit in tuple(rule(Seen(left, kind, other))):
            units.append(unit)
            left = {role: shape for role, shape in left.items() if role not in unit.stored}
    return (*units, *(itself(role, shape) for role, shape in left.items()))


def _made(unit: Unit, have: tuple[_Level, ...], want: tuple[_Level, ...], fit: Fit) -> dict[str, Value | str]:
    """The values of a target's unit by its stored roles, or for each why there is none.

    Args:
        have, want: the levels of the two sides, from the unit's own on.
    """
    copied = _copied(unit, have[0], fit)
    if copied:
        return copied
    if unit.refusal:
        return dict.fromkeys(unit.stored, unit.refusal)
    if len(want) == 1:
        return {role: _misfit(have[0], role, shape) for role, shape in unit.stored.items()}
    above: dict[str, Value | str] = {}
    for other in want[1].units:
        if other.stored.keys() & unit.plain.keys():
            above |= _made(other, have[1:], want[1:], fit)
    reasons = [reason for role in unit.plain if isinstance(reason := above[role], str)]
    if reasons:
        return dict.fromkeys(unit.stored, reasons[0])
    values = {role: value for role, value in above.items() if isinstance(value, Value)}
    return {role: composed(value, values) for role, value in unit.unfold.items()}


def _copied(unit: Unit, have: _Level, fit: Fit) -> dict[str, Value | str]:
    """The values where the source has a unit of the same roles and fitting shapes at this level, else nothing."""
    values: dict[str, Value | str] = {}
    if any(other.stored.keys() == unit.stored.keys() for other in have.units):
        for role, shape in unit.stored.items():
            value = have.values[role]
            words = fit.change(role, value.shape, shape)
            if words is None:
                return {}
            values[role] = reshaped(value, shape, words) if words else value
    return values


def _misfit(have: _Level, role: str, shape: Shape) -> str:
    there = have.values.get(role)
    if there is None:
        return f"the source has no {role}"
    return f"{' with '.join(there.sources) or role} is {there.shape}, the target needs {shape}"


def _without(layer: Layer, roles: Mapping[str, object]) -> Layer:
    return Layer(layer.prefix, {r: t for r, t in layer.tensors.items() if r not in roles}, layer.kind)
