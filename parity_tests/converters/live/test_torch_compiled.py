"""Modules as they stand: what torch.compile does to them is seen beside the plain run."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from twinzoo.converters.live.torch.model import arrays_of, compiled, trace, whole  # noqa: E402
from twinzoo.zoo.errors import ConversionError  # noqa: E402

IMAGE = np.random.default_rng(0).standard_normal((2, 3, 8, 8)).astype(np.float32)


def ones(index: int, shape: tuple[int, ...]) -> Any:
    return np.ones(shape, np.float32)


def faulty(graph: Any, examples: Any) -> Any:
    """A compiler that doubles the first of a graph's outputs."""

    def run(*values: Any) -> Any:
        first, *others = graph(*values)
        return (first * 2, *others)

    return run


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())


class Inside(nn.Module):
    """A network with a forward that is compiled."""

    def __init__(self) -> None:
        super().__init__()
        self.body = network()

    @torch.compile(backend="eager")  # type: ignore[untyped-decorator]
    def forward(self, x: Any) -> Any:
        """What the body does."""
        return self.body(x)


def by_method() -> nn.Module:
    model = network()
    model.get_submodule("0").compile(backend="eager")
    return model


@pytest.mark.parametrize(
    ("model", "is_so"),
    [
        (network(), False),
        (torch.compile(network(), backend="eager"), True),
        (nn.Sequential(torch.compile(network(), backend="eager")), True),
        (by_method(), True),
        (Inside(), True),
    ],
)
def test_whether_a_module_is_compiled(model: nn.Module, is_so: bool) -> None:
    assert compiled(model) is is_so
    plain, stands = trace(model, (IMAGE,), train=True, pull=ones), whole(model, (IMAGE,), train=True, pull=ones)
    np.testing.assert_allclose(stands.outputs["0"], plain.outputs["0"], rtol=1e-5, atol=1e-6)
    assert stands.parameter_gradients.keys() == plain.parameter_gradients.keys() != set()
    for name, gradient in plain.parameter_gradients.items():
        np.testing.assert_allclose(stands.parameter_gradients[name], gradient, rtol=1e-4, atol=1e-4)
    assert stands.state_after.keys() == plain.state_after.keys() != set()


def test_what_a_compiler_does_wrong_is_in_the_whole_alone() -> None:
    model = torch.compile(network(), backend=faulty)
    plain, stands = trace(model, (IMAGE,), pull=ones), whole(model, (IMAGE,), pull=ones)
    np.testing.assert_allclose(stands.outputs["0"], 2 * plain.outputs["0"], rtol=1e-6)
    (of_input,) = stands.input_gradients.values()
    np.testing.assert_allclose(of_input, 2 * plain.gradients[0], rtol=1e-4, atol=1e-5)


def test_a_model_is_left_as_it_was() -> None:
    model = torch.compile(network(), backend="eager").eval()
    before = arrays_of(model)
    whole(model, (IMAGE,), train=True, pull=ones)
    assert all(np.array_equal(value, before[name]) for name, value in arrays_of(model).items())
    assert not any(module.training for module in model.modules())
    assert all(p.grad is None for p in model.parameters())


def test_inputs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConversionError, match="input is missing"):
        whole(network(), ())
    with pytest.raises(ConversionError, match="Sequential does not run on input"):
        whole(network(), (IMAGE[:, :2],))
