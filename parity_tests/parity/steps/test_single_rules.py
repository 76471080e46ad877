"""Single rules of comparing training steps, on numbers made by hand: each fails where its rule is broken."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

from parity_tests.parity.steps.numpy_gan import Gan, pairs_of_noise
from parity_tests.parity.steps.numpy_run import Loading, Run, batches
from twinzoo.converters.forms.values import Value
from twinzoo.parity.steps.causes.cause import sizes
from twinzoo.parity.steps.causes.losses import loss_causes
from twinzoo.parity.steps.compare import compare_steps
from twinzoo.parity.steps.deviation import LOSS, PARAMETER, Apart, Quantity, losses_apart
from twinzoo.parity.steps.envelope import Draw, restarts
from twinzoo.parity.steps.judge import BETAS, FACTOR, Judge
from twinzoo.parity.steps.pairs import Pairs, different_starts
from twinzoo.parity.steps.record import worst
from twinzoo.parity.steps.report import StepRow, StepsReport
from twinzoo.parity.steps.rules import Rule, allowed
from twinzoo.parity.steps.state import State, read_state
from twinzoo.parity.steps.stepper import Side
from twinzoo.parity.steps.text import shown
from twinzoo.parity.steps.tracks import SAMPLE, Recorder, Track

U = 2.0**-24


def test_losses_count_by_their_difference() -> None:
    found = losses_apart({"l": 3.0, "only": 1.0}, {"l": 3.5})
    assert found == {Quantity(LOSS, "l"): Apart(0.5, 3.0, 3 * U)}


def test_the_worst_is_the_largest_of_its_group() -> None:
    ratios = {
        Quantity(LOSS, "l"): 0.1,
        Quantity("m", "w"): 0.3,
        Quantity("v", "w"): 0.2,
        Quantity(PARAMETER, "w"): 0.5,
        Quantity("pool", "p"): 0.4,
    }
    assert [worst(ratios, group) for group in ("loss", "parameter", "buffer", "optimizer")] == [
        (0.1, "loss l"), (0.5, "w"), (0.4, "p"), (0.3, "m w"),
    ]  # fmt: skip
    assert np.isnan(worst({}, "loss")[0])


def test_what_a_judge_allows() -> None:
    """FACTOR times the envelope, a rounding of the value, and what float32 betas do where there are second moments."""
    weight, moment = Quantity(PARAMETER, "w"), Quantity("v", "w")
    ratios, limits = Judge().with_envelope({weight: Apart(1e-3, 1.0, 1e-7)}, {weight: 1e-4})
    assert limits[weight] == pytest.approx(FACTOR * 1e-4) and ratios[weight] == pytest.approx(1e-3 / limits[weight])
    _, limits = Judge().with_envelope({weight: Apart(0, 1.0, 1e-4)}, {})
    assert limits[weight] == pytest.approx(FACTOR * 1e-4)
    _, limits = Judge().with_envelope({weight: Apart(0, 2.0, 0), moment: Apart(0, 3.0, 0)}, {})
    assert limits == {weight: pytest.approx(2 * 2.0**-15), moment: pytest.approx(3 * 2.0**-14)}
    assert BETAS[PARAMETER] == BETAS["v"] / 2


def test_draws_of_batches_alone_stand_for_float32_betas_in_proportion() -> None:
    """From the second step on what they reach is multiplied as far as parameters show that they fall short."""
    weight, moment = Quantity(PARAMETER, "w"), Quantity("v", "w")
    for reached, factor in ((1e-7, 4 * 2.0**-15 / 1e-7), (1e-3, FACTOR), (0.0, 4 * 2.0**9)):
        judge = Judge(loaded=False)
        for expected in (FACTOR, factor):
            _, limits = judge.with_envelope({weight: Apart(0, 1.0, 0), moment: Apart(0, 1.0, 0)}, {weight: reached})
            assert limits[weight] == pytest.approx(max(expected * reached, BETAS[PARAMETER]))


def test_a_draw_is_given_the_error_of_float32_betas() -> None:
    """After a step second moments by 2^-14, and steps by half of that; first moments follow by roundings alone."""
    side = Side("a", partial(Loading, numbers=True))
    start, key = side.raw(), "last.weight"
    _, run = restarts(side, start, batches(2), [Draw([0, i]) for i in (1, 2)])
    m, v = (run.spread[Quantity(slot, key)] / np.abs(run.state.slots[slot][key]).mean() for slot in "mv")
    moved = np.abs(run.state.tensors[key] - start[key]).mean()
    assert 2.0**-16 < v < 2.0**-13.9
    assert 2.0**-17 < run.spread[Quantity(PARAMETER, key)] / moved < 2.0**-14.9
    assert m < 2.0**-18


def test_what_rounding_explains_of_an_adam_step() -> None:
    """u |p'|, twelve operations, and the powers of beta that the bias correction magnifies, beta2's under a root."""
    values = np.array([[2.0], [1.0]])
    track = Track(U, values, {"m": values, "v": values}, None, np.array([3.0]), {})
    share = 12 * U + U * 3 * (0.5**3 / (1 - 0.5**3) + 0.5 * 0.9**3 / (1 - 0.9**3))
    assert allowed(Rule("adam"), track, (0.5, 0.9)) == pytest.approx(1.01 * U * 1.0 + share * 1.0)
    decayed = allowed(Rule("adam", decay=0.1), track, (0.5, 0.9))
    assert decayed == pytest.approx(1.01 * U * (1.0 + 2 * 2.0) + share)


def test_numbers_of_elements_in_words() -> None:
    found = sizes([(8, 3, 5, 7)])
    assert found[8] == "the batch size"
    assert found[840] == "all elements of an input"
    assert (found[105], found[24]) == ("axes 1 to 3 of an input", "axes 0 to 1 of an input")


@pytest.mark.parametrize(("a", "b", "causes"), [(1.0, 2.0, ["scale"]), (0.0, 0.5, []), (float("nan"), 1.0, [])])
def test_a_factor_needs_a_loss_that_is_a_number_and_not_0(a: float, b: float, causes: list[str]) -> None:
    runs = [[{"l": value * step} for step in (1, 2, 3)] for value in (a, b)]
    found = loss_causes(1, ["l"], runs[0], runs[1], [{"l": 1e-6}] * 3, {})
    assert [item.finding.cause for item in found] == causes


def test_a_factor_is_told_from_one_step_by_its_gradients() -> None:
    a, b = Run, partial(Run, backwards=True, weight=1.3712)
    report = compare_steps(a, b, batches(1))
    assert [(finding.layer, finding.cause) for finding in report.findings] == [("loss", "scale")]
    assert "divide it by 1.3712" in report.findings[0].fix


def test_the_evidence_has_both_rates_and_the_fix_fits_the_place_of_eps() -> None:
    (lr,) = compare_steps(Run, partial(Run, backwards=True, lr=0.02), batches(4)).findings
    assert (
        "at a learning rate of 0.02; a's is made at 0.01" in lr.evidence and lr.fix == "b: use a learning rate of 0.01"
    )
    (eps,) = compare_steps(Run, partial(Run, backwards=True, eps=1e-4), batches(4)).findings
    assert eps.fix.startswith("b: use eps 1e-08 added to the root after")
    (place,) = compare_steps(Run, partial(Run, backwards=True, eps_place="before"), batches(4)).findings
    assert place.fix.startswith("MindSpore: call ops.Adam with eps * sqrt(1 - beta2**t)")


def test_the_evidence_speaks_of_steps_or_of_gradients() -> None:
    sgd = partial(Run, optimizer="sgd")
    (step,) = compare_steps(sgd, partial(sgd, backwards=True, lr=0.02), batches(3)).findings
    assert "b's step is 2 times a's in every element" in step.evidence
    (gradient,) = compare_steps(Run, partial(Run, backwards=True, gradient_factor=0.25), batches(3)).findings
    assert "b's gradient is 0.25 times a's in every element" in gradient.evidence


def test_statistics_that_agree_tell_the_loss_from_the_network() -> None:
    odd = partial(Run, backwards=True, label=lambda y: y * np.float32(0.77))
    report = compare_steps(Run, odd, batches(3))
    assert "the running statistics agree, so the network ran alike up to its last norm" in report.findings[0].evidence
    assert report.first_divergence is not None and report.first_divergence.stage == "loss"


def test_a_side_that_draws_is_found_where_its_loss_agrees_by_chance() -> None:
    class Lucky(Run):
        def step(self, batch: Any) -> dict[str, float]:
            super().step(batch)
            return {"loss": 1.0}

    report = compare_steps(partial(Lucky, noise=1e-3), partial(Lucky, backwards=True), batches(4))
    assert [finding.cause for finding in report.findings] == ["nondeterminism"]
    assert report.first_divergence is not None and report.first_divergence.step == 1


class More(Run):
    """A run whose state says more than its own."""

    more: Any = None

    def state(self) -> dict[str, Any]:
        return {**super().state(), **self.more}


def more(**what: Any) -> More:
    made = More()
    made.more = {key.replace("__", "."): np.asarray(value) for key, value in what.items()}
    return made


def test_a_stated_rate_is_compared_although_the_steps_agree() -> None:
    report = compare_steps(more(optimizer__lr=0.1), more(optimizer__lr=0.2), batches(2))
    assert [(f.layer, f.cause) for f in report.findings] == [("lr", "lr")]
    assert compare_steps(more(optimizer__lr=0.1), more(optimizer__lr=0.1 * (1 + 1e-8)), batches(2)).ok
    assert compare_steps(more(optimizer__amsgrad=0.0), more(optimizer__amsgrad=1.0), batches(2)).ok


def test_what_an_optimizer_keeps_in_no_known_place_is_not_passed_over() -> None:
    report = compare_steps(more(optimizer__odd__thing=np.ones((2, 2))), Run(), batches(2))
    assert [(f.layer, f.cause) for f in report.findings] == [("optimizer.odd.thing", "unexplained")]


def test_slots_by_number_are_placed_where_their_shapes_fit_alone() -> None:
    tensors = {"w": np.ones((2, 3)), "b": np.ones(2)}
    fitting = {f"optimizer.state.{i}.exp_avg": value * 0.1 for i, value in enumerate(tensors.values())}
    assert read_state(tensors | fitting).slots["m"].keys() == tensors.keys()
    swapped = {f"optimizer.state.{i}.exp_avg": value * 0.1 for i, value in enumerate([*tensors.values()][::-1])}
    found = read_state(tensors | swapped)
    assert not found.slots and found.others.keys() == swapped.keys()
    one_fits = {f"optimizer.state.{i}.exp_avg": np.ones(shape) for i, shape in enumerate([(2, 3), (5,)])}
    assert not read_state(tensors | one_fits).slots


def test_a_tensor_that_is_computed_may_differ_by_that_before_the_first_step() -> None:
    """Weight norm in another form is carried by arithmetic; what is kept is compared to the bit."""
    ours, theirs = (State({"w": np.array([1.0, 2.0]) * factor}) for factor in (1.0, 1 + 2.0**-22))
    for exact, count in ((True, 1), (False, 0)):
        pairs = Pairs({"w": Value(("w",), (2,), "", lambda arrays: arrays["w"], exact)}, [])
        assert len(different_starts(ours, theirs, pairs)) == count


@pytest.mark.parametrize("side", ["a", "b"])
@pytest.mark.parametrize("first", ["a", "b"])
def test_an_update_order_is_told_beside_a_tensor_of_one_side(side: str, first: str) -> None:
    class Wider(Gan):
        def state(self) -> dict[str, Any]:
            return {**super().state(), "generator.extra": np.ones(3, np.float32)}

    a, b = (
        partial(Wider if label == side else Gan, generator_first=label == first, backwards=label == "b")
        for label in "ab"
    )
    found = {finding.cause for finding in compare_steps(a, b, pairs_of_noise()).findings}
    assert found == {"missing-op" if side == "a" else "extra-op", "update-order"}


def test_a_momentum_that_is_the_complement_is_said_to_be_mindspores() -> None:
    (found,) = compare_steps(Run, partial(Run, backwards=True, bn_momentum=0.9), batches(3)).findings
    assert "as 0.9 against 0.1 (PyTorch's meaning): MindSpore's momentum is 1 minus PyTorch's" in found.evidence
    assert "momentum must be 0.9 in nn.BatchNorm2d of MindSpore, 0.1 in PyTorch's" in found.fix
    (other,) = compare_steps(Run, partial(Run, backwards=True, bn_momentum=0.2), batches(3)).findings
    assert "as 0.2 against 0.1 (PyTorch's meaning)" in other.evidence and "1 minus" not in other.evidence


def test_side_b_alone_is_restarted_under_its_own_names() -> None:
    names = partial(Run, backwards=True, words=lambda key: key.replace("norm.weight", "norm.gamma"))
    report = compare_steps(Run(), names, batches(4))
    assert report.ok and report.envelope == "4 restarts of b an ulp away", str(report)


def test_a_row_has_the_losses_of_its_step() -> None:
    run, given = Run(), batches(3)
    losses = [run.step(batch) for batch in given]
    assert [row.a for row in compare_steps(Run, Run, given).steps] == losses


def test_a_large_tensor_is_sampled_from_its_first_element_to_its_last() -> None:
    recorder = Recorder()
    recorder.add(State({"w": np.arange(5000.0)}))
    (values,) = recorder.values("w")
    assert len(values) == SAMPLE and (values[0], values[-1]) == (0, 4999)
    assert set(np.diff(values)) == {4, 5}


def test_a_long_table_shows_both_ends_and_the_first_difference() -> None:
    groups = ("loss", "parameter", "buffer", "optimizer")
    rows = [StepRow(i, {}, {}, {}, {}, dict.fromkeys(groups, 2.0 if i >= 50 else 0.5), {}) for i in range(1, 101)]
    report = StepsReport("", "", 1, rows, "", None, [], [], 0.0)
    assert [row.step for row in shown(report)] == [*range(1, 9), *range(47, 56), *range(93, 101)]
    assert shown(StepsReport("", "", 1, rows[:24], "", None, [], [], 0.0)) == rows[:24]
