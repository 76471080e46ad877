"""What each side's optimizer does with one parameter, and in what the two differ.

Every rule is tried on both sides' own records. Where one rule fits both, at the same learning rates, nothing differs.
Else the cause is the smallest change of rule after which each side is reproduced within rounding.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import product

import numpy as np

from twinzoo.parity.steps.moments import Betas, has_moments, possible_betas
from twinzoo.parity.steps.rules import Fit, Rule, allowed, direction, fit
from twinzoo.parity.steps.simulate import candidates, fitting, simulated, told
from twinzoo.parity.steps.tracks import Track

NONE: Betas = (0.0, 0.0)
"""The betas of an optimizer that has none."""

_FIRST: Betas = (0.9, 0.999)
_EPS = (1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-10, 1e-12, 0.0)
_PLACES = ("after", "before", "inside")
_COUNTED = (0, None, 1)

_BLURRED = 2.0**-10
"""Where a gradient is rounding alone, moments that are made from it say nothing about their optimizer."""

_PATIENCE = 3
"""After as many parameters that no rule explains, only the rules that explained others are tried."""

_CONSTANT, _VARYING = 1.2, 1.5
"""What another learning rate costs against one other setting of a rule: rates that agree are no coincidence."""


@dataclass(frozen=True)
class Explained:
    """One parameter's update on both sides.

    Attributes:
        betas, rules, fits: of side a and of side b.
    """

    tracks: tuple[Track, Track]
    betas: tuple[Betas, Betas]
    rules: tuple[Rule, Rule]
    fits: tuple[Fit, Fit]

    @property
    def apart(self) -> list[int]:
        """The steps, from 0, whose learning rates cannot be the same."""
        a, b = self.fits
        return [int(i) for i in np.flatnonzero((a.low > b.high) | (b.low > a.high))]

    @property
    def cost(self) -> float:
        """How much differs."""
        fields = ("eps", "place"), ("counted",), ("decay",)
        changes = sum(any(getattr(self.rules[0], f) != getattr(self.rules[1], f) for f in group) for group in fields)
        return changes + (0.0 if not self.apart else _CONSTANT if self.proportion else _VARYING)

    @property
    def proportion(self) -> float | None:
        """b's learning rate over a's, where it is the same at every step and not 1."""
        a, b = self.fits
        with np.errstate(all="ignore"):
            low, high = b.low / a.high, b.high / a.low
        sure = np.isfinite(low) & np.isfinite(high) & (a.low > 0)
        if not sure.any():
            return None
        least, most = float(low[sure].max()), float(high[sure].min())
        return (least + most) / 2 if least <= most and not least <= 1 <= most else None


class Identifier:
    """Explains one parameter after another; what explained one is tried first on the next."""

    def __init__(self) -> None:
        self._known: dict[tuple[Rule, Rule], float] = {}
        self._betas: dict[tuple[str, Betas], None] = {}
        self._failures: Counter[str] = Counter()

    def explain(self, a: Track, b: Track) -> Explained | None:
        """The smallest difference that explains both records; None where one is no known optimizer's."""
        if told(a) and told(b):
            return (
                self._ruled("sgd", a, b, (NONE, NONE))
                or self._simulated("momentum", a, b)
                or self._simulated("adam", a, b)
            )
        if has_moments(a) and has_moments(b):
            betas = _betas(a, b)
            return None if betas is None else self._ruled("adam", a, b, betas)
        if "momentum" in a.slots and "momentum" in b.slots:
            return self._ruled("momentum", a, b, (NONE, NONE))
        return None

    def _simulated(self, kind: str, a: Track, b: Track) -> Explained | None:
        """With moments made from the gradients, by the coefficients that fit."""
        usual = candidates(kind) if self._failures[kind] < _PATIENCE else ()
        tried = [*(betas for own, betas in self._betas if own == kind), *usual]
        ours = _coefficients(kind, a, tried)
        theirs = None if ours is None else _coefficients(kind, b, [ours, *tried])
        if ours is None or theirs is None:
            self._failures[kind] += 1
            return None
        if ours != theirs:
            ours = _coefficients(kind, a, [theirs, ours]) or ours  # a's gradients may be 0, and then say nothing
        made = simulated(kind, a, ours), simulated(kind, b, theirs)
        if any(track.blur is not None and np.median(track.blur) > _BLURRED for track in made):
            return None
        found = self._ruled(kind, *made, (ours, theirs))
        if found is not None:
            self._betas |= dict.fromkeys(((kind, ours), (kind, theirs)))
        return found

    def _ruled(self, kind: str, a: Track, b: Track, betas: tuple[Betas, Betas]) -> Explained | None:
        """By the rules that explained others, else by the best of all."""
        known = {rules: cost for rules, cost in self._known.items() if rules[0].kind == kind}
        tried = [((rule, rule), 0.0) for rule in dict.fromkeys([_usual(kind, a), *sum(known, ())])]
        for (x, y), cost in [*tried, *known.items()]:
            found = _tried(a, b, betas, x, y)
            if found is not None and found.cost <= cost:
                return found
        if self._failures[kind] >= _PATIENCE:
            return None
        best = self._searched(kind, a, b, betas)
        if best is None:
            self._failures[kind] += 1
        else:
            self._known[best.rules] = best.cost
        return best

    def _searched(self, kind: str, a: Track, b: Track, betas: tuple[Betas, Betas]) -> Explained | None:
        decays = dict.fromkeys((0.0, *_decays(kind, a, betas[0]), *_decays(kind, b, betas[1])))
        candidates = [_usual(kind, a), _usual(kind, b)]
        for decay, counted, place, eps in product(decays, _COUNTED, _PLACES, _EPS):
            if kind == "adam":
                candidates.append(Rule(kind, eps, place, counted, decay))
            else:
                candidates.append(Rule(kind, decay=decay))
        candidates = list(dict.fromkeys(candidates))
        sides = zip((a, b), betas, strict=True)
        fits = [{rule: found for rule in candidates if (found := fit(rule, *side)).possible} for side in sides]
        pairs = product(fits[0].items(), fits[1].items())
        explained = [Explained((a, b), betas, (x, y), (one, other)) for (x, one), (y, other) in pairs if _near(x, y)]
        return min(explained, key=lambda what: (what.cost, _strange(what)), default=None)


def _near(x: Rule, y: Rule) -> bool:
    """Whether two rules differ little enough to be a pair worth looking at: with the same eps, or in eps alone."""
    return x.eps == y.eps or replace(x, eps=y.eps) == y


def _strange(explained: Explained) -> tuple[int, int, int]:
    """How unusual the rules are, of those that explain equally much."""
    rules = explained.rules
    return (
        sum(_EPS.index(rule.eps) if rule.eps in _EPS else 0 for rule in rules),
        sum(_PLACES.index(rule.place) for rule in rules),
        sum(_COUNTED.index(rule.counted) for rule in rules),
    )


def _tried(a: Track, b: Track, betas: tuple[Betas, Betas], x: Rule, y: Rule) -> Explained | None:
    one, other = fit(x, a, betas[0]), fit(y, b, betas[1])
    return Explained((a, b), betas, (x, y), (one, other)) if one.possible and other.possible else None


def _betas(a: Track, b: Track) -> tuple[Betas, Betas] | None:
    """The betas of both sides, the same ones where they can be."""
    ours, theirs = possible_betas(a), possible_betas(b)
    common = [pair for pair in ours if pair in theirs]
    if common:
        return common[0], common[0]
    return (ours[0], theirs[0]) if ours and theirs else None


def _coefficients(kind: str, track: Track, tried: Iterable[Betas]) -> Betas | None:
    """The first of these with which some rule makes the recorded steps, with a weight decay or without."""
    rules = [Rule(kind)]
    if kind == "adam":
        rules = [Rule(kind, *settings) for settings in product(_EPS, _PLACES, (0, None))]
    decays = _decays(kind, simulated(kind, track, _FIRST), _FIRST)
    return fitting(kind, track, [*rules, *(replace(rules[0], decay=decay) for decay in decays)], dict.fromkeys(tried))


def _usual(kind: str, track: Track) -> Rule:
    """What the side itself says of its optimizer, else the defaults."""
    eps = track.numbers.get("eps", 1e-8) if kind == "adam" else 0.0
    return Rule(kind, eps, decay=0.0)


def _decays(kind: str, track: Track, betas: Betas) -> list[float]:
    """Weight decays that the first step suggests, as written with one or two digits and as found."""
    rule = _usual(kind, track)
    weight = 1 / allowed(rule, track, betas)[0]
    columns = np.stack([direction(rule, track, betas)[0] * weight, track.values[0] * weight], axis=1)
    (step, shrink), *_ = np.linalg.lstsq(columns, -track.moves[0] * weight, rcond=None)
    if step == 0 or not np.isfinite(shrink / step) or shrink / step <= 0:
        return []
    found = float(shrink / step)
    return [float(f"{found:.1g}"), float(f"{found:.2g}"), found]
