"""Causes in the optimizer: what each side's own record says of its betas, eps, decay, correction and learning rates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from twinzoo.parity.steps.causes.cause import Cause, cause, short, times
from twinzoo.parity.steps.identify import Explained
from twinzoo.parity.steps.moments import misfit
from twinzoo.parity.steps.rules import Rule, misses
from twinzoo.parity.steps.simulate import simulated

_WORDS = {
    "after": "added to the root after the bias correction, as torch.optim.Adam does",
    "before": "added to the root before the bias correction, as mindspore.nn.Adam does",
    "inside": "added under the root",
}


@dataclass
class _Found:
    """One cause with one pair of values, and the parameters that have it."""

    step: int
    stage: str
    kind: str
    evidence: str
    fix: str
    keys: list[str] = field(default_factory=list)


def optimizer_causes(explained: Mapping[str, Explained], label: Callable[[str], str]) -> list[Cause]:
    """Every setting in which the two optimizers provably differ, with the parameters that it holds for.

    Args:
        explained: by side a's name of a parameter.
        label: the parameter as both sides name it.
    """
    found: dict[tuple[object, ...], _Found] = {}
    for key, what in explained.items():
        for values, make in _differences(what).items():
            group = found.get(values)
            if group is None:
                group = found[values] = make(label(key))
            group.keys.append(label(key))
    return [cause(item.step, item.stage, item.kind, item.keys, item.evidence, item.fix) for item in found.values()]


def _differences(what: Explained) -> dict[tuple[object, ...], Callable[[str], _Found]]:
    """Each difference by its values, and how it is told at the first parameter that shows it."""
    (x, y), found = what.rules, dict[tuple[object, ...], Callable[[str], _Found]]()
    if what.betas[0] != what.betas[1]:
        found["betas", *what.betas] = lambda key: _betas(what, key)
    if (x.eps, x.place) != (y.eps, y.place):
        changed = replace(y, eps=x.eps, place=x.place)
        words = tuple(f"{rule.eps:g} {_WORDS[rule.place]}" for rule in (x, y))
        fix = f"b: use eps {words[0]}"
        if (x.place, y.place) == ("after", "before"):
            fix = "MindSpore: call ops.Adam with eps * sqrt(1 - beta2**t) in place of nn.Adam, or accept and say so"
        found["eps", x.eps, x.place, y.eps, y.place] = lambda key: _rule(
            what, changed, "optimizer-eps", key, "eps", words, fix
        )
    if x.counted != y.counted:
        changed = replace(y, counted=x.counted)
        words = tuple(_counted(rule) for rule in (x, y))
        fix = f"b: make the step with {words[0]}, the first step being number 1"
        found["counted", x.counted, y.counted] = lambda key: _rule(
            what, changed, "bias-correction", key, "", words, fix
        )
    if x.decay != y.decay:
        changed = replace(y, decay=x.decay)
        words = tuple(_decay(rule) for rule in (x, y))
        fix = "give both the same decay, and both Adam (decay added to the gradient) or both AdamW (beside the step)"
        values = ("decay", *(float(f"{rule.decay:.2g}") for rule in (x, y)))
        found[values] = lambda key: _rule(what, changed, "weight-decay", key, "", words, fix)
    if what.apart:
        found[_rates(what)] = lambda key: _rate(what, key)
    return found


def _betas(what: Explained, key: str) -> _Found:
    ours, theirs = what.betas
    if what.rules[0].kind == "momentum":
        words, kind = tuple(f"a momentum of {betas[0]:g}" for betas in what.betas), "momentum"
    else:
        words, kind = tuple(f"betas {betas}" for betas in what.betas), "betas"
    if what.tracks[1].blur is None:
        misses_, noun = [misfit(what.tracks[i], ours) for i in (0, 1)], "moments"
    else:
        made = simulated(what.rules[1].kind, what.tracks[1], ours)
        steps = [what.fits[0].ratio, misses(what.rules[1], made, ours, what.fits[1].rate)]
        misses_, noun = [float(ratio.max()) for ratio in steps], "steps"
    evidence = (
        f"with {words[0]} a's {noun} of {key} are reproduced to {misses_[0]:.2g} of rounding, "
        f"b's are missed by {times(misses_[1])}; b's are those of {words[1]}"
    )
    return _Found(1, "optimizer", kind, evidence, f"b: use {words[0]}")


def _rule(what: Explained, changed: Rule, kind: str, key: str, noun: str, words: tuple[str, ...], fix: str) -> _Found:
    """A setting of b's rule: the evidence is what becomes of b's own record with side a's."""
    miss = misses(changed, what.tracks[1], what.betas[1], what.fits[1].rate)
    ours, theirs = (f"{noun} {word}".strip() for word in words)
    evidence = (
        f"with {theirs} b's update of {key} is reproduced to {float(what.fits[1].ratio.max()):.2g} of rounding; "
        f"with {ours}, as in a, it misses by {times(float(miss.max()))}"
    )
    return _Found(int(np.argmax(miss > 1)) + 1, "optimizer", kind, evidence, fix)


def _counted(rule: Rule) -> str:
    if rule.counted is None:
        return "no bias correction"
    return (
        "the bias correction" if rule.counted == 0 else f"a bias correction that counts {rule.counted} too many steps"
    )


def _decay(rule: Rule) -> str:
    return f"weight decay {rule.decay:.2g} beside the step" if rule.decay else "no weight decay beside the step"


def rates(what: Explained, side: int) -> list[float]:
    """The learning rate of each step, with no more digits than the record bears."""
    fit = what.fits[side]
    return [short(*values) for values in zip(fit.rate.tolist(), fit.low.tolist(), fit.high.tolist(), strict=True)]


def _rates(what: Explained) -> tuple[object, ...]:
    """What makes two parameters have the same difference in learning rates."""
    if (side := _still(what)) is not None:
        return ("still", side)
    proportion = what.proportion
    return ("schedule", _shift(what)) if proportion is None else ("lr", float(f"{proportion:.3g}"))


def _still(what: Explained) -> int | None:
    """The side that never moves the parameter."""
    return next((side for side in (0, 1) if not what.tracks[side].moves.any()), None)


def _rate(what: Explained, key: str) -> _Found:
    step = what.apart[0]
    ours, theirs = rates(what, 0), rates(what, 1)
    if (side := _still(what)) is not None:
        never, moves, rate = "ab"[side], "ba"[side], (theirs, ours)[side][step]
        evidence = (
            f"{moves} moves {key} at a learning rate of {rate:g}; {never} never changes it, though its moments change"
        )
        return _Found(step + 1, "optimizer", "grad-missing", evidence, f"give this parameter to {never}'s optimizer")
    reproduced = f"reproduced to {float(what.fits[1].ratio.max()):.2g} of rounding"
    if what.proportion is not None:
        evidence = (
            f"b's update of {key} is {reproduced} at a learning rate of {theirs[step]:g}; a's is made at "
            f"{ours[step]:g}: {what.proportion:.4g} times that in every step"
        )
        return _Found(step + 1, "optimizer", "lr", evidence, f"b: use a learning rate of {ours[step]:g}")
    first = max(0, step - 1)
    shown = [", ".join(f"{rate:g}" for rate in side[first : step + 3]) for side in (ours, theirs)]
    evidence = f"learning rates of {key} from step {first + 1} on: {shown[0]} in a, {shown[1]} in b, {reproduced}"
    shift = _shift(what)
    if shift:
        evidence += f": b is {abs(shift)} step{'s' * (abs(shift) > 1)} {'early' if shift > 0 else 'late'}"
    fix = "b: change the learning rate at the same step as a: once an epoch or once a step, before or after the update"
    return _Found(step + 1, "schedule", "schedule", evidence, fix)


def _shift(what: Explained) -> int:
    """By how many steps b's rates are ahead of a's, 0 where that does not describe them."""
    a, b = what.fits
    count = len(a.rate)
    for shift in (s for far in range(1, count - 1) for s in (far, -far)):
        ours = slice(max(0, shift), count + min(0, shift))
        theirs = slice(max(0, -shift), count + min(0, -shift))
        if ((a.low[ours] <= b.high[theirs]) & (b.low[theirs] <= a.high[ours])).all():
            changes = len({short(*v) for v in zip(b.rate[theirs], b.low[theirs], b.high[theirs], strict=True)})
            return shift if changes > 1 else 0
    return 0
