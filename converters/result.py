"""What a conversion found: pairs, leftovers and ties, as data, as a table and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from numpy.typing import NDArray

from twinzoo.converters.agreement import Agreement
from twinzoo.zoo.errors import IncompleteConversionError
from twinzoo.zoo.spec.show import columns

Array = NDArray[Any]


class Pair(NamedTuple):
    """One tensor that found its place.

    `how` is what decided: `name`; `graph` (its kind, shape and surroundings fit one place only, or places that may be
    exchanged); `probe` (both models were run); `order`; `map` (a table that was given).
    """

    source: str
    target: str
    shape: tuple[int, ...]
    how: str


class Tie(NamedTuple):
    """Layers that are alike on both sides, with nothing to tell which is which."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    reason: str


@dataclass(frozen=True)
class Conversion:
    """The outcome of a conversion.

    Attributes:
        source, target: what was converted into what, in words.
        naming: the naming that the source's keys were found to follow, empty where names did not decide.
        pairs: one for each tensor that found its place.
        missing: target keys that nothing was found for.
        unused: source keys without a place.
        ambiguous: layers with more than one equally good place.
        symmetric: groups of source layers that could be exchanged without changing what the network computes.
        dropped: source keys left out on purpose, with the reason.
        changes: what is done to the values of a target key, where they are not kept bit for bit and in their shape.
        misfits: missing target keys whose layer has its place, and why they could not be filled.
        differences: where something is open, what one network has and the other has not, in words.
        allowed: the patterns whose missing and unused keys are accepted.
        state: arrays by target key; read lazily from the source.
        agreement: whether source and target compute the same now, where both are live models.
    """

    source: str
    target: str
    naming: str
    pairs: list[Pair]
    missing: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    ambiguous: list[Tie] = field(default_factory=list)
    symmetric: list[tuple[str, ...]] = field(default_factory=list)
    dropped: dict[str, str] = field(default_factory=dict)
    changes: dict[str, str] = field(default_factory=dict)
    misfits: dict[str, str] = field(default_factory=dict)
    differences: list[str] = field(default_factory=list)
    allowed: tuple[str, ...] = ()
    state: Mapping[str, Array] = field(default_factory=dict, repr=False)
    agreement: Agreement | None = None

    def raise_unless_complete(self, missing: list[str], unused: list[str]) -> None:
        """Refuse, given the leftovers that no pattern allows.

        Raises:
            IncompleteConversionError: something is missing, unused or tied; the table shows it.
        """
        counts = {"missing": len(missing), "unused": len(unused), "ambiguous": len(self.ambiguous)}
        found = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
        if found:
            raise IncompleteConversionError(f"{self.source} does not become {self.target}: {found}", self.leftovers())

    def summary(self) -> str:
        """One line: how many tensors, what decided, what was left out."""
        deciders = ", ".join(f"{count} by {how}" for how, count in Counter(p.how for p in self.pairs).items())
        naming = f" ({self.naming} naming)" if self.naming else ""
        extra = [f"{len(items)} {word}" for items, word in self._counts() if items]
        extra += [f"{count} dropped ({reason})" for reason, count in Counter(self.dropped.values()).items()]
        return f"{len(self.pairs)} tensors matched, {deciders or 'none'}{naming}" + "".join(f", {e}" for e in extra)

    def _counts(self) -> list[tuple[Any, str]]:
        return [
            (self.changes, "changed in form"),
            (self.missing, "missing"),
            (self.unused, "unused"),
            (self.ambiguous, "ambiguous"),
        ]

    def leftovers(self) -> str:
        """What differs between the networks in words, and the missing, unused and ambiguous tensors as a table."""
        rows = [("what", "key", "why")]
        nothing = "the target needs it; nothing in the source fits"
        rows += [("missing", key, self.misfits.get(key, nothing)) for key in self.missing]
        rows += [("unused", key, "the source has it; the target has no place for it") for key in self.unused]
        rows += [("ambiguous", f"{', '.join(t.sources)} -> {', '.join(t.targets)}", t.reason) for t in self.ambiguous]
        return "\n".join([*self.differences, *([""] if self.differences else []), *columns(rows)])

    def __str__(self) -> str:
        rows = [("source", "target", "shape", "how", "change")]
        rows += [(p.source, p.target, str(p.shape), p.how, self.changes.get(p.target, "")) for p in self.pairs]
        lines = [f"{self.source} -> {self.target}: {self.summary()}", *columns(rows)]
        if self.dropped:
            lines += ["", *columns([("dropped", "why"), *self.dropped.items()])]
        if self.missing or self.unused or self.ambiguous:
            lines += ["", self.leftovers()]
        if self.symmetric:
            lines += ["", *(f"alike, either way round computes the same: {', '.join(g)}" for g in self.symmetric)]
        if self.agreement:
            lines += ["", str(self.agreement)]
        return "\n".join(lines)

    def to_json(self) -> str:
        """The mapping without the values."""
        return json.dumps(
            {
                "twinzoo_conversion": 2,
                "source": self.source,
                "target": self.target,
                "naming": self.naming,
                "pairs": [pair._asdict() for pair in self.pairs],
                "changes": self.changes,
                "missing": self.missing,
                "unused": self.unused,
                "ambiguous": [tie._asdict() for tie in self.ambiguous],
                "dropped": self.dropped,
                "misfits": self.misfits,
                "differences": self.differences,
                "allowed": list(self.allowed),
                "symmetric": [list(group) for group in self.symmetric],
                "agreement": self.agreement.to_dict() if self.agreement else None,
            },
            indent=1,
        )
