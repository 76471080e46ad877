"""A port in NumPy for tests of the comparison: float64 rounded to float32 at every layer, with errors planted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.ports.port import Device, PortInfo, check_state
from twinzoo.ports.reference import evaluate
from twinzoo.zoo.spec import Spec

Array = NDArray[Any]
Plant = Callable[[Array], Array | None]


@dataclass
class FakeModel:
    """A spec and its state."""

    spec: Spec
    state: dict[str, Array]


@dataclass
class FakePort:
    """A clean port, but for what is planted.

    Attributes:
        values: what happens to a value, by its reference (in a called network: by its reference there); None loses it.
        outputs: what happens to an output, by name, of a model that is not traced.
        weights: what happens to a tensor as it is loaded, by spec name.
        fed: what happens to an input, by name.
    """

    name: str = "fake"
    values: dict[str, Plant] = field(default_factory=dict)
    outputs: dict[str, Plant] = field(default_factory=dict)
    weights: dict[str, Plant] = field(default_factory=dict)
    fed: dict[str, Plant] = field(default_factory=dict)

    def info(self) -> PortInfo:
        return PortInfo(self.name, "numpy", "1.0", (Device("npu", False, "none here"), Device("cpu", True)))

    def source(self, spec: Spec) -> str:
        raise NotImplementedError

    def build(self, spec: Spec) -> FakeModel:
        return FakeModel(spec, {})

    def spec_of(self, model: Any) -> Spec | None:
        return model.spec if isinstance(model, FakeModel) else None

    def load(self, model: FakeModel, state: Mapping[str, Array]) -> None:
        check_state(model.spec, state)
        model.state = {name: _planted(self.weights, name, value.copy()) for name, value in state.items()}

    def state(self, model: FakeModel) -> dict[str, Array]:
        return dict(model.state)

    def run(self, model: FakeModel, inputs: Mapping[str, Array], *, train: bool = False) -> dict[str, Array]:
        given = {name: _planted(self.fed, name, value.copy()) for name, value in inputs.items()}
        made = {k: v for k, v in self._outputs(model.spec, model.state, given).items() if v is not None}
        tapped = list(model.spec.outputs) == list(model.spec.tapped().outputs)
        if not tapped:
            made = {name: y for name, x in made.items() if (y := _planted(self.outputs, name, x)) is not None}
        return made

    def _outputs(self, spec: Spec, state: Mapping[str, Array], inputs: Mapping[str, Array]) -> dict[str, Any]:
        clean: dict[str, Array] = dict(inputs)
        given: dict[str, Any] = dict(inputs)
        for node in spec.nodes.values():
            arguments = tuple(clean[value.ref] for value in node.inputs)
            if node.op == "call":
                role = spec.roles[node.attrs["role"]]
                own = {n.removeprefix(f"{role.name}."): v for n, v in state.items() if n.startswith(f"{role.name}.")}
                made = tuple(
                    self._outputs(role.spec, own, dict(zip(role.spec.inputs, arguments, strict=True))).values()
                )
            else:
                params = {role: state[f"{node.name}.{role}"] for role in node.params}
                with np.errstate(all="ignore"):
                    made = evaluate(node, params, arguments)
            for value, output in zip(node.outputs, made, strict=True):
                rounded = output if value.dtype == "int" else output.astype(np.float32)
                given[value.ref] = _planted(self.values, value.ref, rounded)
                follows = given[value.ref] is not None and value.dtype != "int"  # a planted index would index nothing
                clean[value.ref] = given[value.ref] if follows else rounded
        return {name: given[value.ref] for name, value in spec.outputs.items()}

    def gradients(
        self, model: Any, inputs: Mapping[str, Array], cotangents: Mapping[str, Array], *, train: bool = False
    ) -> dict[str, Array]:
        raise NotImplementedError


def _planted(plants: Mapping[str, Plant], name: str, value: Array) -> Any:
    return plants[name](value) if name in plants else value


@pytest.fixture
def fake() -> Callable[..., FakePort]:
    """The class of the fake port."""
    return FakePort


@pytest.fixture
def chain_spec() -> Spec:
    """Four layers and one output: conv, relu, conv, tanh."""
    s = Spec("chain", doc="image: (N, 3, H, W) in [0, 1] -> (N, 2, H, W)")
    x = s.input("image", channels=3, example=12, span=(0, 1))
    x = s.relu("act", s.conv2d("first", x, 4, kernel=3, padding=1))
    s.output(output=s.tanh("squash", s.conv2d("second", x, 2, kernel=3, padding=1)))
    return s


@pytest.fixture
def loss_spec(chain_spec: Spec) -> Spec:
    """A loss that calls the chain twice by role."""
    s = Spec("distance", doc="image, target: (N, 3, H, W) -> scalar")
    features = s.role("features", chain_spec)
    image, target = s.input("image", channels=3, example=12), s.input("target", channels=3, example=12)
    (x,), (y,) = s.call("seen", features, image), s.call("wanted", features, target)
    s.output(loss=s.l1_loss("loss", x, y))
    return s
