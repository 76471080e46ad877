"""What is said of gradients, running statistics and histories that differ: which records are asked, and how far off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from parity_tests.parity.steps.hand_made import record
from twinzoo.parity.steps.causes.cause import Cause, cause
from twinzoo.parity.steps.deviation import BUFFER, LOSS, PARAMETER, POOL, Quantity
from twinzoo.parity.steps.identify import Explained
from twinzoo.parity.steps.record import Record
from twinzoo.parity.steps.rules import Rule, fit
from twinzoo.parity.steps.stage_tensors import buffers_at, gradients_at, pools_at
from twinzoo.parity.steps.state import GRADIENT

Array = NDArray[Any]
Gradients = Mapping[str, Sequence[Array]]

RNG = np.random.default_rng(11)
G = [RNG.normal(size=20) for _ in range(4)]
STEPS = 3


def side(
    gradients: Gradients, keeps: Sequence[str] = (), betas: tuple[float, float] = (0.9, 0.999)
) -> list[dict[str, Array]]:
    """States of plain steps by these gradients, with what the side keeps: gradient, momentum (of 0.9), or m and v."""
    slots = {"m": (betas[0], 1 - betas[0]), "v": (betas[1], 1 - betas[1]), "momentum": (0.9, 1.0)}
    made = {key: np.linspace(3, 5, 20) for key in gradients}
    made |= {f"optimizer.{slot}.{key}": np.zeros(20) for key in gradients for slot in keeps if slot in slots}
    states = [made]
    for step in range(STEPS):
        made = dict(made)
        for key, given in gradients.items():
            g = given[step]
            made[key] = made[key] - 0.1 * g
            for slot in keeps:
                if slot in slots:
                    name, (kept, added) = f"optimizer.{slot}.{key}", slots[slot]
                    made[name] = kept * made[name] + added * (g * g if slot == "v" else g)
                else:
                    made[f"gradient.{key}"] = g
        states.append(made)
    return states


KINDS = {"gradient": GRADIENT, "momentum": "momentum", "m": "m", "": PARAMETER}


def made(a: list[dict[str, Array]], b: list[dict[str, Array]], kind: str, limit: float = 1e-5) -> Record:
    """A record in which quantities of one kind are allowed so much, and no more is judged."""
    found = record(a, b)
    keys = found.pairs.values
    found.allowed = [{Quantity(KINDS[kind], key): limit for key in keys} for _ in range(STEPS)]
    found.ratios = [{} for _ in range(STEPS)]
    found.anchor = "a"
    return found


def said(found: Sequence[Cause]) -> list[tuple[str, tuple[str, ...], str, int]]:
    return [(item.finding.cause, item.keys, item.stage, item.step) for item in found]


def at(record: Record, step: int = 2, known: Sequence[Cause] = (), **explained: Any) -> list[Cause]:
    return gradients_at(record, step, explained, list(known), {})


def tripled(step: int = 2) -> list[Array]:
    return [g * (3.0 if i == step else 1.0) for i, g in enumerate(G, 1)]


@pytest.mark.parametrize(
    "keeps", [["gradient"], ["momentum"], ["m", "v"], ["gradient", "momentum"], ["gradient", "m", "v"]]
)
def test_the_gradient_of_the_step_is_what_is_compared(keeps: list[str]) -> None:
    """Whatever keeps it; the buffer of momentum has that of the step before it as well."""
    kind = next(name for name in ("m", "momentum", "gradient") if name in keeps)
    a, b = (side({"w": given, "u": G}, keeps) for given in (G, tripled()))
    assert at(made(a, b, kind), 1) == []
    (found,) = at(made(a, b, kind))
    expected = "unexplained" if kind == "momentum" else "scale"
    assert (found.finding.cause, found.keys, found.stage, found.step) == (expected, ("w",), "backward", 2)
    assert found.number == (0 if kind == "momentum" else pytest.approx(3, rel=1e-5))


def test_a_momentum_that_keeps_more_of_the_buffer_before_is_told_from_the_gradient() -> None:
    a = side({"w": G}, ["momentum"])
    b = [dict(state) for state in a]
    b[2]["optimizer.momentum.w"] = a[2]["optimizer.momentum.w"] - 0.4 * a[1]["optimizer.momentum.w"]
    (found,) = at(made(a, b, "momentum"))
    assert found.finding.cause == "momentum" and "keeps 0.4 less of the one before" in found.finding.evidence


@pytest.mark.parametrize("wrong", ["a", "b"])
def test_gradients_that_one_side_alone_tells_are_not_compared(wrong: str) -> None:
    """What is left is how parameters moved, of which nobody knows whether the gradient or the optimizer made it."""
    sides = [
        side({"w": given}, ["gradient"] if label == wrong else []) for given, label in ((G, "a"), (tripled(), "b"))
    ]
    found = at(made(sides[0], sides[1], ""))
    assert said(found) == [("schedule", ("w",), "backward or optimizer", 2)]
    assert said(at(made(side({"w": G}), side({"w": tripled(1)}), ""), 1)) == [
        ("lr", ("w",), "backward or optimizer", 1)
    ]


@pytest.mark.parametrize("limit", [float("nan"), None])
def test_what_was_not_judged_is_not_explained(limit: float | None) -> None:
    a, b = (side({"w": given}, ["gradient"]) for given in (G, tripled()))
    found = made(a, b, "gradient", 1e-5 if limit is None else limit)
    if limit is None:
        found.allowed[1].clear()
    assert at(found) == []


def test_a_gradient_may_be_as_far_away_as_is_explained_on_average() -> None:
    off = [np.full(20, 1.0)] * 4
    a, b = (side({"w": [g + by * np.eye(20)[3] for g in off]}, ["gradient"]) for by in (0.0, 20 * 2.0**-9))
    assert at(made(a, b, "gradient", 2.0**-9)) == []
    assert len(at(made(a, b, "gradient", 0.9 * 2.0**-9))) == 1


@pytest.mark.parametrize(
    ("betas", "limit", "count"), [(None, 0.009, 1), (None, 0.011, 0), (0.5, 0.04, 1), (0.5, 0.06, 0)]
)
def test_the_noise_of_a_first_moment_is_that_of_its_gradient_over_1_less_beta1(
    betas: float | None, limit: float, count: int
) -> None:
    """A gradient that is 0.1 away; beta1 is 0.9 unless it was found to be another."""
    first = betas or 0.9
    shifted = [g + (0.1 if i == 1 else 0.0) for i, g in enumerate(G)]
    a, b = (side({"w": given}, ["m", "v"], (first, 0.999)) for given in (G, shifted))
    found = made(a, b, "m", limit)
    explained: dict[str, Any] = {}
    if betas:
        ours, theirs = found.paired_tracks()["w"]
        rule, pair = Rule("adam"), (betas, 0.999)
        fits = fit(rule, ours, pair), fit(rule, theirs, pair)
        explained["w"] = Explained((ours, theirs), (pair, pair), (rule, rule), fits)
    assert len(at(found, **explained)) == count


def test_betas_of_their_own_give_each_side_its_gradients() -> None:
    a, b = side({"w": G}, ["m", "v"], (0.9, 0.999)), side({"w": G}, ["m", "v"], (0.5, 0.999))
    found = made(a, b, "m", 1e-5)
    ours, theirs = found.paired_tracks()["w"]
    rule, betas = Rule("adam"), ((0.9, 0.999), (0.5, 0.999))
    fits = fit(rule, ours, betas[0]), fit(rule, theirs, betas[1])
    assert at(found, w=Explained((ours, theirs), betas, (rule, rule), fits)) == []
    assert at(found) != []


@pytest.mark.parametrize(
    ("ratios", "stage"), [((0.5, 1.0), "optimizer"), ((0.5, 1.5), "backward"), ((0.5,), "backward")]
)
def test_moments_that_differ_by_gradients_that_agree_are_the_optimizers(ratios: tuple[float, ...], stage: str) -> None:
    a, b = (side({"w": given, "u": given}, ["gradient", "momentum"]) for given in (G, tripled()))
    found = made(a, b, "momentum")
    found.ratios[1] = {Quantity(GRADIENT, key): ratio for key, ratio in zip("wu", ratios, strict=False)}
    assert {item.stage for item in at(found)} == {stage}


def known(step: int, stage: str) -> Cause:
    return cause(step, stage, "lr", ["w"], "", "")


@pytest.mark.parametrize(
    ("told", "keys"),
    [
        (known(1, "optimizer"), ("u",)),
        (known(2, "optimizer"), ("u",)),
        (known(3, "optimizer"), ("u", "w")),
        (known(2, "buffers"), ("u", "w")),
    ],
)
def test_a_move_that_is_explained_is_not_explained_again(told: Cause, keys: tuple[str, ...]) -> None:
    a, b = side({"w": G, "u": G}), side({"w": tripled(), "u": tripled()})
    (found,) = at(made(a, b, ""), known=[told])
    assert tuple(sorted(found.keys)) == keys
    a, b = (side(dict.fromkeys("wu", given), ["gradient"]) for given in (G, tripled()))
    (found,) = at(made(a, b, "gradient"), known=[told])  # gradients are no moves
    assert tuple(sorted(found.keys)) == ("u", "w")


@pytest.mark.parametrize("anchor", ["a", ""])
def test_without_an_envelope_what_is_unexplained_is_said_only_where_nothing_is_explained(anchor: str) -> None:
    odd = [g + np.sin(7 * g) for g in G]
    a, b = side({"w": G, "u": G}, ["gradient"]), side({"w": tripled(), "u": odd}, ["gradient"])
    found = made(a, b, "gradient")
    found.anchor = anchor
    assert {item.finding.cause for item in at(found)} == ({"scale", "unexplained"} if anchor else {"scale"})
    found = made(side({"u": G}, ["gradient"]), side({"u": odd}, ["gradient"]), "gradient")
    found.anchor = anchor
    assert [item.finding.cause for item in at(found)] == ["unexplained"]


def statistics(*moves: float, odd: float = 0.0) -> list[dict[str, Array]]:
    """A running mean and variance that go so far in each step, the variance with something odd on it."""
    states = [{"n.running_mean": np.linspace(0, 1, 12), "n.running_var": np.linspace(1, 2, 12)}]
    for i, far in enumerate(moves):
        new = {key: value + far * np.cos(np.arange(12) + i) for key, value in states[-1].items()}
        new["n.running_var"] = new["n.running_var"] + odd * (i == 1) * np.arange(12) ** 2
        states.append(new)
    return states


def buffers(b: list[dict[str, Array]], *wrong: tuple[str, str], step: int = 2) -> list[tuple[str, tuple[str, ...]]]:
    found = record(statistics(0.1, 0.1, 0.1), b)
    found.allowed = [{Quantity(BUFFER, key): 1e-5 if i == step else 10.0 for key in b[0]} for i in (1, 2, 3)]
    for allowed in found.allowed:
        allowed[Quantity(LOSS, "l")] = 1.0
    causes = buffers_at(found, step, {Quantity(*item) for item in wrong})
    assert all(item.stage == "buffers" and item.step == step for item in causes)
    return [(item.finding.cause, item.keys) for item in causes]


MEAN, VAR, A_LOSS = (BUFFER, "n.running_mean"), (BUFFER, "n.running_var"), (LOSS, "l")


def test_statistics_are_held_against_those_before_the_step() -> None:
    other = statistics(0.1, 0.3, 0.1)
    assert buffers(other, MEAN, VAR) == [("momentum", ("n.running_mean", "n.running_var"))]
    assert buffers(other, MEAN) == [("momentum", ("n.running_mean",))]
    assert buffers(other) == []
    still = statistics(0.1, 0.0, 0.1)
    assert buffers(still, MEAN, VAR) == [("norm-mode", ("n.running_mean", "n.running_var"))]
    assert buffers(statistics(0.2, 0.1, 0.1), MEAN, step=1) == [("momentum", ("n.running_mean",))]


def test_a_mean_that_agrees_is_what_makes_a_variance_biased() -> None:
    b = statistics(0.1, 0.1, 0.1)
    old, new = (state["n.running_var"] for state in b[1:3])
    b[2]["n.running_var"] = 0.98 * new + 0.03 * old
    assert buffers(b, VAR) == [("variance", ("n.running_var",))]
    assert buffers(b, VAR, MEAN)[0][0] != "variance"


def test_statistics_of_losses_that_differ_are_explained_in_the_first_step_alone() -> None:
    """After it the networks are not the same, and neither are their batches' statistics."""
    assert buffers(statistics(0.1, 0.3, 0.1), MEAN, A_LOSS) == []
    assert buffers(statistics(0.3, 0.1, 0.1), MEAN, A_LOSS, step=1) == [("momentum", ("n.running_mean",))]
    odd = statistics(0.1, 0.1, 0.1, odd=0.01)
    assert buffers(odd, VAR) == [("unexplained", ("n.running_var",))]
    first = [odd[0], odd[2], odd[2], odd[2]]
    assert buffers(first, VAR, step=1) == [("unexplained", ("n.running_var",))]
    assert buffers(first, VAR, A_LOSS, step=1) == []


def test_a_history_is_divided_into_its_images() -> None:
    """At the step that is asked for, by the bound of that step."""
    images = [{"pool.h.images": np.zeros((4, 3)), "pool.h.count": np.array(0.0), "w": np.zeros(2)}] * 4
    other = [dict(state) for state in images]
    other[2]["pool.h.images"] = np.eye(4)[:, :3] * np.array([0, 1, 0])
    other[3]["pool.h.count"] = np.array(1.0)
    found = record(images, other)
    quantity, count = Quantity(POOL, "pool.h.images"), Quantity(POOL, "pool.h.count")
    found.allowed = [{quantity: limit, count: 0.0} for limit in (1.0, 0.01, 1.0)]
    (told,) = pools_at(found, 2, {quantity, Quantity(PARAMETER, "w")})
    assert (told.finding.cause, told.stage, told.step, told.keys) == ("nondeterminism", "pool", 2, ("pool.h.images",))
    assert told.finding.evidence.startswith("of 4 slots 1 hold another image")
    assert pools_at(found, 2, {Quantity(PARAMETER, "w")}) == []
    (number,) = pools_at(found, 3, {count})
    assert number.finding.cause == "unexplained"
