"""Each quantity after each step over what it is allowed: above 1, rounding and what training makes of it are not all.

With an envelope a quantity is allowed FACTOR times the largest of
- the distance that a draw of one side, an ulp away, has reached by then;
- the median of that over all quantities of its kind, in proportion to their sizes: a scalar's few draws may be lucky;
- one rounding of the value itself;
- where the draws are as far apart as the quantity is large, so that it is rounding and nothing else (the gradient of a
  bias before a batch norm), the median distance of its kind: how large it is depends on the order of its sum alone.

Adam adds an error of its own, since a framework may keep beta2 in float32: 1 - beta2 is then off by u / (1 - beta2),
which is 2^-14 for 0.999, second moments as much, and steps half as much. Draws that are loaded before every step are
given it; where only the batches can be moved, their distances stand for it in proportion, as training amplifies both
alike.

Where that is not enough for all, mirrored pairs of draws some ulps away add what they reach (record.py), for what
jumps.

An ulp before every step stands for every rounding within it. FACTOR is what the kernels of the other side may have
more: a plain running sum of n terms errs sqrt(n / 18) times as far as one rounding of each, 16 times for n = 4,608, the
longest convolution here; the sigmoid of MindSpore's CPU errs by 40 u.

Without an envelope step 1 is judged, since it starts from the same state: FACTOR roundings of 16 terms' worth each
explain 2^-16 of a quantity. How fast training makes more of it is not known then, and may be by thousands in one step
(a batch norm over two pictures), so that of the next two steps only the parameters are judged, allowed 8 times as much
in each, and by the median over all of them: Adam moves those whose gradient is rounding alone anywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from twinzoo.parity.steps.deviation import PARAMETER, Apart, Quantity

FACTOR = 16.0

BETAS = {"v": 2.0**-14, PARAMETER: 2.0**-15}
"""What float32 betas make of Adam's second moments and of its steps, relative."""

_REST = 4.0
"""A quantity is rounding alone where so many times its draws' distance is its size."""

BLIND = 3
"""The last step in which anything is judged without an envelope."""

_FIRST, _GROWTH = 2.0**-16, 8.0
_LEAST = 2.0**-2
"""Without an envelope: a quantity's size is taken for no less than this share of the largest of its kind."""
_ADAM = 2.0**7
"""Without an envelope: how much more parameters may be apart, since Adam divides small gradients by themselves."""


class Judge:
    """Ratios to what is allowed, step after step; what a draw has once reached stays allowed.

    Args:
        loaded: whether draws were given the error of float32 betas.
    """

    def __init__(self, loaded: bool = True) -> None:
        self._loaded = loaded
        self._reached: dict[Quantity, float] = {}
        self._factor = FACTOR

    def with_envelope(
        self, apart: Mapping[Quantity, Apart], spread: Mapping[Quantity, float]
    ) -> tuple[dict[Quantity, float], dict[Quantity, float]]:
        """The ratios and what was allowed, after one step.

        Args:
            apart: the sides against each other.
            spread: the farthest draw of one side from itself.
        """
        for quantity, distance in spread.items():
            self._reached[quantity] = max(self._reached.get(quantity, 0.0), distance)
        shares: dict[str, list[float]] = {}
        for quantity, found in apart.items():
            if found.size > 0:
                shares.setdefault(quantity.kind, []).append(self._reached.get(quantity, 0.0) / found.size)
        usual = {kind: _usual(found) for kind, found in shares.items()}
        distances = {kind: self._usual_distance(kind, apart) for kind in usual}
        allowed = {}
        for quantity, found in apart.items():
            pooled = usual.get(quantity.kind, 0.0) * found.size
            reached = self._reached.get(quantity, 0.0)
            rest = distances.get(quantity.kind, 0.0) if _REST * reached >= found.size else 0.0
            limit = self._factor * max(reached, pooled, rest)
            betas = BETAS.get(quantity.kind, 0.0) * found.size if "v" in usual else 0.0
            allowed[quantity] = max(limit, FACTOR * found.unit, betas)
        if not self._loaded and "v" in usual and self._factor == FACTOR:  # from the second step on
            self._factor = max(FACTOR, 4 * BETAS[PARAMETER] / max(usual.get(PARAMETER, 0.0), 2.0**-24))
        return {quantity: over(found.distance, allowed[quantity]) for quantity, found in apart.items()}, allowed

    def _usual_distance(self, kind: str, apart: Mapping[Quantity, Apart]) -> float:
        return median(self._reached.get(quantity, 0.0) for quantity in apart if quantity.kind == kind)

    @staticmethod
    def without(apart: Mapping[Quantity, Apart], step: int) -> tuple[dict[Quantity, float], dict[Quantity, float]]:
        """The ratios after step 1, 2 or 3, counted from 1, and what was allowed; nothing after that."""
        if step > BLIND:
            return {}, {}
        largest: dict[str, float] = {}
        for quantity, found in apart.items():
            largest[quantity.kind] = max(largest.get(quantity.kind, 0.0), found.size)
        ratios, allowed = {}, {}
        for quantity, found in apart.items():
            size = max(found.size, _LEAST * largest[quantity.kind])
            share = _FIRST * _GROWTH ** (step - 1) * (_ADAM if quantity.kind == PARAMETER else 1.0)
            allowed[quantity] = max(share * size, FACTOR * found.unit)
            if step == 1 or quantity.kind == PARAMETER:
                ratios[quantity] = over(found.distance, allowed[quantity])
        moved = [ratio for quantity, ratio in ratios.items() if quantity.kind == PARAMETER]
        if moved and (usual := median(moved)) <= 1:
            ratios |= {quantity: min(ratio, usual) for quantity, ratio in ratios.items() if quantity.kind == PARAMETER}
        return ratios, allowed


def _usual(shares: list[float]) -> float:
    """The median of distances over sizes; of two the less, where the other's quantity is rounding alone."""
    return min(shares) if len(shares) == 2 and _REST * max(shares) >= 1 else median(shares)


def over(distance: float, allowed: float) -> float:
    """A distance over what is allowed: infinite where nothing is, and there is one."""
    if distance == 0:
        return 0.0
    return distance / allowed if allowed > 0 else float("inf")
