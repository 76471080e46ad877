"""The planted bugs: for each what is wrong, and the cause that the report must give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from parity_tests.planted.network import Network, network, twin_of

IMAGE = np.random.default_rng(0).normal(size=(2, 3, 16, 16)).astype(np.float32)


@dataclass(frozen=True)
class Case:
    """One bug.

    Attributes:
        layer: part of the name of the layer that must be named.
        plant: makes the right network and the wrong one.
    """

    name: str
    layer: str
    cause: str
    plant: Callable[[], tuple[Network, Network]]


def choice(layer: str, cause: str, base: dict[str, Any] | None = None, **choices: Any) -> Case:
    """A network with another choice than the right one."""

    def plant() -> tuple[Network, Network]:
        model = network(**(base or {}))
        return model, twin_of(model, **choices)

    return Case(", ".join(f"{name}={value}" for name, value in choices.items()), layer, cause, plant)


def weight(name: str, cause: str, what: str, change: Callable[[Any], Any]) -> Case:
    """A tensor that is not what it should be."""

    def plant() -> tuple[Network, Network]:
        model = network()
        twin = twin_of(model)
        with torch.no_grad():
            tensor = twin.state_dict()[name]
            tensor.copy_(change(tensor.clone()))
        return model, twin

    return Case(f"{name} {what}", name.partition(".")[0], cause, plant)


def taken(name: str, other: str, both: bool, cause: str) -> Case:
    """A tensor that is another's, or two in each other's place."""

    def plant() -> tuple[Network, Network]:
        model = network()
        twin = twin_of(model)
        right, state = model.state_dict(), twin.state_dict()
        state[name].copy_(right[other])
        if both:
            state[other].copy_(right[name])
        return model, twin

    return Case(f"{name} holds {other}{' and the reverse' if both else ''}", name.partition(".")[0], cause, plant)


def _one_value(tensor: Any) -> Any:
    tensor.view(-1)[3] *= 1.001
    return tensor


GROUPED = {"norm": "group"}

CASES: list[Case] = [
    choice("norm", "eps", eps=1e-3),
    choice("norm", "eps", eps=1e-6),
    choice("norm", "eps", GROUPED, eps=1e-3),
    choice("norm", "momentum", momentum=0.9),
    choice("norm", "momentum", momentum=0.01),
    choice("norm", "norm-kind", {"norm": "instance"}, norm="group"),
    choice("leaky_relu", "slope", slope=0.01),
    choice("leaky_relu", "slope", slope=0.21),
    choice("leaky_relu", "activation", activation="elu"),
    choice("leaky_relu", "activation", activation="relu"),
    choice("leaky_relu", "activation", activation="silu"),
    choice("pad", "pad-mode", pad_mode="replicate"),
    choice("pad", "pad-mode", pad_mode="constant"),
    choice("down", "dilation", dilation=2, padding=2),
    choice("pool", "pool-kind", pool="max"),
    choice("pool", "count-include-pad", include_pad=False),
    choice("interpolate", "resize-mode", resize="nearest"),
    choice("interpolate", "align-corners", align_corners=True),
    choice("gelu", "approximation", approximate="tanh"),
    choice("cat", "operand-order", order=(1, 0)),
    choice("sub", "operand-order", swapped=True),
    choice("s", "missing-op", missing=True),
    choice("s", "extra-op", extra=True),
    choice("cat", "extra-op", scale=0.5),
    choice("cat", "extra-op", offset=0.1),
    choice("mean", "reduction", reduction="max"),
    weight("side.weight", "weight-value", "has a value 1e-3 off", _one_value),
    weight("stem.weight", "weight-value", "has a value 1e-3 off", _one_value),
    weight("mixed.bias", "weight-value", "has a value 1e-3 off", _one_value),
    weight("norm.running_var", "weight-value", "has a value 1e-3 off", _one_value),
    weight("norm.weight", "weight-value", "is all ones", torch.ones_like),
    weight("mixed.weight", "weight-value", "is all zeros", torch.zeros_like),
    weight("down.weight", "weight-layout", "is transposed", lambda w: w.transpose(0, 1)),
    weight("down.weight", "weight-layout", "is flipped", lambda w: w.flip(3)),
    weight("mixed.weight", "weight-layout", "has its inputs in another order", lambda w: w.roll(8, 1)),
    taken("side.bias", "down.bias", True, "weight-swapped"),
    taken("norm.weight", "norm.running_mean", True, "weight-swapped"),
    taken("side.bias", "down.bias", False, "weight-shared"),
    taken("mixed.bias", "stem.bias", False, "weight-shared"),
]
