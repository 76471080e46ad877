"""The planted bugs: for each what is wrong, and the cause that the report must give."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from parity_tests.planted.plan import Array, State, weights

IMAGE = np.random.default_rng(0).normal(size=(2, 3, 16, 16)).astype(np.float32)


@dataclass(frozen=True)
class Case:
    """One bug.

    Attributes:
        layer: part of the name of the layer that must be named.
        fix: part of what must be said to put it right, in PyTorch's words and in MindSpore's.
        base: choices of both networks.
        choices: those of the wrong one.
        change: makes the wrong one's tensors from the right ones.
        only: the framework in which it can be made, empty for both.
    """

    name: str
    layer: str
    cause: str
    fix: tuple[str, str] = ("", "")
    base: dict[str, Any] = field(default_factory=dict)
    choices: dict[str, Any] = field(default_factory=dict)
    change: Callable[[State], State] = lambda state: state
    only: str = ""

    def plant(self, framework: str, seed: int = 0) -> tuple[Any, Any]:
        """The right network in PyTorch, and the wrong one in a framework."""
        state = weights(seed)
        wrong = self.change(dict(state))
        return network_in("torch", state, **self.base), network_in(framework, wrong, **{**self.base, **self.choices})

    def fix_in(self, framework: str) -> str:
        """What the fix must have in it."""
        return self.fix[framework == "mindspore"]


def network_in(framework: str, state: State, **choices: Any) -> Any:
    """The network in a framework, which is imported only here."""
    if framework == "torch":
        from parity_tests.planted import network as torch_network

        return torch_network.network(state, **choices)
    from parity_tests.planted import mindspore_network

    return mindspore_network.network(state, **choices)


def choice(
    layer: str,
    cause: str,
    fix: tuple[str, str] = ("", ""),
    base: dict[str, Any] | None = None,
    only: str = "",
    **choices: Any,
) -> Case:
    """A network with another choice than the right one."""
    name = ", ".join(f"{name}={value}" for name, value in {**(base or {}), **choices}.items())
    return Case(name, layer, cause, fix, base or {}, choices, only=only)


def weight(name: str, cause: str, what: str, change: Callable[[Array], Array]) -> Case:
    """A tensor that is not what it should be."""

    def changed(state: State) -> State:
        return {**state, name: change(state[name]).astype(np.float32).copy()}

    return Case(f"{name} {what}", name.partition(".")[0], cause, change=changed)


def taken(name: str, other: str, both: bool, cause: str) -> Case:
    """A tensor that is another's, or two in each other's place."""

    def changed(state: State) -> State:
        return {**state, name: state[other], other: state[name] if both else state[other]}

    words = f"{name} holds {other}{' and the reverse' if both else ''}"
    return Case(words, name.partition(".")[0], cause, change=changed)


def one_value(tensor: Array) -> Array:
    """The tensor with one of its values changed by a thousandth of itself."""
    made = tensor.copy()
    made.flat[3] *= 1.001
    return made


GROUPED = {"norm": "group"}
MOMENTUM = ("torch.nn.BatchNorm2d(momentum=0.1)", "nn.BatchNorm2d(momentum=0.9)")
_NORM = "BatchNorm2d(eps=1e-05)"

CASES: list[Case] = [
    choice("norm", "eps", (f"torch.nn.{_NORM}", f"nn.{_NORM}"), eps=1e-3),
    choice("norm", "eps", (f"torch.nn.{_NORM}", f"nn.{_NORM}"), eps=1e-6),
    choice("norm", "eps", ("torch.nn.GroupNorm(eps=1e-05)", "nn.GroupNorm(eps=1e-05)"), GROUPED, eps=1e-3),
    choice("norm", "momentum", MOMENTUM, momentum=0.9),
    choice("norm", "momentum", MOMENTUM, momentum=0.01),
    choice("norm", "norm-kind", ("torch.nn.InstanceNorm2d", "nn.InstanceNorm2d"), {"norm": "instance"}, norm="group"),
    choice("norm", "norm-kind", ("torch.nn.BatchNorm2d", "nn.BatchNorm2d"), norm="instance"),
    choice("norm", "norm-mode", ("track_running_stats=True", "use_batch_statistics=None"), batch_statistics=True),
    choice("norm", "affine", ("torch.nn.BatchNorm2d(affine=True)", "nn.BatchNorm2d(affine=True)"), affine=False),
    choice("norm", "affine", ("torch.nn.GroupNorm(affine=True)", "nn.GroupNorm(affine=True)"), GROUPED, affine=False),
    choice("var", "variance", ("torch.var(correction=1)", "ops.var(ddof=1)"), correction=0),
    choice("leaky_relu", "slope", ("LeakyReLU(negative_slope=0.2)", "nn.LeakyReLU(alpha=0.2)"), slope=0.01),
    choice("leaky_relu", "slope", ("LeakyReLU(negative_slope=0.2)", "nn.LeakyReLU(alpha=0.2)"), slope=0.21),
    choice("leaky_relu", "activation", ("torch.nn.LeakyReLU", "nn.LeakyReLU"), activation="elu"),
    choice("leaky_relu", "activation", ("torch.nn.LeakyReLU", "nn.LeakyReLU"), activation="relu"),
    choice("leaky_relu", "activation", ("torch.nn.LeakyReLU", "nn.LeakyReLU"), activation="silu"),
    choice("gelu", "approximation", ("GELU(approximate='none')", "nn.GELU(approximate=False)"), approximate="tanh"),
    choice("pad", "pad-mode", ("pad(mode='reflect')", "ops.pad(mode='reflect')"), pad_mode="replicate"),
    choice("pad", "pad-mode", ("pad(mode='reflect')", "ops.pad(mode='reflect')"), pad_mode="constant"),
    choice("down", "dilation", ("Conv2d(dilation=(1, 1))", "nn.Conv2d(dilation=(1, 1))"), dilation=2, padding=2),
    choice("coarse", "padding", ("Conv2d(padding=(1, 1))", "nn.Conv2d(pad_mode='pad', padding=1)"), asymmetric=True),
    choice("fine", "stride", ("Conv2d(stride=(1, 1))", "nn.Conv2d(stride=(1, 1))"), strides=(2, 1)),
    choice("coarse", "stride", ("Conv2d(stride=(2, 2))", "nn.Conv2d(stride=(2, 2))"), strides=(2, 1)),
    choice("fine", "kernel", ("Conv2d(kernel_size=(3, 3))", "nn.Conv2d(kernel_size=(3, 3))"), kernel=1),
    choice("fine", "groups", ("Conv2d(groups=1)", "nn.Conv2d(group=1)"), groups=2),
    choice("up", "output-padding", ("output_padding=(1, 1)", "output_padding=(1, 1)"), output_padding=0),
    choice("mixed", "bias", ("Conv2d(bias=True)", "nn.Conv2d(has_bias=True)"), mixed_bias=False),
    choice("pool", "pool-kind", ("torch.nn.AvgPool2d", "nn.AvgPool2d"), pool="max"),
    choice("pool", "count-include-pad", ("AvgPool2d(count_include_pad=True)",) * 2, include_pad=False),
    choice("pool", "ceil-mode", ("MaxPool2d(ceil_mode=False)", "nn.MaxPool2d(ceil_mode=False)"), ceil_mode=True),
    choice("interpolate", "resize-mode", ("interpolate(mode='bilinear')",) * 2, resize="nearest"),
    choice("interpolate", "align-corners", ("interpolate(align_corners=False)",) * 2, align_corners=True),
    choice("softmax", "axis", ("torch.softmax(dim=1)", "ops.softmax(axis=1)"), axis=0),
    choice("cat", "operand-order", order=(1, 0)),
    choice("sub", "operand-order", swapped=True),
    choice("add", "operand-order", wrong_skip=True),
    choice("add", "inplace", ("inplace=False", ""), inplace=True, only="torch"),
    choice("relu", "dropout", dropout=True),
    choice("s", "missing-op", missing=True),
    choice("s", "extra-op", extra=True),
    choice("cat", "scale", scale=0.5),
    choice("cat", "offset", offset=0.1),
    choice("mean", "reduction", ("torch.mean", "ops.mean"), reduction="max"),
    choice("loss", "reduction", ("BCEWithLogitsLoss(reduction='mean')",) * 2, loss="sum"),
    choice("like", "label", label=0.9),
    weight("side.weight", "weight-value", "has a value 1e-3 off", one_value),
    weight("stem.weight", "weight-value", "has a value 1e-3 off", one_value),
    weight("mixed.bias", "weight-value", "has a value 1e-3 off", one_value),
    weight("norm.running_var", "weight-value", "has a value 1e-3 off", one_value),
    weight("norm.weight", "weight-value", "is all ones", np.ones_like),
    weight("mixed.weight", "weight-value", "is all zeros", np.zeros_like),
    weight("refine.bias", "bias", "is all zeros", np.zeros_like),
    weight("down.weight", "weight-layout", "is transposed", lambda w: w.swapaxes(0, 1)),
    weight("up.weight", "weight-layout", "is flipped", lambda w: w[:, :, ::-1, ::-1]),
    weight("down.weight", "weight-layout", "is flipped", lambda w: w[..., ::-1]),
    weight("mixed.weight", "weight-layout", "has its inputs in another order", lambda w: np.roll(w, 8, 1)),
    taken("side.bias", "down.bias", True, "weight-swapped"),
    taken("norm.weight", "norm.running_mean", True, "weight-swapped"),
    taken("side.bias", "down.bias", False, "weight-shared"),
    taken("mixed.bias", "stem.bias", False, "weight-shared"),
]
