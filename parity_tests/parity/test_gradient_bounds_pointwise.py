"""Clean gradients of functions, norms, reductions and losses are within their bound; what is wrong is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.parity.bounds.gradients import losses, norms, pointwise, reductions
from twinzoo.parity.bounds.sums import TINY, U
from twinzoo.parity.gradient_rounding import gradient_bound
from twinzoo.parity.kernels import KERNELS
from twinzoo.parity.op_cases import CASES, NODE, OpCase, Tensor, case_inputs, case_spec, case_state
from twinzoo.parity.rounding import bound
from twinzoo.ports.port import Port
from twinzoo.ports.reference import evaluate
from twinzoo.ports.reference.backward.rule import Pulled
from twinzoo.ports.reference.pull import pull
from twinzoo.zoo.spec import Node

Array = NDArray[Any]

PORTS = ("torch", "mindspore")
SCALES = (1e-3, 1.0, 1e3)
UNSCALED = ("exp", "pow", "cross_entropy")
"""Ops whose outputs overflow, or whose inputs are labels."""

OURS = {**pointwise.RULES, **norms.RULES, **reductions.RULES, **losses.RULES}
OUR_CASES = [case for case in CASES if case.op in OURS]

MEASURED: dict[tuple[str, str], tuple[float, float]] = {
    ("mindspore", "silu"): (3e-10, 3.6e-6),
    ("mindspore", "softplus"): (2.5e-10, 2.2e-6),
    ("mindspore", "gelu"): (4e-7, 0.0),
    ("mindspore", "logsumexp"): (3e-10, 3.2e-6),
    ("mindspore", "cross_entropy"): (4e-10, 4.2e-6),
    ("mindspore", "bce_with_logits"): (6e-7, 0.0),
}
"""What the exponential of MindSpore's CPU adds: a share of the incoming gradient, and one of the result."""


def _port(name: str) -> Port:
    pytest.importorskip(name)
    port: Port = import_module(f"twinzoo.ports.{name}.port").PORT
    return port


class Question:
    """One node with numbers, what the reference says of its gradients, and how far float32 may be off.

    Attributes:
        fed: everything the node was given, by the names of the case.
        gradient: the incoming gradient, as float32 numbers.
        wanted, allowed: the float64 gradients, and the bounds.
    """

    def __init__(self, case: OpCase, seed: int = 0, scale: float = 1.0, port: str = "", **changed: Any) -> None:
        self.case, self.spec, self.state = case, case_spec(case), case_state(case, seed)
        self.fed = {name: self._scaled(name, x, scale) for name, x in case_inputs(case, seed).items()} | changed
        self.node: Node = self.spec.nodes[NODE]
        self.inputs = tuple(self.fed[name] for name in self.spec.inputs)
        self.params = {name.partition(".")[2]: value for name, value in self.state.items()}
        self.draws = {suffix: self.fed[f"{NODE}_{suffix}"] for suffix in self.node.draws if case.fed}
        outputs = evaluate(self.node, self.params, self.inputs, train=case.train, draws=self.draws)
        random = np.random.default_rng(seed)
        self.gradient = random.uniform(-1, 1, outputs[0].shape).astype(np.float32)
        off = bound(self.node, self.params, self.inputs, outputs, train=case.train)[0]
        if known := KERNELS.get((port, case.op)):
            off = off + known.absolute + known.relative * np.abs(outputs[0])
        self.outputs, self.off = outputs, off
        self.wanted = self.pulled(self.node, self.gradient)
        self.allowed = self.bounds(off)

    def _scaled(self, name: str, x: Array, scale: float) -> Array:
        return x * np.float32(scale) if x.dtype == np.float32 and name in self.spec.inputs and name != "target" else x

    def pulled(self, node: Node, gradient: Array) -> Pulled:
        how: dict[str, Any] = {"train": self.case.train, "draws": self.draws}
        outputs = evaluate(node, self.params, self.inputs, **how)
        return pull(node, self.params, self.inputs, outputs, gradient, **how)

    def bounds(self, off: Array | float) -> Pulled:
        args = (self.node, self.params, self.inputs, self.outputs, self.gradient, off, self.wanted)
        with np.errstate(all="ignore"):
            return gradient_bound(*args, train=self.case.train)

    def by_name(self, pulled: Pulled) -> dict[str, Any]:
        """By the names that a port uses; without what no gradient reaches."""
        named = dict(zip(self.spec.inputs, pulled.inputs, strict=True))
        named |= {f"{NODE}.{role}": value for role, value in pulled.params.items()}
        return {name: value for name, value in named.items() if value is not None}

    def share(self, got: dict[str, Any], measured: tuple[float, float] = (0.0, 0.0)) -> float:
        """The largest error over what is allowed."""
        worst, wanted, allowed = 0.0, self.by_name(self.wanted), self.by_name(self.allowed)
        for name, want in wanted.items():
            reach = np.abs(self.gradient).max() / (want.size if self.case.attrs.get("reduction") == "mean" else 1)
            within = allowed[name] + measured[0] * reach + measured[1] * np.abs(want)
            assert within.shape == want.shape and np.all(np.isfinite(within)), name
            error = np.abs(got[name].astype(np.float64) - want)
            worst = max(worst, float(np.max(np.divide(error, within, where=error > 0, out=np.zeros(error.shape)))))
        return worst


def _by_port(port: Port, model: Any, question: Question) -> dict[str, Array]:
    port.load(model, question.state)
    (output,) = question.spec.outputs
    return port.gradients(model, question.fed, {output: question.gradient}, train=question.case.train)


@pytest.mark.parametrize("op", sorted(OURS))
@pytest.mark.parametrize("name", PORTS)
def test_clean_gradients_are_within_and_near_the_bound(name: str, op: str) -> None:
    """At most 1 everywhere; and not far below it somewhere, or the bound would see nothing."""
    port = _port(name)
    shares = []
    for case in (case for case in OUR_CASES if case.op == op):
        model = port.build(case_spec(case))
        for seed, scale in enumerate((1.0,) * 3 if op in UNSCALED else SCALES):
            question = Question(case, seed, scale, name)
            shares.append(question.share(_by_port(port, model, question), MEASURED.get((name, op), (0.0, 0.0))))
    assert max(shares) <= 1
    assert max(shares) == 0 or max(shares) >= 0.03, f"the bound is {1 / max(shares):.0f} times wider than the errors"


@pytest.mark.parametrize("name, op", sorted(MEASURED))
def test_a_kernel_is_said_to_be_worse_only_where_it_is(name: str, op: str) -> None:
    port = _port(name)
    questions = [Question(case, 0, 1.0, name) for case in OUR_CASES if case.op == op]
    assert max(question.share(_by_port(port, port.build(question.spec), question)) for question in questions) > 1


_MAP, _ROWS = (2, 8, 24, 24), (8, 24, 64)
LAYERS = {
    "batch_norm": OpCase("batch_norm", {}, (Tensor(_MAP),)),
    "batch_norm-train": OpCase("batch_norm", {}, (Tensor(_MAP),), train=True),
    "instance_norm": OpCase("instance_norm", {"affine": True}, (Tensor(_MAP),)),
    "group_norm": OpCase("group_norm", {"groups": 2}, (Tensor(_MAP),)),
    "layer_norm": OpCase("layer_norm", {}, (Tensor(_ROWS),)),
    "layer_norm-image": OpCase("layer_norm", {"axes": 3}, (Tensor(_MAP),)),
    "var": OpCase("var", {"axes": (2, 3)}, (Tensor(_MAP),)),
    "std": OpCase("std", {}, (Tensor(_MAP),)),
    "l2_normalize": OpCase("l2_normalize", {}, (Tensor((2, 64, 8, 8)),)),
    "softmax": OpCase("softmax", {"axis": -1}, (Tensor((8, 500)),)),
    "prelu": OpCase("prelu", {}, (Tensor(_MAP),)),
}


_TRYING: dict[str, Callable[[Array], Array]] = {
    "far from zero": lambda x: x + np.float32(30),
    "few levels": lambda x: np.round(x * 4) / np.float32(4),
    "nearly constant": lambda x: np.where(x > 0, np.float32(0.3), np.float32(0.301)),
    "very different sizes": lambda x: x ** np.float32(7),
}


@pytest.mark.parametrize("kind", ["random", "constant", "as the input", "few levels"])
@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("name", PORTS)
def test_what_cancels_and_what_repeats_is_within_the_bound(name: str, layer: str, kind: str) -> None:
    """Gradients whose mean, or whose part along the input, is all there is: a norm takes both away."""
    port, case = _port(name), LAYERS[layer]
    model = port.build(case_spec(case))
    for changed in _TRYING.values():
        question = Question(case, 4, 1.0, name, x=changed(case_inputs(case, 4)["x"]))
        x, shape = question.inputs[0], question.gradient.shape
        gradients = {
            "random": question.gradient,
            "constant": np.full(shape, 0.1, np.float32),
            "as the input": (x - x.mean() if x.shape == shape else question.outputs[0]).astype(np.float32),
            "few levels": np.round(question.gradient * 2) * np.float32(0.3),
        }
        question.gradient = gradients[kind]
        question.wanted = question.pulled(question.node, question.gradient)
        question.allowed = question.bounds(question.off)
        assert question.share(_by_port(port, model, question)) <= 1


def _rounded(question: Question, pulled: Pulled) -> dict[str, Array]:
    return {name: value.astype(np.float32) for name, value in question.by_name(pulled).items()}


@pytest.mark.parametrize("case", OUR_CASES, ids=lambda case: case.id)
def test_a_thousandth_more_of_one_number_shows(case: OpCase) -> None:
    """Of the incoming gradient, where most comes of it, and of that of each parameter where it is largest."""
    question = Question(case)
    clean = _rounded(question, question.wanted)
    assert question.share(clean) <= 1
    if case.op == "stop_gradient":
        return
    more, dx = question.gradient.copy(), next(iter(clean.values()))
    more.flat[np.abs(dx if dx.shape == more.shape else more).argmax()] *= np.float32(1.001)
    assert question.share(_rounded(question, question.pulled(question.node, more))) > 1
    for role in question.wanted.params:
        off = {name: value.copy() for name, value in clean.items()}
        off[f"{NODE}.{role}"].flat[np.abs(off[f"{NODE}.{role}"]).argmax()] *= 1.001
        assert question.share(off) > 1, role


_BUGS: dict[str, tuple[OpCase, dict[str, Any]]] = {
    "eps-batch": (LAYERS["batch_norm"], {"eps": 1e-3}),
    "eps-batch-train": (LAYERS["batch_norm-train"], {"eps": 1e-3}),
    "eps-instance": (LAYERS["instance_norm"], {"eps": 1e-3}),
    "eps-group": (LAYERS["group_norm"], {"eps": 1e-3}),
    "eps-layer": (LAYERS["layer_norm"], {"eps": 1e-3}),
    "groups": (LAYERS["group_norm"], {"groups": 4}),
    "variance": (LAYERS["var"], {"correction": 0}),
    "deviation": (LAYERS["std"], {"correction": 0}),
    "slope": (OpCase("leaky_relu", {"slope": 0.2}, (Tensor(_MAP),)), {"slope": 0.2001}),
    "alpha": (OpCase("elu", {}, (Tensor(_MAP),)), {"alpha": 1.001}),
    "gelu": (OpCase("gelu", {}, (Tensor(_MAP),)), {"approximate": "tanh"}),
    "exponent": (OpCase("pow", {"exponent": 2.0}, (Tensor((64,), low=0.1),)), {"exponent": 2.0001}),
    "limit": (OpCase("clamp", {"low": -0.5}, (Tensor(_MAP),)), {"low": -0.6}),
    "scale": (OpCase("affine", {"scale": 0.5}, (Tensor(_MAP),)), {"scale": 0.500001}),
    "softmax-axis": (OpCase("softmax", {"axis": 1}, (Tensor((4, 6, 6)),)), {"axis": 2}),
    "log-softmax-axis": (OpCase("log_softmax", {"axis": 1}, (Tensor((4, 6, 6)),)), {"axis": 2}),
    "normalize-axis": (OpCase("l2_normalize", {"axis": 1}, (Tensor((4, 6, 6)),)), {"axis": 2}),
    "reduction": (OpCase("mse_loss", {"reduction": "mean"}, (Tensor(_MAP),) * 2), {"reduction": "sum"}),
    "beta": (OpCase("smooth_l1_loss", {}, (Tensor(_MAP),) * 2), {"beta": 1.001}),
}


@pytest.mark.parametrize("bug", _BUGS)
def test_the_gradient_of_another_attribute_is_beyond_the_bound(bug: str) -> None:
    case, changed = _BUGS[bug]
    question = Question(case)
    wrong = replace(question.node, attrs={**question.node.attrs, **changed})
    assert question.share(_rounded(question, question.wanted)) <= 1
    assert question.share(_rounded(question, question.pulled(wrong, question.gradient))) > 1.5


@pytest.mark.parametrize("layer", ["batch_norm-train", "instance_norm", "group_norm", "layer_norm"])
@pytest.mark.parametrize("lost", ["through the mean", "through the variance"])
def test_a_lost_term_of_a_norm_is_beyond_the_bound(layer: str, lost: str) -> None:
    """A framework that stops the gradient at the mean, or at the variance."""
    torch = pytest.importorskip("torch")
    question = Question(LAYERS[layer])
    axes = {"batch_norm-train": (0, 2, 3), "layer_norm": (2,)}.get(layer, (2, 3))
    shape = {"group_norm": (2, 2, 4, -1)}.get(layer, question.inputs[0].shape)
    weight = {"layer_norm": (64,), "group_norm": (1, 2, 4, 1)}.get(layer, (1, -1, 1, 1))
    x = torch.from_numpy(question.inputs[0]).double().requires_grad_()
    grouped = x.reshape(shape)
    mean, var = grouped.mean(axes, keepdim=True), grouped.var(axes, correction=0, keepdim=True)

    def gradient(mean: Any, var: Any) -> Pulled:
        y = (grouped - mean) / (var + 1e-5).sqrt() * torch.from_numpy(question.params["weight"]).reshape(weight)
        flow = torch.from_numpy(question.gradient).reshape(shape)
        (dx,) = torch.autograd.grad((y * flow).sum(), x, retain_graph=True)
        return Pulled((dx.numpy(),), question.wanted.params)

    assert question.share(_rounded(question, gradient(mean, var))) <= 1
    short = gradient(mean.detach(), var) if lost == "through the mean" else gradient(mean, var.detach())
    assert question.share(_rounded(question, short)) > 10


_AROUND_0 = (-1, 0, 1e-40, 2, 3)
_KINKS: list[tuple[str, dict[str, Any], tuple[float, ...], float]] = [
    ("relu", {}, _AROUND_0, 1.0),
    ("abs", {}, _AROUND_0, 1.0),
    ("leaky_relu", {"slope": 0.25}, _AROUND_0, 0.75),
    ("elu", {"alpha": 0.5}, _AROUND_0, 1.0),
    ("clamp", {"low": 0.1}, (-1, 0.1, 0.1, 2, 3), 1.0),
    ("amax", {}, (-1, 3, 3, 2, 1), 1.0),
    ("amin", {}, (-1, -3, -3, 2, 1), 1.0),
]


@pytest.mark.parametrize("op, attrs, x, jump", _KINKS)
def test_the_jump_is_allowed_at_the_kink_and_only_there(op: str, attrs: Any, x: Any, jump: float) -> None:
    question = Question(OpCase(op, attrs, (Tensor((5,)),)), x=np.array(x, np.float32))
    (allowed,) = question.by_name(question.allowed).values()
    flow = np.broadcast_to(np.abs(question.gradient), (5,))
    np.testing.assert_allclose(allowed[1:3], jump * flow[1:3], rtol=1e-4)
    assert np.all(allowed[[0, 3, 4]] <= 8 * U * flow[[0, 3, 4]] + TINY)


@pytest.mark.parametrize("op, jump", [("maximum", 0.5), ("l1_loss", 1.0)])
def test_of_two_equal_numbers_either_may_take_the_gradient(op: str, jump: float) -> None:
    attrs = {"reduction": "none"} if op == "l1_loss" else {}
    case = OpCase(op, attrs, (Tensor((3,)), Tensor((3,))))
    first, second = case_spec(case).inputs
    fed: dict[str, Any] = {first: np.array([1, 2, 3], np.float32), second: np.array([1, 2.5, 2.5], np.float32)}
    question = Question(case, **fed)
    for allowed in question.by_name(question.allowed).values():
        np.testing.assert_allclose(allowed, [jump * abs(question.gradient[0]), TINY, TINY], rtol=1e-4)


@pytest.mark.parametrize("op", ["tanh", "sigmoid", "exp"])
def test_what_the_output_is_off_by_is_passed_on(op: str) -> None:
    question = Question(OpCase(op, {}, (Tensor((6,)),)))
    (near,), (far,) = (question.bounds(off).inputs for off in (0.0, 1e-3))
    assert near is not None and far is not None
    y = question.outputs[0]
    factor = {"tanh": 2 * np.abs(y), "sigmoid": np.abs(1 - 2 * y), "exp": np.ones(6)}[op]
    np.testing.assert_allclose(far - near, 1e-3 * factor * np.abs(question.gradient), rtol=1e-4)


def test_a_deviation_of_zero_may_pass_what_a_small_one_does() -> None:
    case = OpCase("std", {"axes": (1,)}, (Tensor((2, 3)),))
    question = Question(case, x=np.array([[1, 1, 1], [1, 2, 3]], np.float32))
    (allowed,) = question.by_name(question.allowed).values()
    np.testing.assert_allclose(allowed[0], 2 * abs(question.gradient[0]) / np.sqrt(2), rtol=1e-4)
    assert np.all(allowed[1] < 1e-5)
