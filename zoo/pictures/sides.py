"""Rows of boxes, ordered and placed across, in the way of Sugiyama, Tagawa and Toda 1981 (IEEE Trans. SMC 11).

A line that passes a row gets a lane in it, as if it were a thin box. The order within rows comes from sweeps by
barycentres; the places are then the nearest to the neighbours' mean that keep the order, which is isotonic regression.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

_BESIDE, _LANE = 18, 14
_SWEEPS = 12


class Side:
    """One side of a picture.

    Attributes:
        row: of each box and lane.
        lanes: (source, target) -> the lanes that the line between them passes, in order.
        x: the middle of each box and lane; the leftmost edge is at 0, the rightmost at `right`.
    """

    def __init__(self, widths: Mapping[str, float], row: Mapping[str, int], links: Iterable[tuple[str, str]]) -> None:
        self.row = dict(row)
        self.lanes: dict[tuple[str, str], list[str]] = {}
        self._boxes = widths
        self._width = dict(widths)
        self._near: dict[str, list[str]] = {name: [] for name in widths}
        for source, target in links:
            self._connect(source, target)
        self._rows: dict[int, list[str]] = {}
        for name in self._near:
            self._rows.setdefault(self.row[name], []).append(name)
        self._order()
        self.x = self._across()
        self.right = max((x + self._width[name] / 2 for name, x in self.x.items()), default=0.0)

    def _connect(self, source: str, target: str) -> None:
        step = 1 if self.row[target] > self.row[source] else -1
        passed = []
        for row in range(self.row[source] + step, self.row[target], step):
            lane = f"{source}>{target}>{row}"
            self.row[lane], self._width[lane], self._near[lane] = row, _LANE, []
            passed.append(lane)
        self.lanes[source, target] = passed
        for one, other in pairwise([source, *passed, target]):
            self._near[one].append(other)
            self._near[other].append(one)

    def _order(self) -> None:
        """Sweep down and up; the order with the fewest crossings stays."""
        best, fewest = dict(self._rows), self._crossings()
        for sweep in range(_SWEEPS):
            for row in sorted(self._rows, reverse=bool(sweep % 2)):
                self._rows[row] = self._by_barycentres(row, row + (1 if sweep % 2 else -1))
            if (crossings := self._crossings()) < fewest:
                best, fewest = dict(self._rows), crossings
        self._rows = best

    def _by_barycentres(self, row: int, other: int) -> list[str]:
        place = self._places(other)
        wanted = {}
        for here, name in enumerate(self._rows[row]):
            near = [(float(place[m]), 1.0) for m in self._near[name] if m in place]
            wanted[name] = _mean(near, here)
        return sorted(self._rows[row], key=wanted.__getitem__)

    def _places(self, row: int) -> dict[str, int]:
        return {name: place for place, name in enumerate(self._rows.get(row, []))}

    def _crossings(self) -> int:
        total = 0
        for row, names in self._rows.items():
            below = self._places(row + 1)
            ends = [end for name in names for end in sorted(below[m] for m in self._near[name] if m in below)]
            total += sum(a > b for i, a in enumerate(ends) for b in ends[i + 1 :])
        return total

    def _across(self) -> dict[str, float]:
        x = dict.fromkeys(self._near, 0.0)
        for sweep in range(3 * _SWEEPS):
            sides = (-1, 1) if sweep >= 2 * _SWEEPS else (1,) if sweep % 2 else (-1,)
            for row in sorted(self._rows, reverse=bool(sweep % 2)):
                names = self._rows[row]
                wanted = []
                for name in names:
                    near = [(x[m], self._pull(name, m)) for m in self._near[name] if self.row[m] - row in sides]
                    wanted.append(_mean(near, x[name]))
                gaps = [(self._width[a] + self._width[b]) / 2 + _BESIDE for a, b in pairwise(names)]
                weights = [1.0 if name in self._boxes else 8.0 for name in names]
                x |= dict(zip(names, _apart(wanted, gaps, weights), strict=True))
        least = min((x[name] - self._width[name] / 2 for name in x), default=0.0)
        return {name: value - least for name, value in x.items()}

    def _pull(self, one: str, other: str) -> float:
        """How straight a line wants to be: most where it only passes (Gansner et al. 1993, section 4)."""
        return (1.0, 2.0, 8.0)[(one not in self._boxes) + (other not in self._boxes)]


def _mean(numbers: Sequence[tuple[float, float]], otherwise: float) -> float:
    """The mean of numbers with their weights."""
    return sum(x * weight for x, weight in numbers) / sum(weight for _, weight in numbers) if numbers else otherwise


def _apart(wanted: Sequence[float], gaps: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The nearest numbers to the wanted ones, by weighted squares, that rise by at least the gaps."""
    shifts = [0.0]
    for gap in gaps:
        shifts.append(shifts[-1] + gap)
    pooled: list[tuple[float, float, int]] = []
    for value, shift, weight in zip(wanted, shifts, weights, strict=True):
        pooled.append((value - shift, weight, 1))
        while len(pooled) > 1 and pooled[-2][0] > pooled[-1][0]:
            (a, u, m), (b, v, n) = pooled[-2:]
            pooled[-2:] = [((a * u + b * v) / (u + v), u + v, m + n)]
    flat = [value for value, _, count in pooled for _ in range(count)]
    return [value + shift for value, shift in zip(flat, shifts, strict=True)]
