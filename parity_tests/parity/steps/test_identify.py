"""How an optimizer is told from records made by hand: what is tried, what is preferred, and when nothing is said."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.parity.steps.identify import NONE, Explained, Identifier
from twinzoo.parity.steps.rules import Fit, Rule, fit
from twinzoo.parity.steps.simulate import candidates, fitting, simulated, told
from twinzoo.parity.steps.tracks import Track

Array = NDArray[Any]
U = 2.0**-24


def gradients(seed: int = 0, steps: int = 4, size: int = 30) -> Array:
    return np.random.default_rng(seed).normal(size=(steps, size)).astype(np.float32).astype(np.float64)


def trained(rule: Rule, betas: tuple[float, float], given: Array, rates: float | list[float] = 0.01) -> Track:
    """A parameter that a rule moves, in float64 and rounded as it is stored; only its gradients are told."""
    rate = np.broadcast_to(rates, len(given))
    values = np.random.default_rng(9).normal(size=(1, given.shape[1])).astype(np.float32).astype(np.float64)
    kept = [np.zeros_like(given[0]), np.zeros_like(given[0])]
    for t, gradient in enumerate(given, 1):
        share = 1 - betas[0] if rule.kind == "adam" else 1.0
        kept = [betas[0] * kept[0] + share * gradient, betas[1] * kept[1] + (1 - betas[1]) * gradient**2]
        step = gradient if rule.kind == "sgd" else kept[0]
        if rule.kind == "adam":
            first, second = (1 - beta**t for beta in betas)
            step = kept[0] / first / (np.sqrt(kept[1] / second) + rule.eps)
        new = values[-1] - rate[t - 1] * (step + rule.decay * values[-1])
        values = np.vstack([values, new.astype(np.float32)])
    return Track(U, values, {}, given, np.arange(1.0, len(given) + 1), {})


def kept(track: Track, kind: str, betas: tuple[float, float]) -> Track:
    """The same with the moments in place of the gradients."""
    return replace(simulated(kind, track, betas), gradients=None, blur=None)


ADAM = Rule("adam", 1e-8)
USUAL = (0.9, 0.999)


def test_moments_are_made_from_gradients_as_they_are_defined() -> None:
    given = gradients(steps=3)
    made = simulated("adam", trained(ADAM, USUAL, given), (0.5, 0.9))
    m, v = np.zeros(30), np.zeros(30)
    for step, gradient in enumerate(given, 1):
        m, v = 0.5 * m + 0.5 * gradient, 0.9 * v + 0.1 * gradient**2
        assert made.slots["m"][step] == pytest.approx(m) and made.slots["v"][step] == pytest.approx(v)
    assert not made.slots["m"][0].any() and made.slots.keys() == {"m", "v"}
    heavy = simulated("momentum", trained(ADAM, USUAL, given), (0.5, 0.0))
    assert heavy.slots.keys() == {"momentum"}
    assert heavy.slots["momentum"][2] == pytest.approx(0.5 * given[0] + given[1])


def test_moments_that_cancel_are_blurred_by_what_went_into_them() -> None:
    """Four roundings a step of what was added up, over what is left of it; squares never cancel."""
    track = trained(ADAM, USUAL, np.array([[1.0, 1.0, 0.0], [1.0, -0.499, 0.0]]))
    heavy = simulated("momentum", track, (0.5, 0.0)).blur
    assert heavy is not None
    assert heavy[1] == pytest.approx([4 * U, 4 * U * (0.5 + 0.499) / 0.001, 0.0])
    made = simulated("adam", track, (0.5, 0.999)).blur
    assert made is not None and made == pytest.approx(heavy + 8 * U)


def test_coefficients_are_those_that_fit_first_in_the_order_in_which_they_are_tried() -> None:
    usual = [*candidates("momentum")]
    assert [betas[0] for betas in usual] == [0.9, 0.5, 0.95, 0.99, 0.8]
    for betas in usual:
        track = trained(Rule("momentum"), betas, gradients())
        assert fitting("momentum", track, [Rule("momentum")], usual) == betas
    odd = trained(Rule("momentum"), (0.77, 0.0), gradients())
    assert fitting("momentum", odd, [Rule("momentum")], usual) is None
    assert fitting("momentum", odd, [Rule("momentum")], [(0.77, 0.0)]) == (0.77, 0.0)
    one = trained(ADAM, USUAL, gradients(steps=1))  # after which all betas fit alike
    assert fitting("adam", one, [ADAM], candidates("adam")) == USUAL
    assert fitting("adam", one, [ADAM], [(0.5, 0.99), USUAL]) == (0.5, 0.99)


def test_gradients_are_all_there_is_where_nothing_else_is_told() -> None:
    track = trained(ADAM, USUAL, gradients())
    assert told(track) and not told(replace(track, gradients=None))
    assert not told(replace(track, slots={"m": track.values})) and not told(kept(track, "adam", USUAL))


KINDS: dict[str, tuple[Rule, tuple[float, float]]] = {
    "sgd": (Rule("sgd"), NONE),
    "momentum": (Rule("momentum"), (0.9, 0.0)),
    "adam": (ADAM, USUAL),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("decay", [0.0, 0.05, 0.0123])
def test_an_optimizer_is_told_from_gradients_alone(kind: str, decay: float) -> None:
    rule, betas = KINDS[kind]
    a = trained(rule, betas, gradients())
    b = trained(replace(rule, decay=decay), betas, gradients(1), 0.02)
    found = Identifier().explain(a, b)
    assert found is not None and found.betas == (betas, betas)
    assert [side.kind for side in found.rules] == [kind, kind] and found.rules[0].decay == 0
    assert found.rules[1].decay == pytest.approx(decay, rel=1e-3)
    assert found.proportion == pytest.approx(2, rel=1e-3)
    assert found.cost == pytest.approx(1.2 + (decay > 0))


def test_weights_that_grow_are_no_weight_decay() -> None:
    track = kept(trained(replace(ADAM, decay=-0.05), USUAL, gradients()), "adam", USUAL)
    assert Identifier().explain(track, track) is None


@pytest.mark.parametrize("kind", ["momentum", "adam"])
def test_moments_are_not_held_against_gradients(kind: str) -> None:
    """Each side is explained by its own record, and both in the same way."""
    rule, betas = KINDS[kind]
    track = trained(rule, betas, gradients())
    moments = kept(track, kind, betas)
    assert Identifier().explain(moments, moments) is not None and Identifier().explain(track, track) is not None
    assert Identifier().explain(moments, track) is None and Identifier().explain(track, moments) is None
    other = kept(track, "adam" if kind == "momentum" else "momentum", USUAL)
    assert Identifier().explain(moments, other) is None


@pytest.mark.parametrize("eps", [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-10, 1e-12])
def test_each_eps_that_is_in_use_is_told_where_gradients_are_small(eps: float) -> None:
    made = trained(replace(ADAM, eps=eps), USUAL, 1e3 * eps * gradients(steps=2))
    found = Identifier().explain(kept(made, "adam", USUAL), kept(made, "adam", USUAL))
    assert found is not None and [rule.eps for rule in found.rules] == [eps, eps] and found.cost == 0


def test_what_explained_one_parameter_is_tried_first_on_the_next() -> None:
    """A gradient in the last step alone goes with all coefficients."""
    betas, late = (0.5, 0.99), gradients() * np.array([[0.0], [0.0], [0.0], [1.0]])
    track, short = (trained(ADAM, betas, given) for given in (gradients(), late))
    alone = Identifier().explain(short, short)
    assert alone is not None and alone.betas != (betas, betas)
    identifier = Identifier()
    assert identifier.explain(track, track) is not None
    found = identifier.explain(short, short)
    assert found is not None and found.betas == (betas, betas)


def test_both_sides_must_be_explained() -> None:
    track = trained(ADAM, USUAL, gradients())
    noise = replace(track, values=gradients(3, steps=5))
    for a, b in ((track, noise), (noise, track)):
        assert Identifier().explain(a, b) is None
        assert Identifier().explain(kept(a, "adam", USUAL), kept(b, "adam", USUAL)) is None


@pytest.mark.parametrize("kind", ["momentum", "adam"])
def test_a_side_that_gets_no_gradient_has_the_coefficients_of_the_other(kind: str) -> None:
    """It says nothing of them, and is not accused of others; nor are other kinds tried with them later."""
    rule, betas = Rule(kind, 1e-8 if kind == "adam" else 0.0), (0.5, 0.99 if kind == "adam" else 0.0)
    moving, still = trained(rule, betas, gradients()), trained(rule, betas, 0 * gradients())
    for a, b in ((still, moving), (moving, still)):
        identifier = Identifier()
        for _ in range(2):
            found = identifier.explain(a, b)
            assert found is not None and found.betas == (betas, betas) and found.cost == 0
            assert {side.kind for side in found.rules} == {kind}


def test_a_gradient_that_is_rounding_alone_says_nothing_of_its_optimizer() -> None:
    for left, explained in ((1e-6, False), (2e-3, True)):  # of the first moment, from the second step on
        given = gradients()
        given[1:] = -given[0] * np.array([[0.9], [0.0], [0.0]]) * (1 - left)
        track = trained(ADAM, USUAL, given)
        assert (Identifier().explain(track, track) is not None) == explained


def fits(a: list[tuple[float, float]], b: list[tuple[float, float]]) -> Explained:
    """Two sides that allow these learning rates, step by step."""
    made = []
    for side in (a, b):
        low, high = np.array(side).T
        made.append(Fit(low, high, np.zeros(len(low)), np.zeros(len(low))))
    track = trained(Rule("sgd"), NONE, gradients(steps=len(a)))
    return Explained((track, track), (NONE, NONE), (Rule("sgd"), Rule("sgd")), (made[0], made[1]))


INF = float("inf")


@pytest.mark.parametrize(
    ("a", "b", "apart", "proportion", "cost"),
    [
        ([(0.9, 1.1)], [(1.0, 1.2)], [], None, 0.0),
        ([(0.9, 1.0)], [(1.0, 1.2)], [], None, 0.0),  # they touch
        ([(1.0, 1.2)], [(0.9, 1.0)], [], None, 0.0),
        ([(0.9, 1.0)], [(1.8, 2.2)], [0], 2.1222, 1.2),
        ([(1.8, 2.2)], [(0.9, 1.0)], [0], 0.4823, 1.2),
        ([(0.9, 1.0), (0.9, 1.0)], [(1.8, 2.2), (2.7, 3.0)], [0, 1], None, 1.5),  # twice as much, then three times
        ([(0.9, 1.0), (0.9, 1.0)], [(1.8, 2.2), (0.95, 1.05)], [0], None, 1.5),
        ([(0.9, 1.0), (-INF, INF)], [(1.8, 2.2), (5.0, 6.0)], [0], 2.1222, 1.2),  # where a says nothing
        ([(-0.1, 0.1)], [(1.0, 1.2)], [0], None, 1.5),  # a may not have moved at all
    ],
)
def test_rates_are_apart_where_no_rate_serves_both(
    a: Any, b: Any, apart: list[int], proportion: float | None, cost: float
) -> None:
    found = fits(a, b)
    assert found.apart == apart and found.cost == cost
    assert found.proportion == (None if proportion is None else pytest.approx(proportion, rel=1e-3))


def test_a_difference_in_eps_costs_less_than_rates_that_change_and_happen_to_fit() -> None:
    a = kept(trained(ADAM, USUAL, gradients()), "adam", USUAL)
    b = kept(trained(replace(ADAM, eps=1e-3), USUAL, gradients(1)), "adam", USUAL)
    found = Identifier().explain(a, b)
    assert found is not None and [rule.eps for rule in found.rules] == [1e-8, 1e-3] and found.cost == 1


def test_what_a_side_states_of_its_eps_is_tried_before_any_other() -> None:
    """In one step of one sign 1e-8 and 1e-9 differ by less than rounding."""
    track = kept(trained(ADAM, USUAL, gradients()), "adam", USUAL)
    stated = replace(track, numbers={"eps": 1e-9, "beta1": 0.9, "beta2": 0.999})
    found = Identifier().explain(stated, stated)
    assert found is not None and [rule.eps for rule in found.rules] == [1e-9, 1e-9]
    odd = kept(trained(replace(ADAM, eps=3.3e-3), USUAL, gradients()), "adam", USUAL)
    assert Identifier().explain(odd, odd) is None
    found = Identifier().explain(replace(odd, numbers={"eps": 3.3e-3}), replace(odd, numbers={"eps": 3.3e-3}))
    assert found is not None and found.rules[0].eps == 3.3e-3


def test_betas_that_both_sides_may_have_come_before_others() -> None:
    a, b = (kept(trained(ADAM, USUAL, gradients(seed, steps=1)), "adam", USUAL) for seed in (0, 1))
    b = replace(b, numbers={"beta1": 0.5, "beta2": 0.99})
    found = Identifier().explain(a, b)
    assert found is not None and found.betas[0] == found.betas[1]
    other = kept(trained(ADAM, (0.5, 0.99), gradients(1)), "adam", (0.5, 0.99))
    found = Identifier().explain(kept(trained(ADAM, USUAL, gradients()), "adam", USUAL), other)
    assert found is not None and found.betas == (USUAL, (0.5, 0.99))


def odd(seed: int) -> Track:
    """What no rule explains."""
    return kept(trained(replace(ADAM, eps=3.3e-3), USUAL, gradients(seed)), "adam", USUAL)


def test_after_three_parameters_that_no_rule_explains_only_known_rules_are_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tried: list[Rule] = []

    def counted(rule: Rule, *rest: Any) -> Fit:
        tried.append(rule)
        return fit(rule, *rest)

    monkeypatch.setattr("twinzoo.parity.steps.identify.fit", counted)
    identifier = Identifier()
    clean, decayed = (
        kept(trained(replace(ADAM, decay=decay), USUAL, gradients(7)), "adam", USUAL) for decay in (0.0, 0.01)
    )
    first = identifier.explain(clean, decayed)
    assert first is not None and first.rules[1].decay == 0.01
    counts = []
    for seed in range(4):
        tried.clear()
        assert identifier.explain(odd(seed), odd(seed)) is None
        counts.append(len(tried))
    assert min(counts[:3]) > 100 and counts[3] < 20
    again = identifier.explain(clean, decayed)
    assert again is not None and again.rules == first.rules
    betas = (0.5, 0.99)
    known = identifier.explain(clean, kept(trained(ADAM, betas, gradients(7)), "adam", betas))
    assert known is not None and known.betas == (USUAL, betas) and known.cost == 0


def test_a_decay_is_told_beside_other_betas() -> None:
    decayed = kept(trained(replace(ADAM, decay=0.0123), USUAL, gradients()), "adam", USUAL)
    other = kept(trained(ADAM, (0.5, 0.99), gradients(1)), "adam", (0.5, 0.99))
    for a, b, decays in ((decayed, other, [0.0123, 0.0]), (other, decayed, [0.0, 0.0123])):
        found = Identifier().explain(a, b)
        assert found is not None and [rule.decay for rule in found.rules] == pytest.approx(decays, rel=1e-3)


def test_after_three_parameters_whose_gradients_say_nothing_no_coefficients_are_tried(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """But those that explained another: a search of all for each of a thousand parameters takes minutes."""
    tried: list[float] = []

    def counted(kind: str, track: Track, betas: tuple[float, float]) -> Track:
        tried.append(betas[0])
        return simulated(kind, track, betas)

    monkeypatch.setattr("twinzoo.parity.steps.simulate.simulated", counted)
    identifier, heavy = Identifier(), trained(Rule("momentum"), (0.95, 0.0), gradients())
    first = identifier.explain(heavy, heavy)
    assert first is not None and first.betas == ((0.95, 0.0), (0.95, 0.0)) and 0.8 not in tried
    counts = []
    for seed in range(4):
        noise = replace(heavy, values=gradients(seed, steps=5), gradients=gradients(seed + 9))
        tried.clear()
        assert identifier.explain(noise, noise) is None
        counts.append(tried.count(0.8))
    assert min(counts[:3]) > 0 and counts[3] == 0
    again = identifier.explain(heavy, heavy)
    assert again is not None and again.betas == first.betas
