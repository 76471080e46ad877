"""Gradients of a traced module: those of autograd, at every operation that they reach."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.autograd.function import Function  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

from twinzoo.converters.live import Trace  # noqa: E402
from twinzoo.converters.live.torch.model import trace, whole  # noqa: E402
from twinzoo.zoo.errors import ConversionError  # noqa: E402

IMAGE = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)


def cotangents(index: int, shape: tuple[int, ...]) -> Any:
    return np.random.default_rng(index).standard_normal(shape).astype(np.float32)


class Written(nn.Module):
    """A network whose forward is a function of its parts."""

    def __init__(self, forward: Callable[..., Any], **parts: nn.Module) -> None:
        super().__init__()
        self.written = forward
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, *args: Any) -> Any:
        return self.written(self, *args)


def expected(model: nn.Module, *inputs: Any, train: bool = False) -> tuple[list[Any], dict[str, Any]]:
    """Gradients of the inputs and the parameters, by plain autograd."""
    model.train(train)
    leaves = [torch.from_numpy(x).requires_grad_() for x in inputs]
    result = model(*(leaf.clone() for leaf in leaves))
    results = result if isinstance(result, tuple) else (result,)
    total = sum(
        (y * torch.from_numpy(cotangents(i, tuple(y.shape)))).sum() for i, y in enumerate(results) if y.requires_grad
    )
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    wanted = [*leaves, *(model.get_parameter(name) for name in names)]
    found = torch.autograd.grad(total, wanted, allow_unused=True)
    parameters = {n: g.numpy() for n, g in zip(names, found[len(leaves) :], strict=True) if g is not None}
    return [None if g is None else g.numpy() for g in found[: len(leaves)]], parameters


def of(done: Trace, kind: str, nth: int = 0) -> Any:
    """The gradient of the n-th operation of a kind, None where there is none."""
    place = [i for i, op in enumerate(done.graph.operations) if op.kind == kind][nth]
    return done.gradients.get(place)


def _held_up(self: Any, x: Any) -> Any:
    y = self.conv(x)
    return y.relu() + y[:, :1] * torch.cat([y, x], 1).mean(), y.tanh()


def _in_place(self: Any, x: Any) -> Any:
    x *= 2
    y = self.conv(x)
    y += 1
    y[:, 1] = 0.5
    y.mul_(3.0)
    return F.relu(y, inplace=True)


def _through_a_view(self: Any, x: Any) -> Any:
    y = self.conv(x)
    part = y[:, :2]
    part *= 3
    return y * y


def _twice(self: Any, x: Any) -> Any:
    return self.conv(torch.sigmoid(self.conv(x)))


def _with_statistics(self: Any, x: Any) -> Any:
    return self.norm(self.conv(x)) * 2


NETWORKS: dict[str, Any] = {
    "several consumers": lambda: Written(_held_up, conv=nn.Conv2d(3, 4, 3, padding=1)),
    "in place": lambda: Written(_in_place, conv=nn.Conv2d(3, 4, 3)),
    "through a view": lambda: Written(_through_a_view, conv=nn.Conv2d(3, 4, 3)),
    "shared": lambda: Written(_twice, conv=nn.Conv2d(3, 3, 3)),
    "normed": lambda: Written(_with_statistics, conv=nn.Conv2d(3, 4, 3), norm=nn.BatchNorm2d(4)),
    "no parameters": lambda: nn.Sequential(nn.Tanh(), nn.AvgPool2d(2)),
    "weight norm": lambda: nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))),
    "spectral norm": lambda: nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 4, 3))),
    "tied": lambda: Written(lambda self, x: self.b(self.a(x)), **dict.fromkeys("ab", nn.Conv2d(3, 3, 1))),
}


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("network", NETWORKS)
def test_gradients_are_those_of_autograd(network: str, train: bool) -> None:
    torch.manual_seed(0)
    model = NETWORKS[network]().train(not train)
    done = trace(model, (IMAGE,), values=True, train=train, pull=cotangents)
    stands = whole(model, (IMAGE,), train=train, pull=cotangents)
    (of_input,), of_parameters = expected(model, IMAGE, train=train)
    np.testing.assert_allclose(of(done, "input"), of_input, rtol=1e-5, atol=1e-6)
    assert done.parameter_gradients.keys() == stands.parameter_gradients.keys() == of_parameters.keys()
    for name, gradient in of_parameters.items():
        np.testing.assert_allclose(done.parameter_gradients[name], gradient, rtol=1e-5, atol=1e-5, err_msg=name)
        np.testing.assert_array_equal(stands.parameter_gradients[name], done.parameter_gradients[name])
    np.testing.assert_array_equal(next(iter(stands.input_gradients.values())), of(done, "input"))
    assert list(stands.outputs) == list(done.outputs)
    assert all(np.array_equal(stands.outputs[name], value) for name, value in done.outputs.items())


def test_an_operation_has_the_gradient_of_all_its_consumers() -> None:
    model = NETWORKS["several consumers"]()
    done = trace(model, (IMAGE,), pull=cotangents)
    y = model.conv(torch.from_numpy(IMAGE)).detach().requires_grad_()
    x = torch.from_numpy(IMAGE)
    sums = y.relu() + y[:, :1] * torch.cat([y, x], 1).mean(), y.tanh()
    given = [torch.from_numpy(cotangents(i, tuple(s.shape))) for i, s in enumerate(sums)]
    (gradient,) = torch.autograd.grad(sums, [y], given)
    np.testing.assert_allclose(of(done, "conv2d"), gradient, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(of(done, "tanh"), given[1])
    np.testing.assert_array_equal(of(done, "add"), given[0])
    assert not done.values


def test_what_is_changed_in_place_keeps_the_gradients_of_both_values() -> None:
    def forward(self: Any, x: Any) -> Any:
        y = torch.neg(x)
        y.mul_(3)
        y[:, 0] = 0
        return y

    done = trace(Written(forward), (IMAGE,), values=True, pull=cotangents)
    given = cotangents(0, IMAGE.shape)
    cut = np.where(np.arange(3)[:, None, None] == 0, 0, given)
    np.testing.assert_allclose(of(done, "neg"), 3 * cut, rtol=1e-6)
    np.testing.assert_allclose(of(done, "affine"), cut, rtol=1e-6)
    np.testing.assert_array_equal(of(done, "torch.setitem"), given)


def test_a_write_through_a_view_is_seen_in_the_whole() -> None:
    model = NETWORKS["through a view"]()
    done = trace(model, (IMAGE,), values=True, pull=cotangents)
    kinds = [op.kind for op in done.graph.operations]
    assert kinds == ["input", "conv2d", "slice", "affine", "torch.written", "mul", "output"]
    written = done.graph.operations[4]
    assert written.operands == ((1, 0), (3, 0))
    conv, changed = done.values[1], done.values[4]
    np.testing.assert_array_equal(changed, np.concatenate([conv[:, :2] * 3, conv[:, 2:]], 1))
    upstream = 2 * changed * cotangents(0, changed.shape)
    np.testing.assert_allclose(done.gradients[4], upstream, rtol=1e-6)
    scale = np.array([3, 3, 1, 1], np.float32)[:, None, None]
    np.testing.assert_allclose(done.gradients[1], upstream * scale, rtol=1e-6)
    assert not {2, 3} & done.gradients.keys()


def test_a_write_to_what_nobody_else_reads_is_one_operation() -> None:
    def forward(self: Any, x: Any) -> Any:
        y = torch.neg(x)
        flat = torch.flatten(y, 1)
        return F.relu(flat, inplace=True) * 2

    done = trace(Written(forward), (IMAGE,), pull=cotangents)
    assert [op.kind for op in done.graph.operations] == ["input", "neg", "flatten", "relu", "affine", "output"]
    np.testing.assert_allclose(of(done, "relu"), 2 * cotangents(0, (2, 192)))


@pytest.mark.parametrize("cut", ["detach", "data", "no_grad"])
def test_gradients_that_are_cut_off(cut: str) -> None:
    def forward(self: Any, x: Any) -> Any:
        y = torch.tanh(x)
        if cut == "no_grad":
            with torch.no_grad():
                y = torch.sigmoid(y)
        else:
            y = torch.sigmoid(y)
            y = y.detach() if cut == "detach" else y.data
        return y * x

    done = trace(Written(forward), (IMAGE,), values=True, pull=cotangents)
    assert [op.kind for op in done.graph.operations] == ["input", "tanh", "sigmoid", "stop_gradient", "mul", "output"]
    assert done.gradients.keys() == {0, 4}
    np.testing.assert_array_equal(done.values[3], done.values[2])
    plain = trace(Written(forward), (IMAGE,), values=True)
    assert [op.kind for op in plain.graph.operations] == ["input", "tanh", "sigmoid", "mul", "output"]


class Reversed(Function):
    """Twice the values, and minus the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        """Two operations that gradients do not flow through."""
        return torch.relu(x) * 2

    @staticmethod
    def backward(ctx: Any, gradient: Any) -> Any:
        """Not the derivative of forward."""
        return -gradient


def test_a_function_with_a_backward_of_its_own_is_an_operation() -> None:
    model = Written(lambda self, x: Reversed.apply(torch.tanh(x)) * 3)  # type: ignore[no-untyped-call]
    done = trace(model, (IMAGE,), values=True, pull=cotangents)
    kinds = [op.kind for op in done.graph.operations]
    assert kinds == ["input", "tanh", "relu", "affine", "torch.Reversed", "affine", "output"]
    assert done.graph.operations[4].operands == ((3, 0), (1, 0))
    np.testing.assert_allclose(of(done, "tanh"), -3 * cotangents(0, IMAGE.shape), rtol=1e-6)
    np.testing.assert_allclose(of(done, "torch.Reversed"), 3 * cotangents(0, IMAGE.shape), rtol=1e-6)
    assert not {2, 3} & done.gradients.keys()


def test_a_checkpoint_has_the_gradients_that_it_recomputes() -> None:
    def forward(self: Any, x: Any) -> Any:
        return checkpoint(self.conv, torch.tanh(x), use_reentrant=False) * 2

    model = Written(forward, conv=nn.Conv2d(3, 4, 3))
    done = trace(model, (IMAGE,), pull=cotangents)
    (of_input,), of_parameters = expected(model, IMAGE)
    np.testing.assert_allclose(of(done, "input"), of_input, rtol=1e-5, atol=1e-6)
    assert done.parameter_gradients.keys() == of_parameters.keys()
    assert [op.kind for op in done.graph.operations] == ["input", "tanh", "conv2d", "affine", "output"]


def test_several_outputs_of_several_kinds() -> None:
    def forward(self: Any, x: Any, y: Any, index: Any) -> Any:
        return {"a": x, "b": {"c": (x * y, x.argmax(1)), "d": index}, "e": torch.ones(2)}

    done = trace(Written(forward), (IMAGE, IMAGE[:1], np.arange(3)), pull=cotangents)
    assert list(done.outputs) == ["a", "b.c.0", "b.c.1", "b.d", "e"]
    assert done.gradients.keys() == {0, 1, 3}
    np.testing.assert_allclose(
        done.gradients[0], cotangents(0, IMAGE.shape) + cotangents(1, IMAGE.shape) * IMAGE[:1], rtol=1e-6
    )


def test_one_tensor_that_is_returned_twice_is_pulled_twice() -> None:
    done = trace(Written(lambda self, x: [y := x.tanh(), y]), (IMAGE,), pull=cotangents)
    np.testing.assert_allclose(of(done, "tanh"), cotangents(0, IMAGE.shape) + cotangents(1, IMAGE.shape), rtol=1e-6)


def test_frozen_and_unused_parameters_have_no_gradient() -> None:
    model = Written(lambda self, x: self.b(self.a(x)), a=nn.Conv2d(3, 3, 1), b=nn.BatchNorm2d(3), c=nn.Linear(2, 2))
    model.a.requires_grad_(False)
    done = trace(model, (IMAGE,), pull=cotangents)
    assert done.frozen == {"a.weight", "a.bias"}
    assert done.parameter_gradients.keys() == {"b.weight", "b.bias"}
    assert all(p.grad is None for p in model.parameters())


def test_a_parameter_in_the_open_has_the_whole_gradient_of_the_tensor() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(3, 1, 1))

        def forward(self, x: Any) -> Any:
            return x * self.scale + self.scale

    done = trace(Scaled(), (IMAGE,), pull=cotangents)
    wanted = ((IMAGE + 1) * cotangents(0, IMAGE.shape)).sum((0, 2, 3)).reshape(3, 1, 1)
    np.testing.assert_allclose(of(done, "parameter"), wanted, rtol=1e-4)
    np.testing.assert_array_equal(of(done, "parameter"), done.parameter_gradients["scale"])


def test_folded_operations_have_the_gradient_of_the_last() -> None:
    done = trace(Written(lambda self, x: torch.tanh(x * 2 + 1)), (IMAGE,), values=True, pull=cotangents)
    assert [op.kind for op in done.graph.operations] == ["input", "affine", "tanh", "output"]
    slope = 1 - done.values[2] ** 2
    np.testing.assert_allclose(of(done, "affine"), slope * cotangents(0, IMAGE.shape), rtol=1e-4, atol=1e-6)


def test_sparse_gradients_are_told_as_dense_ones() -> None:
    done = trace(nn.Embedding(5, 2, sparse=True), (np.array([[1, 3]]),), pull=cotangents)
    assert np.flatnonzero(done.parameter_gradients["weight"].any(1)).tolist() == [1, 3]
    assert done.gradients.keys() == {1}


def test_a_loss_is_traced_and_pulled_with_one() -> None:
    target = torch.rand(2, 4, 40, 40)
    model = nn.Conv2d(3, 4, 3)
    image = np.random.default_rng(0).standard_normal((2, 3, 42, 42)).astype(np.float32)
    done = trace(model, (image,), values=True, pull=cotangents, loss=lambda y: F.mse_loss(y, target) + y.abs().mean())
    kinds = [op.kind for op in done.graph.operations]
    assert kinds == ["input", "conv2d", "unseen", "mse_loss", "abs", "mean", "add", "output"]
    np.testing.assert_array_equal(done.values[2], target)
    y = model(torch.from_numpy(image))
    lost = F.mse_loss(y, target) + y.abs().mean()
    assert list(done.outputs) == ["0"] and np.allclose(done.outputs["0"], lost.item(), rtol=1e-6)
    (gradient,) = torch.autograd.grad(lost, [y], retain_graph=True)
    np.testing.assert_allclose(done.gradients[1], gradient, rtol=1e-5, atol=1e-9)
    assert done.gradients[6] == 1
    stands = whole(model, (image,), pull=cotangents, loss=lambda y: F.mse_loss(y, target) + y.abs().mean())
    np.testing.assert_array_equal(stands.input_gradients["input"], done.gradients[0])


@pytest.mark.parametrize("loss", [lambda y: y, lambda y: 1.0])
def test_a_loss_that_is_no_number_is_refused(loss: Any) -> None:
    with pytest.raises(ConversionError, match="loss: must return a tensor of one number"):
        trace(nn.Tanh(), (IMAGE,), loss=loss)


def test_a_cotangent_of_another_shape_is_refused() -> None:
    with pytest.raises(ConversionError, match=r"pull: output 0 is \(2, 3, 8, 8\), the cotangent given is \(1,\)"):
        trace(nn.Tanh(), (IMAGE,), pull=lambda index, shape: np.ones(1, np.float32))


def test_what_has_no_gradients_is_refused_in_one_line() -> None:
    class Breaks(Function):
        """A function without a backward."""

        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            """The values."""
            return x * 2

    with pytest.raises(ConversionError, match="Written has no gradients: ") as caught:
        trace(Written(lambda self, x: Breaks.apply(x)), (IMAGE,), pull=cotangents)  # type: ignore[no-untyped-call]
    assert "\n" not in str(caught.value)
