"""What one node passes back: of a side's own values, with what its stored output and its kernel may be off by."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from parity_tests.parity.graphs.made import IMAGE, KERNEL, Array
from twinzoo.parity.kernels import GRADIENT_KERNELS, KernelAccuracy, gradient_allowance
from twinzoo.parity.measure import judge
from twinzoo.parity.pulling import Passed, passed
from twinzoo.ports.reference import evaluate
from twinzoo.zoo.spec import Node, Spec

PULL = np.random.default_rng(3).standard_normal(IMAGE.shape).astype(np.float32)


def drawn(kind: str, *inputs: Array, **attrs: Any) -> tuple[Node, dict[str, Array]]:
    """A node on these inputs, and their values."""
    spec = Spec("made")
    given = [spec.input(f"x{i}", shape=x.shape) for i, x in enumerate(inputs)]
    getattr(spec, kind)("node", *given, **attrs)
    return spec.nodes["node"], {f"x{i}": x for i, x in enumerate(inputs)}


def back(port: str, kind: str, *inputs: Array, given: Array | None = None, pull: Array = PULL, **attrs: Any) -> Passed:
    """What a node without parameters passes back."""
    node, values = drawn(kind, *inputs, **attrs)
    exact = evaluate(node, {}, inputs)[0].astype(np.float32)
    return passed(port, node, {}, {**values, "node": exact if given is None else given}, pull, set())


def ratio(made: Passed, gradient: Array) -> float:
    ((_, part),) = made.parts()
    return judge(gradient, part.gradient, part.allowed).ratio


@pytest.mark.parametrize(("port", "off"), [("torch", 0.0), ("mindspore", 1.8e-6), ("live mindspore", 1.1e-4)])
def test_a_kernel_may_take_its_gradient_from_the_output_it_stored(port: str, off: float) -> None:
    exact = np.tanh(IMAGE.astype(np.float64))
    given = (exact + off).astype(np.float32)
    pull = PULL.astype(np.float64)
    for stored in (exact, given):
        assert ratio(back(port, "tanh", IMAGE, given=given), (pull * (1 - stored**2)).astype(np.float32)) <= 1
    assert ratio(back(port, "tanh", IMAGE, given=given), pull * (1 - (exact + 2 * off + 1e-5) ** 2)) > 1
    assert ratio(back(port, "tanh", IMAGE), pull * (1 - given.astype(np.float64) ** 2)) <= 1
    assert ratio(back("torch", "square", IMAGE, given=IMAGE), 2 * pull * IMAGE.astype(np.float64)) <= 1


def test_an_output_that_is_off_for_any_reason_may_be_used_again() -> None:
    given = (np.tanh(IMAGE.astype(np.float64)) + 1e-4).astype(np.float32)
    gradient = PULL * (1 - given.astype(np.float64) ** 2)
    assert ratio(back("torch", "tanh", IMAGE, given=given), gradient) <= 1
    assert ratio(back("torch", "tanh", IMAGE), gradient) > 1


def test_a_measured_kernel_has_its_allowance_and_no_other_port() -> None:
    known = GRADIENT_KERNELS["mindspore", "silu"]
    mine, clean = back("mindspore", "silu", IMAGE), back("torch", "silu", IMAGE)
    assert mine.kernel and not clean.kernel
    more = mine.allowed.inputs[0] - clean.allowed.inputs[0]  # type: ignore[operator]
    wanted = known.absolute * np.abs(PULL).max() + known.relative * np.abs(mine.pulled.inputs[0])  # type: ignore[arg-type]
    np.testing.assert_allclose(more, wanted, rtol=1e-6)
    assert not back("mindspore", "square", IMAGE).kernel


@pytest.mark.parametrize(("reduction", "share"), [("sum", 1.0), ("none", 1.0), ("mean", 1 / 16)])
def test_the_allowance_is_a_share_of_what_comes_in_and_of_what_goes_out(reduction: str, share: float) -> None:
    x = np.linspace(-2, 2, 16)
    node, _ = drawn("bce_with_logits", x, np.ones(16), reduction=reduction)
    gradient, out = np.array([-3.0, 2.0]), np.linspace(-4, 5, 16)
    found = gradient_allowance(KernelAccuracy(0.5, 0.25, ""), node, gradient, out)
    np.testing.assert_allclose(found, 0.5 * share * 3 + 0.25 * np.abs(out))
    plain, _ = drawn("silu", x)
    np.testing.assert_allclose(gradient_allowance(KernelAccuracy(0.5, 0.0, ""), plain, gradient, out), 1.5)


def dropped(x: list[float], given: list[float], gradient: list[float], training: set[str]) -> float:
    arrays = [np.array(numbers, np.float32) for numbers in (x, given, gradient)]
    node, values = drawn("dropout", arrays[0], p=0.5)
    made = passed("torch", node, {}, {**values, "node": arrays[1]}, np.ones_like(arrays[0]), training)
    return ratio(made, arrays[2])


def test_what_a_dropout_kept_is_read_off_its_values() -> None:
    x, given = [1.0, 2.0, 3.0, 0.0], [2.0, 0.0, 6.0, 0.0]
    for right in (0.0, 2.0):  # whether a zero was kept cannot be seen
        assert dropped(x, given, [2, 0, 2, right], {"node"}) <= 1
    wrong: list[list[float]] = [[2, 2, 2, 0], [2, 0, 0, 0], [1, 0, 1, 0], [2, 0, 2, -2.5], [2, 0, 2, 4.5]]
    for gradient in wrong:
        assert dropped(x, given, gradient, {"node"}) > 1
    assert dropped(x, x, [1, 1, 1, 1], set()) <= 1
    assert dropped(x, given, [2, 0, 2, 0], set()) > 1


def test_parts_are_named_by_operands_and_parameters() -> None:
    node, values = drawn("conv2d", IMAGE, channels=4, kernel=3, padding=1)
    state = {"node.weight": KERNEL, "node.bias": np.zeros(4, np.float32)}
    given = evaluate(node, {"weight": KERNEL, "bias": np.zeros(4)}, (IMAGE,))[0].astype(np.float32)
    made = passed("torch", node, state, {**values, "node": given}, np.ones_like(given), set())
    found = dict(made.parts())
    assert list(found) == ["x0", "node.weight", "node.bias"]
    assert all(gradient.shape == allowed.shape for gradient, allowed, _ in found.values())
    np.testing.assert_allclose(found["node.bias"][0], 2 * 64)
    twice, values = drawn("sub", IMAGE, IMAGE)
    made = passed("torch", twice, {}, {**values, "node": IMAGE * 0}, PULL, set())
    assert [name for name, _ in made.parts()] == ["x0", "x1"]
    np.testing.assert_allclose(dict(made.parts())["x1"][0], -PULL)


def test_a_norm_in_training_mode_passes_back_through_the_batch() -> None:
    node, values = drawn("batch_norm", IMAGE, affine=False)
    tensors = {"running_mean": np.zeros(3, np.float32), "running_var": np.full(3, 4, np.float32)}
    state = {f"node.{role}": x for role, x in tensors.items()}
    sums = {}
    for training in (set[str](), {"node"}):
        given = evaluate(node, tensors, (IMAGE,), train=bool(training))[0].astype(np.float32)
        ((_, (gradient, *_)),) = passed("torch", node, state, {**values, "node": given}, PULL, training).parts()
        sums[bool(training)] = float(np.abs(gradient.sum((0, 2, 3))).max())
    assert sums[True] < 1e-9 < sums[False]
