"""Backward passes of two runs: clean ones are not accused, a planted fault is named where it is and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from parity_tests.parity.graphs.made import BIAS, IMAGE, KERNEL, Array, Side, convolution
from parity_tests.parity.graphs.passes import GRAD, Plant, norm, pulled
from twinzoo.parity.gradients import Due, Wrong
from twinzoo.parity.graphs.backward import first_names, reverse, sides_of, unjudged
from twinzoo.parity.graphs.backward_causes import gradient_findings
from twinzoo.parity.graphs.carried import keys_of_b, made_of, sources, value_of
from twinzoo.parity.graphs.compare import compare_runs
from twinzoo.parity.graphs.pairs import Paired, pair
from twinzoo.parity.graphs.run import Gradients, How, Run
from twinzoo.parity.measure import judge
from twinzoo.parity.pulling import Part
from twinzoo.parity.results import Finding

SECOND = np.random.default_rng(5).normal(size=(4, 4, 3, 3)).astype(np.float32)
CONV, ACT, AGAIN, ADD, SQUARE = 1, 2, 3, 4, 5


def network(path: str = "conv", image: Array = IMAGE, kernel: Array = KERNEL) -> Side:
    """A convolution that is used twice, and two outputs, one of them twice over."""
    side = Side()
    x = convolution(side, side.input(image), path, kernel)
    y = convolution(side, side.op("leaky_relu", x, slope=0.2, name="act"), "again", SECOND)
    s = side.op("square", side.op("add", y, x))
    side.operations = [replace(op, source=f"{path}.py:{i}") for i, op in enumerate(side.operations)]
    side.output(s)
    side.output(y)
    side.output(y)
    return side


def judged(a: Run, b: Run, forward: frozenset[int] = frozenset()) -> list[Finding]:
    paired = pair(a, b)
    return gradient_findings(paired, reverse(paired).wrong, forward)


def told(a: Run, b: Run) -> list[tuple[str, str]]:
    return [(finding.layer, finding.cause) for finding in judged(a, b)]


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("loss", [True, False])
def test_clean_sides_are_not_accused(scale: float, loss: bool) -> None:
    image, how = IMAGE * np.float32(scale), How(grad=True, loss=loss)
    a, b = pulled(network(image=image), how), pulled(network("other", image=image), how)
    report = compare_runs(a, b, 0.0)
    assert report.ok and not report.findings
    assert sum(row.quantity.startswith("gradient") for row in report.layers) == 10
    assert not judged(a, pulled(network(image=image * 3, kernel=KERNEL * 2), how))


PLACES: dict[int | str, tuple[int, str, set[str]]] = {
    CONV: (CONV, "conv", {"act", "add"}),
    ACT: (ACT, "act", {"again"}),
    AGAIN: (AGAIN, "again", {"add", "the model's output"}),
    SQUARE: (SQUARE, "square", {"the model's output"}),
    "conv.weight": (CONV, "conv", {"conv"}),
    "again.weight": (AGAIN, "again", {"again"}),
}


@pytest.mark.parametrize("key", PLACES)
@pytest.mark.parametrize(
    ("fault", "cause", "words"),
    [
        (lambda g: g * 2, "scale", "it is a multiple of what is right, by 2"),
        (lambda g: g + 3, "offset", "it is higher by"),
        (lambda g: g * (1 + 0.1 * (np.indices(g.shape).sum(0) % 2)), "unexplained", "it differs in"),
    ],
)
def test_a_gradient_that_is_wrong(key: int | str, fault: Plant, cause: str, words: str) -> None:
    clean, planted = pulled(network()), pulled(network(), plant={key: fault})
    for side, pair_of in (("a", (planted, clean)), ("b", (clean, planted))):
        (found,) = judged(*pair_of)
        place, layer, users = PLACES[key]
        assert (found.layer, found.cause) == (layer, cause)
        what = f"the gradient of {key if isinstance(key, str) else 'its output'} on side {side} is not what float64"
        assert found.evidence.startswith(what) and words in found.evidence
        assert set(found.fix.partition(f"on side {side}: ")[2].split(", ")) == users
        assert found.source == (f"conv.py:{place}",) * 2


@pytest.mark.parametrize(
    ("user", "operand", "words"), [(ADD, 1, "through add"), (ACT, 0, "through act"), (AGAIN, 0, "")]
)
def test_a_way_back_that_is_cut(user: int, operand: int, words: str) -> None:
    cut = pulled(network(), cut=frozenset({(user, operand)}))
    (found,) = judged(pulled(network()), cut)
    assert found.cause == "grad-missing" and found.fix.startswith("look for detach() or no_grad()")
    if words:
        assert found.layer == "conv" and f"is what float64 gives without what comes back {words}; " in found.evidence
    else:
        assert found.layer == "act" and "on side b is missing, where float64 has up to" in found.evidence
    (found,) = judged(cut, pulled(network()))
    assert "on side a" in found.evidence and found.fix.endswith("on side a")


def test_the_words_are_those_of_the_side_s_framework() -> None:
    side = network()
    side.port = "mindspore"
    (found,) = judged(pulled(network()), pulled(side, cut=frozenset({(ADD, 1)})))
    assert found.fix == "look for ops.stop_gradient on that way on side b"


def test_an_output_that_is_not_pulled() -> None:
    how = Pulling(grad=True)
    b = replace(pulled(network(), how), how=GRAD)
    (found,) = judged(pulled(network()), b)
    assert found.layer == "again" and "without what comes back as an output; with it" in found.evidence


class Pulling(How):
    """Further outputs are forgotten."""

    def pull(self, index: int, shape: tuple[int, ...]) -> Array:
        return super().pull(index, shape) * np.float32(index == 0)


def test_zeros_are_not_what_is_missing() -> None:
    clean, zeros = pulled(network()), pulled(network(), plant={"conv.weight": lambda g: g * 0})
    (found,) = judged(clean, zeros)
    largest = np.abs(clean.gradients.parameters["conv.weight"]).max()
    assert found.evidence == f"the gradient of conv.weight on side b is zero, where float64 has up to {largest:.3g}"
    absent = replace(clean, gradients=without(clean, "conv.weight"))
    (found,) = judged(clean, absent)
    assert "on side b is missing" in found.evidence and found.fix.endswith("behind it on side b")


def without(run: Run, key: str) -> Gradients:
    return replace(run.gradients, parameters={k: g for k, g in run.gradients.parameters.items() if k != key})


def test_what_is_wrong_forwards_is_not_told_again() -> None:
    clean = pulled(network())
    b = pulled(network(), plant={ACT: lambda g: g * 2})
    assert not judged(clean, b, frozenset({ACT})) and not judged(clean, b, frozenset({AGAIN}))
    assert len(judged(clean, b, frozenset({CONV, ADD, SQUARE}))) == 1


def test_a_stop_that_side_b_alone_has_is_named() -> None:
    a, b = Side(), Side()
    for side in (a, b):
        x = convolution(side, side.input())
        if side is b:
            x = side.op("stop_gradient", x, name="held")
            side.operations[x] = replace(side.operations[x], source="net.py:9")
        side.output(side.op("tanh", x))
    found = judged(pulled(a), pulled(b, cut=frozenset({(2, 0)})))
    assert found and {finding.cause for finding in found} == {"grad-missing"}
    assert found[0].layer == "conv" and found[0].evidence.endswith("; only side b has held net.py:9")
    other = judged(pulled(b, cut=frozenset({(2, 0)})), pulled(a))
    assert other and "only side b has" not in "".join(finding.evidence for finding in other)


def test_what_comes_back_where_nothing_should() -> None:
    def stopped() -> Side:
        side = Side()
        side.output(side.op("tanh", side.op("stop_gradient", convolution(side, side.input()), name="held")))
        return side

    clean = pulled(stopped(), cut=frozenset({(2, 0)}))
    assert not judged(clean, clean)
    back = dict(clean.gradients.values) | {1: clean.gradients.values[2]}
    found = judged(clean, replace(clean, gradients=replace(clean.gradients, values=back)))
    assert (found[0].layer, found[0].cause) == ("conv", "grad-missing")
    assert "on side b is not nothing, though side a's graph lets nothing back there" in found[0].evidence
    assert found[0].fix == "stop the gradient there on side b too (detach() or no_grad())"


@pytest.mark.parametrize(("frozen", "only", "other"), [("a", "b", "a"), ("b", "a", "b")])
def test_a_parameter_that_one_side_alone_trains(frozen: str, only: str, other: str) -> None:
    runs = {"a": pulled(network()), "b": pulled(network("other"))}
    key = {"a": "conv.weight", "b": "other.weight"}[frozen]
    runs[frozen] = pulled(network("conv" if frozen == "a" else "other"), frozen=frozenset({key}))
    (found,) = judged(runs["a"], runs["b"])
    assert (found.layer, found.cause) == ("conv ~ other", "grad-missing")
    assert found.evidence == f"conv.weight is trained on side {only} alone: on side {other} it has requires_grad False"
    assert found.fix == f"set requires_grad of other.weight on side b to {frozen == 'b'}"


def test_a_parameter_that_neither_side_trains() -> None:
    frozen = frozenset({"conv.weight", "again.bias"})
    run = pulled(network(), frozen=frozen)
    assert not judged(run, run)
    assert [b.frozen for b in sides_of(pair(run, run))] == [{"n1.weight", "n3.bias"}] * 2


def shared(forget: bool = False) -> Run:
    """One convolution called twice; its gradient is that of both calls, or of the last alone."""
    side = Side()
    x = convolution(side, side.input(), "conv", KERNEL[:3], BIAS[:3])
    side.output(convolution(side, side.op("tanh", x), "conv", KERNEL[:3], BIAS[:3]))
    run = pulled(side)
    if not forget:
        return run
    once = pulled(side, plant={1: lambda g: g * 0})
    return replace(run, gradients=replace(run.gradients, parameters=once.gradients.parameters))


def test_a_layer_called_twice_has_the_sum_of_both() -> None:
    assert not judged(shared(), shared())
    assert first_names(pair(shared(), shared())) == {
        "n1.weight": "n1.weight",
        "n1.bias": "n1.bias",
        "n3.weight": "n1.weight",
        "n3.bias": "n1.bias",
    }
    found = judged(shared(), shared(forget=True))
    assert [(f.layer, f.cause) for f in found] == [("conv", "grad-missing")] * 2
    assert (
        "the gradient of conv.weight on side b is what float64 gives without what comes back through conv"
        in found[0].evidence
    )


def opaque(scale: float = 1.0) -> Run:
    """An operation that the op table has no word for, between two that it has, and a constant."""
    side = Side()
    x = side.op("tanh", side.input())
    s = side.other("torch.strange", np.sin(side.values[x]), x, name="strange")
    constant = side.other("unseen", IMAGE)
    side.output(side.op("mul", side.op("add", s, constant), s))
    run = pulled(side)
    values = dict(run.gradients.values)
    values[1] = (np.cos(side.values[x]) * values[s] * scale).astype(np.float32)
    values[0] = (values[1] * (1 - side.values[x] ** 2)).astype(np.float32)
    del values[constant]
    return replace(run, gradients=replace(run.gradients, values=values))


def test_what_an_unknown_operation_lets_back_is_taken_as_it_is() -> None:
    paired = pair(opaque(), opaque(2.0))
    found = reverse(paired)
    assert not found.wrong and "n1" not in [row.name for row in found.rows]
    assert unjudged(paired) == ["what strange lets back is not judged: the op table has no word for it"]
    assert sides_of(paired)[0].constants == sides_of(paired)[1].constants == {"n2", "n3"}
    assert unjudged(pair(pulled(network()), pulled(network()))) == []


@pytest.mark.parametrize("returned", [True, False])
def test_further_outputs_are_not_judged(returned: bool) -> None:
    """Neither where they are returned, nor where they are used: what came back to the first is not known then."""
    side = Side()
    x = side.op("topk", side.op("relu", side.input()), k=2, axis=1)
    last = x if returned else side.op("tanh", x)
    side.output(last)
    place = len(side.operations) - 1 if returned else last
    side.operations[place] = replace(side.operations[place], operands=((x, 1),))
    values = {} if returned else {x: np.ones_like(side.values[x])}
    run = replace(side.run(), how=GRAD, gradients=Gradients(values, {}))
    found = reverse(pair(run, run))
    assert "n2" not in [row.name for row in found.rows] and "n2" not in [item.name for item in found.wrong]


def test_norms_that_use_the_batch_pass_back_through_it() -> None:
    side = Side()
    side.output(side.op("tanh", norm(side, convolution(side, side.input()))))
    run = pulled(side, How(train=True, grad=True))
    assert not judged(run, run)
    (found,) = judged(run, pulled(side, How(train=True, grad=True), plant={"norm.weight": lambda g: g * 2}))
    assert (found.layer, found.cause) == ("norm", "scale")


def test_what_side_b_has_not_is_filled_in() -> None:
    a, b = Side(), Side()
    for side in (a, b):
        x = side.op("tanh", side.op("relu", side.input()))
        x = side.op("affine", x, scale=1.0) if side is a else x
        side.output(side.op("square", x))
    paired = pair(pulled(a), pulled(b))
    assert paired.alignment.only_a == [3] and sides_of(paired)[1].filled == {"n3"}
    assert not reverse(paired).wrong


def normed(scale: float = 1.0) -> Run:
    """Side b's convolution has weight norm: its weight is computed of two parameters."""
    side = network()
    layer = side.layers["conv"]
    roles = {"weight_g": (4, 1, 1, 1), "weight_v": KERNEL.shape}
    tensors = {
        role: replace(layer.tensors["weight"], key=f"conv.{role}", role=role, shape=shape)
        for role, shape in roles.items()
    }
    layer.tensors = {**tensors, "bias": layer.tensors["bias"]}
    run = pulled(side)
    size = np.sqrt((KERNEL.astype(np.float64) ** 2).sum((1, 2, 3), keepdims=True)).astype(np.float32)
    state = {
        **{k: v for k, v in run.state.items() if k != "conv.weight"},
        "conv.weight_g": size,
        "conv.weight_v": KERNEL,
    }
    return replace(run, state=state, gradients=without(run, "conv.weight"))


def test_a_weight_that_is_computed_has_no_gradient_of_its_own() -> None:
    paired = pair(pulled(network()), normed())
    value = value_of(paired, "n1.weight")
    assert value is not None and not value.exact and len(value.sources) == 2
    assert made_of(value, {"conv.weight_v": KERNEL}) is None
    assert sides_of(paired)[1].frozen == {"n1.weight"} and not reverse(paired).wrong
    assert keys_of_b(paired) == {"conv.bias": "conv.bias", "again.weight": "again.weight", "again.bias": "again.bias"}


def test_what_stands_in_the_place_of_a_tensor() -> None:
    paired = pair(pulled(network()), pulled(network("other")))
    value = value_of(paired, "n1.weight")
    assert value is not None and value.sources == ("other.weight",)
    assert made_of(value, {"other.weight": KERNEL}) is KERNEL and made_of(value, {"conv.weight": KERNEL}) is None
    assert value_of(paired, "n2.weight") is None
    assert sources(paired, ACT) == ("conv.py:2", "other.py:2")
    assert keys_of_b(paired)["conv.bias"] == "other.bias"
    alone = pair(pulled(network()), _without_layers())
    assert value_of(alone, "n1.weight") is None and sources(alone, AGAIN) == ("conv.py:3", "")


def _without_layers() -> Run:
    side = Side()
    side.output(side.op("tanh", side.input()))
    return pulled(side)


def test_a_gradient_of_another_shape() -> None:
    clean = pulled(network())
    values = {**clean.gradients.values, ACT: clean.gradients.values[ACT][:1]}
    b = replace(clean, gradients=replace(clean.gradients, values=values))
    paired = pair(clean, b)
    wrong: list[Wrong] = [item for item in _reversed(paired) if item.name == "n2"]
    assert "it has shape (1, 4, 8, 8)" in gradient_findings(paired, wrong, frozenset())[0].evidence


def _reversed(paired: Paired) -> list[Wrong]:
    due: Any = reverse(pair(paired.a, pulled(network(), plant={ACT: lambda g: g * 2}))).wrong
    return [replace(item, gradient=paired.b.gradients.values[ACT]) for item in due]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (2, 0, 1)])
@pytest.mark.parametrize("large", [0, 1, 2])
def test_uses_of_a_value_add_up_in_any_order(order: tuple[int, ...], large: int) -> None:
    """In float32, one after another, whichever of them is the largest."""
    parts = [np.random.default_rng(i).standard_normal(10_000).astype(np.float32) for i in range(3)]
    parts[large] *= np.float32(30)
    due = Due()
    for i, part in enumerate(parts):
        due.add(f"user{i // 2}", Part(part.astype(np.float64), np.zeros(part.shape)))
    first, second, third = (parts[i] for i in order)
    total = due.total()
    assert total is not None
    assert 0.2 < judge(first + second + third, *total).ratio <= 1
    assert judge(first + second + third * np.float32(1.001), *total).ratio > 1
    rest = due.total({"user0"})
    assert rest is not None and not rest[1].any() and due.total({"user0", "user1"}) is None


def test_the_bounds_of_all_uses_add_up() -> None:
    due, zeros = Due(), np.zeros(3)
    for user, bound in (("one", 1.0), ("one", 2.0), ("other", 4.0)):
        due.add(user, Part(zeros, np.full(3, bound)))
    total, rest = due.total(), due.total({"one"})
    assert total is not None and rest is not None
    assert total[1].tolist() == pytest.approx([7.0] * 3, rel=1e-6) and rest[1].tolist() == [4.0] * 3


@pytest.mark.parametrize("kind", ["sigmoid", "torch.erf"])
def test_an_output_that_only_one_side_has_accuses_no_gradient(kind: str) -> None:
    """Every output is pulled with the numbers of its own place, which is another one behind an output more."""

    def returning(extra: bool) -> Run:
        side = Side()
        x = side.op("square", side.input())
        if extra:
            mask = side.input(IMAGE + 1, "mask")
            side.output(side.op(kind, mask) if kind == "sigmoid" else side.other(kind, IMAGE, mask))
        side.output(side.op("tanh", x))
        return pulled(side)

    more, less = returning(True), returning(False)
    for sides, cause in (((more, less), "missing-op"), ((less, more), "extra-op")):
        found = compare_runs(*sides, 0.0)
        assert {finding.cause for finding in found.findings} == {cause}
