"""Which tensors of the two states belong together, and side b's brought into side a's names and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.converters.forms.values import Value, kept
from twinzoo.converters.inspect.pairing import paired
from twinzoo.converters.sides import source_side
from twinzoo.parity.findings import EXACT
from twinzoo.parity.results import Finding
from twinzoo.parity.steps.state import GRADIENT, State
from twinzoo.zoo.errors import ParityError

Array = NDArray[Any]

_CARRIED = 2.0**-21
"""What arithmetic may change where a tensor has another form on the other side (weight norm), relative."""


@dataclass(frozen=True)
class Pairs:
    """How side a's tensors are made of side b's.

    Attributes:
        values: a's key -> what to do with b's tensors.
        findings: a line for each tensor without a counterpart.
    """

    values: Mapping[str, Value]
    findings: list[Finding]

    def label(self, key: str) -> str:
        """The tensor as both sides name it."""
        value = self.values.get(key)
        return key if value is None or value.sources == (key,) else f"{key} ~ {', '.join(value.sources)}"

    def carried(self, b: State) -> State:
        """Side b's state under side a's names."""
        back = {value.sources[0]: key for key, value in self.values.items() if len(value.sources) == 1}
        numbers = {}
        for name, number in b.numbers.items():
            word, _, owner = name.partition(".")
            numbers[f"{word}.{back[owner]}" if owner in back else name] = number
        slots = {slot: self._made(arrays) for slot, arrays in b.slots.items()}
        return State(self._made(b.tensors), slots, numbers, dict(b.others))

    def _made(self, arrays: Mapping[str, Array]) -> dict[str, Array]:
        """Those that can be made of these arrays; an optimizer keeps moments for some parameters alone."""
        return {
            key: np.asarray(value.make(arrays)).reshape(value.shape)
            for key, value in self.values.items()
            if arrays.keys() >= set(value.sources)
        }


def pair(a: State, b: State, known: Mapping[str, str]) -> Pairs:
    """Pair the tensors of two states: the same keys, else as a conversion from b to a would.

    Args:
        known: a's key -> b's key, of tensors that belong together whatever their names are.

    Raises:
        ParityError: one of them is not there, or holds another number of elements.
    """
    _check(a, b, known)
    ours = {key: value for key, value in a.tensors.items() if key not in known}
    theirs = {key: value for key, value in b.tensors.items() if key not in known.values()}
    found = paired(source_side(theirs), source_side(ours), contents=False)
    values = {key: kept(own, a.tensors[key].shape) for key, own in known.items()}
    alone = [
        *((key, "a", "b") for key in found.missing),
        *((key, "b", "a") for key in found.unused),
    ]
    findings = [_alone(key, has, lacks) for key, has, lacks in alone]
    for key in found.misfits:
        shapes = f"{a.tensors[key].shape} in a, {b.tensors[key].shape} in b"
        findings.append(Finding(key, "weight-layout", shapes, "give both sides the same network"))
    for tie in found.ties:
        names = f"{', '.join(tie.targets)} ~ {', '.join(tie.sources)}"
        evidence = f"not told apart by names, shapes or order: {tie.reason}"
        findings.append(Finding(names, "unexplained", evidence, "return the same names from state() on both sides"))
    return Pairs(values | {pair.key: pair.value for pair in found.pairs}, findings)


def _check(a: State, b: State, known: Mapping[str, str]) -> None:
    for key, own in known.items():
        for name, label, state in ((key, "a", a), (own, "b", b)):
            if name not in state.tensors:
                raise ParityError(f"compare_steps: pairs: {label} has no tensor {name!r} in its state()")
        if a.tensors[key].size != b.tensors[own].size:
            shapes = f"{a.tensors[key].shape} in a, {b.tensors[own].shape} in b"
            raise ParityError(f"compare_steps: pairs: {key} ~ {own}: {shapes}: they cannot belong together")


def _alone(key: str, has: str, lacks: str) -> Finding:
    evidence = f"{has} has this tensor and nothing in {lacks} belongs to it, so it was not compared"
    fix = f"return its counterpart from state() of {lacks}, or remove the layer that only {has} has"
    return Finding(key, "missing-op" if lacks == "b" else "extra-op", evidence, fix)


def unpaired_slots(a: State, b: State) -> list[Finding]:
    """A line for each slot of an optimizer that one side keeps and the other does not, where both give any at all."""
    kept = ({slot for slot in state.slots if slot != GRADIENT} for state in (a, b))
    if not all(kept):
        return []
    findings = []
    for slot in sorted({*a.slots, *b.slots} - {GRADIENT}):
        ours, theirs = a.slots.get(slot, {}), b.slots.get(slot, {})
        for key in sorted(ours.keys() ^ theirs.keys()):
            has, lacks = ("a", "b") if key in ours else ("b", "a")
            whole = not ours or not theirs
            evidence = (
                f"{has}'s optimizer keeps {slot} for it, {lacks}'s {'keeps no such thing' if whole else 'does not'}"
            )
            cause = "unexplained" if whole else "grad-missing"
            fix = f"give this parameter to {lacks}'s optimizer, and see that a gradient reaches it"
            findings.append(Finding(key, cause, evidence, "use the same optimizer on both sides" if whole else fix))
    for key in sorted({*a.others} ^ {*b.others}):
        has = "a" if key in a.others else "b"
        evidence = f"only {has} has this of its optimizer, so it was not compared"
        findings.append(Finding(key, "unexplained", evidence, "name it optimizer.<slot>.<parameter> on both sides"))
    return findings


def different_starts(a: State, b: State, pairs: Pairs) -> list[Finding]:
    """A line for each tensor that is not the same on both sides before the first step; b's in a's names."""
    findings = []
    places = [(key, pairs.label(key), a.tensors[key], b.tensors[key]) for key in a.tensors if key in b.tensors]
    for slot in sorted(a.slots.keys() & b.slots.keys() - {GRADIENT}):
        both = a.slots[slot].keys() & b.slots[slot].keys()
        places += [(key, f"{slot} of {pairs.label(key)}", a.slots[slot][key], b.slots[slot][key]) for key in both]
    for key, label, ours, theirs in places:
        allowed = 0.0 if pairs.values[key].exact else _CARRIED * float(np.abs(ours).max(initial=0.0))
        x, y = ours.astype(np.float64), theirs.astype(np.float64)
        with np.errstate(invalid="ignore"):  # of infinities that agree
            apart = np.where((x == y) | (np.isnan(x) & np.isnan(y)), 0.0, np.abs(x - y))
        wrong = ~(apart <= allowed + EXACT)
        if wrong.any():
            count = f"{int(wrong.sum()):,} of {apart.size:,} values"
            evidence = f"differs before the first step in {count}, largest |a-b| {apart.max():.3g}"
            fix = "load the same checkpoint into both sides before the first step; nothing after it is comparable"
            findings.append(Finding(label, "weight-value", evidence, fix))
    return findings
