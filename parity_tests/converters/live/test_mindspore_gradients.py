"""Gradients of a traced cell: those of value_and_grad, at every operation that they reach."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from twinzoo.ports.mindspore.runtime import prepare
from twinzoo.zoo.errors import ConversionError

prepare()
ms = pytest.importorskip("mindspore")

from mindspore import Parameter, Tensor, nn, ops  # noqa: E402

from twinzoo.converters.live import Trace  # noqa: E402
from twinzoo.converters.live.mindspore.model import trace, whole  # noqa: E402

IMAGE = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)


def cotangents(index: int, shape: tuple[int, ...]) -> Any:
    return np.random.default_rng(index).standard_normal(shape).astype(np.float32)


class Written(nn.Cell):  # type: ignore[misc]
    """A network whose construct is a function of its parts."""

    def __init__(self, construct: Callable[..., Any], **parts: nn.Cell) -> None:
        super().__init__()
        self.written = construct
        for name, part in parts.items():
            setattr(self, name, part)

    def construct(self, x: Any) -> Any:
        """What was written."""
        return self.written(self, x)


def expected(model: nn.Cell, image: Any, *, train: bool = False) -> tuple[Any, dict[str, Any]]:
    """Gradients of the input and the parameters, by plain value_and_grad."""
    model.set_train(train)
    parameters = model.trainable_params()

    def total(x: Any) -> Any:
        result = model(x)
        results = result if isinstance(result, tuple) else (result,)
        return sum((y * Tensor(cotangents(i, y.shape))).sum() for i, y in enumerate(results))

    weights = ms.ParameterTuple(parameters) if parameters else None
    _, found = ms.value_and_grad(total, 0, weights)(Tensor(image))
    of_input, of_parameters = found if parameters else (found, ())
    names = [parameter.name for parameter in parameters]
    return of_input.asnumpy(), {n: g.asnumpy() for n, g in zip(names, of_parameters, strict=True)}


def of(done: Trace, kind: str, nth: int = 0) -> Any:
    """The gradient of the n-th operation of a kind, None where there is none."""
    place = [i for i, op in enumerate(done.graph.operations) if op.kind == kind][nth]
    return done.gradients.get(place)


def conv(channels: int, kernel: int = 3) -> Any:
    return nn.Conv2d(3, channels, kernel, has_bias=True)


def _held_up(self: Any, x: Any) -> Any:
    y = self.conv(x)
    return ops.relu(y) + y[:, :1] * ops.cat([y, x], 1).mean(), ops.sigmoid(y)


def _in_place(self: Any, x: Any) -> Any:
    y = self.conv(x)
    y += 1
    y[:, 1] = 0.5
    y *= 3.0
    return ops.relu(y)


def _through_a_view(self: Any, x: Any) -> Any:
    y = self.conv(x)
    part = y[:, :2]
    part[:, 0] = 0.5
    return y * y


def _twice(self: Any, x: Any) -> Any:
    return self.conv(ops.sigmoid(self.conv(x)))


def _with_statistics(self: Any, x: Any) -> Any:
    return self.norm(self.conv(x)) * 2


NETWORKS: dict[str, Any] = {
    "several consumers": lambda: Written(_held_up, conv=conv(4)),
    "in place": lambda: Written(_in_place, conv=conv(4)),
    "through a view": lambda: Written(_through_a_view, conv=conv(4)),
    "shared": lambda: Written(_twice, conv=conv(3)),
    "normed": lambda: Written(_with_statistics, conv=conv(4), norm=nn.BatchNorm2d(4)),
    "no parameters": lambda: nn.SequentialCell(nn.Sigmoid(), nn.AvgPool2d(2, 2)),
    "tied": lambda: Written(lambda self, x: self.b(self.a(x)), **dict.fromkeys("ab", conv(3, 1))),
}


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("network", NETWORKS)
def test_gradients_are_those_of_mindspore(network: str, train: bool) -> None:
    model = NETWORKS[network]().set_train(not train)
    done = trace(model, (IMAGE,), values=True, train=train, pull=cotangents)
    stands = whole(model, (IMAGE,), train=train, pull=cotangents)
    of_input, of_parameters = expected(model, IMAGE, train=train)
    np.testing.assert_allclose(of(done, "input"), of_input, rtol=1e-5, atol=1e-6)
    assert done.parameter_gradients.keys() == stands.parameter_gradients.keys() == of_parameters.keys()
    for name, gradient in of_parameters.items():
        np.testing.assert_allclose(done.parameter_gradients[name], gradient, rtol=1e-5, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(stands.parameter_gradients[name], gradient, rtol=1e-5, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(next(iter(stands.input_gradients.values())), of(done, "input"), rtol=1e-5, atol=1e-6)
    assert list(stands.outputs) == list(done.outputs)
    for name, value in done.outputs.items():
        np.testing.assert_allclose(stands.outputs[name], value, rtol=1e-5, atol=1e-6)


def test_an_operation_has_the_gradient_of_all_its_consumers() -> None:
    model = NETWORKS["several consumers"]()
    done = trace(model, (IMAGE,), values=True, pull=cotangents)
    x = Tensor(IMAGE)

    def rest(y: Any) -> Any:
        sums = ops.relu(y) + y[:, :1] * ops.cat([y, x], 1).mean(), ops.sigmoid(y)
        return sum((s * Tensor(cotangents(i, s.shape))).sum() for i, s in enumerate(sums))

    gradient = ms.grad(rest)(Tensor(done.values[1])).asnumpy()
    assert done.graph.operations[1].kind == "conv2d"
    np.testing.assert_allclose(done.gradients[1], gradient, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(of(done, "sigmoid"), cotangents(1, done.outputs["1"].shape))
    np.testing.assert_array_equal(of(done, "add"), cotangents(0, done.outputs["0"].shape))


def test_what_is_changed_in_place_keeps_the_gradients_of_both_values() -> None:
    def construct(self: Any, x: Any) -> Any:
        y = ops.neg(x)
        y[:, 0] = 0
        y *= 3
        return y

    done = trace(Written(construct), (IMAGE,), values=True, pull=cotangents)
    given = cotangents(0, IMAGE.shape)
    cut = np.where(np.arange(3)[:, None, None] == 0, 0, given)
    np.testing.assert_allclose(of(done, "neg"), 3 * cut, rtol=1e-6)
    np.testing.assert_allclose(of(done, "mindspore.setitem"), 3 * given, rtol=1e-6)
    np.testing.assert_array_equal(of(done, "affine"), given)


def test_a_write_through_a_view_is_seen_in_the_whole() -> None:
    done = trace(NETWORKS["through a view"](), (IMAGE,), values=True, pull=cotangents)
    kinds = [op.kind for op in done.graph.operations]
    assert kinds == ["input", "conv2d", "slice", "mindspore.setitem", "mindspore.written", "mul", "output"]
    written = done.graph.operations[4]
    assert written.operands == ((1, 0), (3, 0))
    conv, changed = done.values[1], done.values[4]
    np.testing.assert_array_equal(changed, np.concatenate([np.full_like(conv[:, :1], 0.5), conv[:, 1:]], 1))
    upstream = 2 * changed * cotangents(0, changed.shape)
    np.testing.assert_allclose(done.gradients[4], upstream, rtol=1e-6)
    np.testing.assert_allclose(done.gradients[1][:, 1:], upstream[:, 1:], rtol=1e-6)
    assert not done.gradients[1][:, :1].any()
    assert not {2, 3} & done.gradients.keys()


def test_a_write_to_what_nobody_else_reads_is_one_operation() -> None:
    def construct(self: Any, x: Any) -> Any:
        part = ops.neg(x)[:, :2]
        part[:, 0] = 0.5
        return part * 2

    kinds = [op.kind for op in trace(Written(construct), (IMAGE,)).graph.operations]
    assert kinds == ["input", "neg", "slice", "mindspore.setitem", "affine", "output"]


def test_gradients_that_are_cut_off() -> None:
    def construct(self: Any, x: Any) -> Any:
        return ops.stop_gradient(ops.sigmoid(ops.neg(x))) * x

    done = trace(Written(construct), (IMAGE,), values=True, pull=cotangents)
    assert [op.kind for op in done.graph.operations] == ["input", "neg", "sigmoid", "stop_gradient", "mul", "output"]
    assert done.gradients.keys() == {0, 4}
    np.testing.assert_array_equal(done.values[3], done.values[2])
    plain = trace(Written(construct), (IMAGE,), values=True)
    assert [op.kind for op in plain.graph.operations] == ["input", "neg", "sigmoid", "mul", "output"]


class Reversed(nn.Cell):  # type: ignore[misc]
    """Twice the values, and minus the gradient."""

    def construct(self, x: Any) -> Any:
        """Two operations."""
        return ops.relu(x) * 2

    def bprop(self, x: Any, out: Any, dout: Any) -> Any:
        """Not the derivative of construct."""
        return (-dout,)


def test_a_cell_with_a_bprop_may_come_last() -> None:
    done = trace(Reversed(), (IMAGE,), pull=cotangents)
    np.testing.assert_array_equal(of(done, "mindspore.Reversed"), cotangents(0, IMAGE.shape))
    np.testing.assert_array_equal(of(done, "input"), -cotangents(0, IMAGE.shape))


def test_a_cell_with_a_bprop_of_its_own_is_an_operation() -> None:
    model = Written(lambda self, x: self.back(ops.sigmoid(x)) * 3, back=Reversed())
    done = trace(model, (IMAGE,), values=True, pull=cotangents)
    kinds = [op.kind for op in done.graph.operations]
    assert kinds == ["input", "sigmoid", "mindspore.Reversed", "affine", "output"]
    np.testing.assert_allclose(of(done, "sigmoid"), -3 * cotangents(0, IMAGE.shape), rtol=1e-6)
    np.testing.assert_allclose(of(done, "mindspore.Reversed"), 3 * cotangents(0, IMAGE.shape), rtol=1e-6)


def test_several_outputs_of_several_kinds() -> None:
    class Several(nn.Cell):  # type: ignore[misc]
        def construct(self, x: Any, pair: Any, index: Any) -> Any:
            return {"a": x, "b": {"c": (x * pair[0], x.argmax(1)), "d": index}, "e": ops.ones(2)}

    given: Any = (IMAGE, (IMAGE[:1], IMAGE), np.arange(3, dtype=np.int32))
    done = trace(Several(), given, pull=cotangents)
    assert list(done.outputs) == ["a", "b.c.0", "b.c.1", "b.d", "e"]
    assert [op.name for op in done.graph.operations[:4]] == ["x", "pair.0", "pair.1", "index"]
    wanted = cotangents(0, IMAGE.shape) + cotangents(1, IMAGE.shape) * IMAGE[:1]
    np.testing.assert_allclose(done.gradients[0], wanted, rtol=1e-6)
    of_pair = (cotangents(1, IMAGE.shape) * IMAGE).sum(0, keepdims=True)
    np.testing.assert_allclose(done.gradients[1], of_pair, rtol=1e-5, atol=1e-6)
    assert not {2, 3} & done.gradients.keys()
    stands = whole(Several(), given, pull=cotangents)
    assert list(stands.outputs) == list(done.outputs)
    np.testing.assert_array_equal(stands.input_gradients["x"], done.gradients[0])


def test_nothing_to_differentiate() -> None:
    class Counts(nn.Cell):  # type: ignore[misc]
        def construct(self, index: Any) -> Any:
            return index + 1

    done = trace(Counts(), (np.arange(3, dtype=np.int32),), pull=cotangents)
    assert (done.gradients, done.parameter_gradients) == ({}, {})
    assert done.outputs["0"].tolist() == [1, 2, 3]
    assert whole(Counts(), (np.arange(3, dtype=np.int32),), pull=cotangents).outputs["0"].tolist() == [1, 2, 3]


def test_integers_go_in_and_parameters_have_gradients() -> None:
    done = trace(nn.Embedding(5, 2), (np.array([[1, 3]], np.int32),), pull=cotangents)
    (gradient,) = done.parameter_gradients.values()
    assert np.flatnonzero(gradient.any(1)).tolist() == [1, 3]
    assert done.gradients.keys() == {1}


def test_one_tensor_that_is_returned_twice_is_pulled_twice() -> None:
    def construct(self: Any, x: Any) -> Any:
        y = ops.sigmoid(x)
        return [y, y]

    done = trace(Written(construct), (IMAGE,), pull=cotangents)
    wanted = cotangents(0, IMAGE.shape) + cotangents(1, IMAGE.shape)
    np.testing.assert_allclose(of(done, "sigmoid"), wanted, rtol=1e-6)


def test_frozen_parameters_have_no_gradient() -> None:
    def construct(self: Any, x: Any) -> Any:
        return self.b(self.a(x))

    model = Written(construct, a=conv(3, 1), b=nn.BatchNorm2d(3), c=nn.Dense(2, 2))
    for parameter in model.a.get_parameters():
        parameter.requires_grad = False
    done = trace(model, (IMAGE,), pull=cotangents)
    assert done.frozen == {"a.weight", "a.bias"}
    assert {name for name, gradient in done.parameter_gradients.items() if gradient.any()} == {"b.gamma", "b.beta"}
    assert not done.parameter_gradients.keys() & done.frozen


def test_a_parameter_in_the_open_has_the_whole_gradient_of_the_tensor() -> None:
    class Scaled(nn.Cell):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.scale = Parameter(Tensor(np.ones((3, 1, 1), np.float32)))

        def construct(self, x: Any) -> Any:
            return x * self.scale + self.scale

    done = trace(Scaled(), (IMAGE,), pull=cotangents)
    wanted = ((IMAGE + 1) * cotangents(0, IMAGE.shape)).sum((0, 2, 3)).reshape(3, 1, 1)
    np.testing.assert_allclose(of(done, "parameter"), wanted, rtol=1e-4)
    np.testing.assert_array_equal(of(done, "parameter"), done.parameter_gradients["scale"])


def test_folded_operations_have_the_gradient_of_the_last() -> None:
    def construct(self: Any, x: Any) -> Any:
        return ops.sigmoid(x * 2) * 2 - 1 + x

    done = trace(Written(construct), (IMAGE,), values=True, pull=cotangents)
    assert [op.kind for op in done.graph.operations] == ["input", "tanh", "add", "output"]
    np.testing.assert_array_equal(of(done, "tanh"), cotangents(0, IMAGE.shape))


def test_a_loss_is_traced_and_pulled_with_one() -> None:
    target = Tensor(np.random.default_rng(5).random((2, 4, 40, 40)).astype(np.float32))
    model = nn.Conv2d(3, 4, 3, pad_mode="valid")
    image = np.random.default_rng(0).standard_normal((2, 3, 42, 42)).astype(np.float32)

    def loss(y: Any) -> Any:
        return ops.mse_loss(y, target) + ops.abs(y).mean()

    done = trace(model, (image,), values=True, pull=cotangents, loss=loss)
    kinds = [op.kind for op in done.graph.operations]
    assert kinds == ["input", "conv2d", "unseen", "mse_loss", "abs", "mean", "add", "output"]
    np.testing.assert_array_equal(done.values[2], target.asnumpy())
    y = model(Tensor(image))
    assert list(done.outputs) == ["0"] and np.allclose(done.outputs["0"], loss(y).asnumpy(), rtol=1e-6)
    np.testing.assert_allclose(done.gradients[1], ms.grad(loss)(y).asnumpy(), rtol=1e-5, atol=1e-9)
    assert done.gradients[6] == 1
    stands = whole(model, (image,), pull=cotangents, loss=loss)
    np.testing.assert_allclose(stands.input_gradients["x"], done.gradients[0], rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("loss", [lambda y: y, lambda y: 1.0])
def test_a_loss_that_is_no_number_is_refused(loss: Any) -> None:
    with pytest.raises(ConversionError, match="loss: must return a tensor of one number"):
        trace(nn.Sigmoid(), (IMAGE,), loss=loss)


def test_a_cotangent_of_another_shape_is_refused() -> None:
    with pytest.raises(ConversionError, match=r"pull: output 0 is \(2, 3, 8, 8\), the cotangent given is \(1,\)"):
        trace(nn.Sigmoid(), (IMAGE,), pull=lambda index, shape: np.ones(1, np.float32))
