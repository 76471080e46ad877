"""Causes in the backward pass: a gradient that is missing, scaled, or has the weights added to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.steps.causes.cause import Cause, cause, short

Array = NDArray[Any]


class Gradient(NamedTuple):
    """What pushed one parameter in one step, a sample of its elements.

    Attributes:
        a, b: of the two sides: gradients, momentum buffers, or moves where neither is known.
        values: the parameter before the step.
        past: the momentum buffer before the step, where that is what is compared.
        noise: the mean |a - b| that is explained.
    """

    a: Array
    b: Array
    values: Array
    past: Array | None
    noise: float


_SURE = 4.0
"""Two gradients tell a cause where they, and what is between them, are so many times larger than the noise."""

_FEW = 3
"""Of fewer elements everything is proportional to everything: they confirm what larger tensors have shown."""

_FIXES = {
    "grad-missing": "see that this parameter is trained on both sides: reached by the loss, and given to the optimizer",
    "weight-decay": "give both the same decay, and both Adam (added to the gradient) or both AdamW (beside the step)",
    "momentum": "give both optimizers the same momentum",
    "reduction": "use the same reduction on both sides: mean or sum",
    "scale": "look for a factor on one side's loss or gradients: a loss weight or scale, clipping, accumulation",
    "lr": "b: use a's learning rate; where this is plain SGD, look for a factor on the loss or gradients as well",
    "schedule": "b: change the learning rate at the same step as a: per epoch or per step, before or after the update",
    "unexplained": "compare the gradients of both networks layer by layer: compare(..., grad=True)",
}


class Said(NamedTuple):
    """What explains one gradient: the cause, its evidence, and the number in it."""

    kind: str
    evidence: str
    number: float = 0.0


def gradient_causes(
    step: int,
    found: Mapping[str, Gradient],
    counts: Mapping[int, str],
    stage: str,
    label: Callable[[str], str],
) -> list[Cause]:
    """A cause for every gradient that rounding does not explain, those alike together.

    Args:
        step: from 1.
        found: by side a's name.
        counts: numbers of elements that a sum may be larger by, in words.
        stage: `backward`, or `backward or optimizer` where these are moves.
    """
    groups: dict[tuple[str, str], list[str]] = {}
    shown: list[Said] = []
    far = {key: np.abs(gradient.a - gradient.b).mean() / gradient.noise for key, gradient in found.items()}
    for key in sorted(found, key=lambda key: (found[key].a.size < _FEW, -far[key])):
        said = _explained(found[key], counts, shown)
        if said.kind == "unexplained":  # told at the worst
            told = next((said for said in shown if said.kind == "unexplained"), None)
            said = told or said._replace(evidence=f"{label(key)}: {said.evidence}")
        shown.append(said)
        groups.setdefault((said.kind, said.evidence), []).append(label(key))
    ratios = {(said.kind, said.evidence): said.number for said in reversed(shown)}
    return [_cause(step, *said, keys, stage, ratios.get(said, 0.0)) for said, keys in groups.items()]


def _cause(step: int, kind: str, evidence: str, keys: list[str], stage: str, ratio: float) -> Cause:
    moves = "optimizer" in stage and "backward" in stage
    if moves and kind in ("scale", "reduction"):  # of moves, since no loss is a multiple of the other side's
        kind = "lr" if step == 1 else "schedule"
    words = evidence.replace("{it}", "step" if moves else "gradient")
    return replace(cause(step, stage, kind, keys, words, _FIXES[kind]), number=ratio)


def _explained(g: Gradient, counts: Mapping[int, str], shown: list[Said]) -> Said:
    for side, other, x, y in (("b", "a", g.b, g.a), ("a", "b", g.a, g.b)):
        if not x.any() and np.abs(y).mean() > g.noise and not _fits(g, _slope(g.values, g.b - g.a), g.values):
            return Said("grad-missing", f"{side}'s {{it}} is 0 in every element, {other}'s is not")
    if np.abs(g.a - g.b).mean() <= _SURE * g.noise:
        return Said("unexplained", _fingerprint(g))
    if g.a.size < _FEW:
        fitting = [s for s in shown if s.number and (_fits(g, s.number, g.values) or _proportional(g, s.number))]
        return fitting[0] if fitting else Said("unexplained", _fingerprint(g))
    ratio = _slope(g.a, g.b)
    if min(np.abs(g.a).mean(), np.abs(g.b).mean()) > _SURE * g.noise and _proportional(g, ratio):
        share = 3 * g.noise / float(np.abs(g.a).mean())
        kind, words = factor(ratio, share, counts)
        return Said(kind, f"b's {{it}} is {words} a's in every element", ratio)
    decay = _slope(g.values, g.b - g.a)
    if _fits(g, decay, g.values):
        has, lacks = ("b", "a") if decay > 0 else ("a", "b")
        number = _written(decay, g.noise, g.values)
        return Said(
            "weight-decay", f"{has}'s {{it}} is {lacks}'s with {number:g} times the weights added: L2 decay", decay
        )
    if g.past is not None and _fits(g, more := _slope(g.past, g.b - g.a), g.past):
        number = _written(more, g.noise, g.past)
        words = f"b's buffer keeps {number:g} {'more' if more > 0 else 'less'} of the one before than a's does"
        return Said("momentum", words)
    return Said("unexplained", _fingerprint(g))


def _fits(g: Gradient, times: float, what: Array) -> bool:
    """Whether b's is a's and a multiple of something else."""
    return times != 0 and bool(np.abs(g.b - g.a - times * what).mean() <= g.noise)


def _proportional(g: Gradient, ratio: float) -> bool:
    return ratio != 0 and bool(np.abs(g.b - ratio * g.a).mean() <= g.noise * (1 + abs(ratio)))


def _written(value: float, noise: float, what: Array) -> float:
    """The size of a factor with no more digits than the noise leaves."""
    share = 3 * noise / max(float(np.abs(what).mean()), 1e-300)
    return short(abs(value), abs(value) - share, abs(value) + share)


def factor(ratio: float, share: float, counts: Mapping[int, str]) -> tuple[str, str]:
    """What a ratio of two losses or gradients says: reduction, where it is a number of elements; else scale.

    Args:
        share: how far it may be off, relative.
    """
    for inverted, value in ((False, ratio), (True, 1 / ratio)):
        count = round(value)
        if count in counts and abs(value - count) <= share * count:
            return "reduction", f"{'1/' if inverted else ''}{count} ({counts[count]}) times"
    return "scale", f"{short(ratio, *sorted((ratio * (1 - share), ratio * (1 + share)))):g} times"


def _slope(x: Array, y: Array) -> float:
    square = float((x * x).sum())
    return float((x * y).sum()) / square if square > 0 else 0.0


def _fingerprint(g: Gradient) -> str:
    norms = float(np.linalg.norm(g.a)) * float(np.linalg.norm(g.b))
    cosine = float((g.a * g.b).sum()) / norms if norms else 0.0
    return (
        f"mean |a-b| {np.abs(g.a - g.b).mean():.3g} where {g.noise:.3g} is explained, "
        f"mean |a| {np.abs(g.a).mean():.3g}, cosine {cosine:.6f}"
    )
