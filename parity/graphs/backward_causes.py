"""Why a gradient differs: float64 is replayed with one way back cut off, and what comes back there is looked at."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import replace

import numpy as np

from twinzoo.parity.gradients import OUTPUT, Wrong
from twinzoo.parity.graphs.carried import sources, value_of
from twinzoo.parity.graphs.fingerprint import fingerprint, of_fingerprint
from twinzoo.parity.graphs.pairs import Paired
from twinzoo.parity.measure import judge
from twinzoo.parity.results import Finding

_STOP = {"torch": "detach() or no_grad()", "mindspore": "ops.stop_gradient"}


def gradient_findings(paired: Paired, wrong: list[Wrong], forward: AbstractSet[int]) -> list[Finding]:
    """A finding for each gradient that is wrong by itself.

    Args:
        forward: the positions whose outputs are wrong already; what comes back through them tells nothing new.
    """
    found: list[Finding] = []
    for item in wrong:
        users = {_position(user) for user in item.due.parts if user != OUTPUT}
        if not forward & {_position(item.name), *users}:
            found.append(replace(_finding(paired, item), source=sources(paired, _position(item.name))))
    return [*found, *_frozen(paired)]


def _position(name: str) -> int:
    return int(name.removeprefix("n").partition(".")[0].partition(":")[0])


def _name(paired: Paired, item: Wrong) -> tuple[str, str]:
    """The layer as both users call it, and what of it."""
    position, key = _position(item.name), paired.drawing.keys.get(item.name)
    return paired.name(position), f"the gradient of {key}" if key else "the gradient of its output"


def _finding(paired: Paired, item: Wrong) -> Finding:
    layer, what = _name(paired, item)
    side, run = "ab"[item.side], (paired.a, paired.b)[item.side]
    stop = _STOP.get(run.info.port, "a stopped gradient")
    total = item.due.total()
    if total is None:
        evidence = f"{what} on side {side} is not nothing, though side a's graph lets nothing back there"
        return Finding(layer, "grad-missing", evidence, f"stop the gradient there on side b too ({stop})")
    wanted, allowed = total
    if item.gradient is None or not item.gradient.any():
        evidence = (
            f"{what} on side {side} is {'missing' if item.gradient is None else 'zero'}, where float64 has up to "
            f"{np.abs(wanted).max():.3g}"
        )
        return Finding(
            layer, "grad-missing", evidence + _stops(paired, item), f"look for {stop} behind it on side {side}"
        )
    for user in item.due.parts:
        rest = item.due.total({user})
        if rest is not None and item.gradient.shape == wanted.shape and judge(item.gradient, *rest).ratio <= 1:
            through = "as an output" if user == OUTPUT else f"through {paired.name(_position(user))}"
            evidence = (
                f"{what} on side {side} is what float64 gives without what comes back {through}; with it, it misses by "
                f"{judge(item.gradient, wanted, allowed).ratio:,.3g} times the bound"
            )
            return Finding(layer, "grad-missing", evidence, f"look for {stop} on that way on side {side}")
    shown = fingerprint(item.gradient, wanted)
    cause = of_fingerprint(shown)
    evidence = f"{what} on side {side} is not what float64 gives for what came back to its users: {shown}"
    fix = f"the fault is in the backward pass of what uses it on side {side}: {_users(paired, item)}"
    return Finding(layer, cause, evidence, fix)


def _users(paired: Paired, item: Wrong) -> str:
    return ", ".join(
        "the model's output" if user == OUTPUT else paired.name(_position(user)) for user in item.due.parts
    )


def _stops(paired: Paired, item: Wrong) -> str:
    """The operations of side b alone that stop gradients, where it is side b that has none."""
    if item.side == 0:
        return ""
    operations = [paired.b.graph.operations[i] for i in paired.alignment.only_b]
    names = [f"{op.name} {op.source}".rstrip() for op in operations if op.kind == "stop_gradient"]
    return f"; only side b has {', '.join(names)}" if names else ""


def _frozen(paired: Paired) -> list[Finding]:
    """Parameters that one side alone trains."""
    found = []
    for name, key in paired.drawing.keys.items():
        value = value_of(paired, name)
        if value is None:
            continue
        sides = (key in paired.a.frozen, bool(paired.b.frozen.intersection(value.sources)))
        if sides[0] != sides[1]:
            only, other = ("b", "a") if sides[0] else ("a", "b")
            evidence = f"{key} is trained on side {only} alone: on side {other} it has requires_grad False"
            fix = f"set requires_grad of {', '.join(value.sources)} on side b to {not sides[0]}"
            found.append(Finding(paired.name(_position(name)), "grad-missing", evidence, fix))
    return found
