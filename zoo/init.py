"""Initial values by named rules, drawn by NumPy: one seed gives the same numbers on every port."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from twinzoo.zoo import spectral
from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.spec.graph import Node, Spec
from twinzoo.zoo.spec.schema import Param

Array = NDArray[np.float32]
Rule = Callable[[str, Param, Mapping[str, Param], np.random.Generator], Array]
"""(op, parameter, all parameters of its layer by role, generator) -> values."""

_FIRST_STEPS = 15
"""Of the power method, so that a fresh model's spectral norms are near enough for a run in eval mode."""


def _normal(generator: np.random.Generator, shape: tuple[int, ...], mean: float, std: float) -> Array:
    values = generator.standard_normal(shape, dtype=np.float32)
    values *= np.float32(std)
    values += np.float32(mean)
    return values


def _uniform(generator: np.random.Generator, shape: tuple[int, ...], bound: float) -> Array:
    return (2 * generator.random(shape, dtype=np.float32) - 1) * np.float32(bound)


def _fan_in(weight: Param) -> int:
    return math.prod(weight.shape[1:])


def torch_default(op: str, param: Param, layer: Mapping[str, Param], generator: np.random.Generator) -> Array:
    """PyTorch's defaults: U(±1/sqrt(fan_in)) for convolutions and linear layers, N(0, 1) for embeddings, gains of 1."""
    if param.fill == "scale":
        return np.ones(param.shape, np.float32)
    if op == "embedding":
        return _normal(generator, param.shape, 0.0, 1.0)
    weight = next(own for own in layer.values() if own.fill == "weight")
    return _uniform(generator, param.shape, 1 / math.sqrt(_fan_in(weight)))


def gan(op: str, param: Param, layer: Mapping[str, Param], generator: np.random.Generator) -> Array:
    """pix2pix and CycleGAN: N(0, 0.02) weights, N(1, 0.02) gains, biases of 0 (Isola et al. 2017, section 6.2)."""
    if param.fill == "bias":
        return np.zeros(param.shape, np.float32)
    return _normal(generator, param.shape, 1.0 if param.fill == "scale" else 0.0, 0.02)


def normal(op: str, param: Param, layer: Mapping[str, Param], generator: np.random.Generator) -> Array:
    """N(0, 0.02) weights as in `gan`, but gains of 1: what many a GAN does instead."""
    return np.ones(param.shape, np.float32) if param.fill == "scale" else gan(op, param, layer, generator)


def vgg(op: str, param: Param, layer: Mapping[str, Param], generator: np.random.Generator) -> Array:
    """torchvision's VGG: N(0, sqrt(2 / fan_out)) convolutions, N(0, 0.01) linear layers, gains of 1, biases of 0."""
    if param.fill == "bias":
        return np.zeros(param.shape, np.float32)
    if param.fill == "scale":
        return np.ones(param.shape, np.float32)
    if op == "linear":
        return _normal(generator, param.shape, 0.0, 0.01)
    fan_out = param.shape[0] * math.prod(param.shape[2:])
    return _normal(generator, param.shape, 0.0, math.sqrt(2 / fan_out))


def resnet(op: str, param: Param, layer: Mapping[str, Param], generator: np.random.Generator) -> Array:
    """torchvision's ResNet: convolutions and norms as in `vgg`, linear layers as PyTorch makes them."""
    return (torch_default if op == "linear" else vgg)(op, param, layer, generator)


def xavier(op: str, param: Param, layer: Mapping[str, Param], generator: np.random.Generator) -> Array:
    """CUT: N(0, 0.02 sqrt(2 / (fan_in + fan_out))) weights (Glorot and Bengio 2010), the rest as in `gan`."""
    if param.fill != "weight":
        return gan(op, param, layer, generator)
    fans = (param.shape[0] + param.shape[1]) * math.prod(param.shape[2:])
    return _normal(generator, param.shape, 0.0, 0.02 * math.sqrt(2 / fans))


def pix2pixhd(op: str, param: Param, layer: Mapping[str, Param], generator: np.random.Generator) -> Array:
    """pix2pixHD: weights and batch norms as in `gan`; it leaves biases and instance norms as PyTorch makes them."""
    own = param.fill == "weight" or op == "batch_norm"
    return (gan if own else torch_default)(op, param, layer, generator)


def he_uniform(op: str, param: Param, layer: Mapping[str, Param], generator: np.random.Generator) -> Array:
    """U(±sqrt(6 / fan_in)) weights (He et al. 2015), gains of 1, biases of 0."""
    if param.fill != "weight":
        return np.full(param.shape, 1.0 if param.fill == "scale" else 0.0, np.float32)
    return _uniform(generator, param.shape, math.sqrt(6 / _fan_in(param)))


RULES: dict[str, Rule] = {
    "torch": torch_default,
    "gan": gan,
    "normal": normal,
    "vgg": vgg,
    "resnet": resnet,
    "xavier": xavier,
    "pix2pixhd": pix2pixhd,
    "he_uniform": he_uniform,
}


def initial_state(spec: Spec, seed: int = 0) -> dict[str, Array]:
    """The state of a fresh model by spec name, float32.

    Each tensor has a stream of its own, from the seed and its name: adding a layer does not move the others.

    Raises:
        SpecError: the spec names a rule that does not exist.
    """
    if spec.init not in RULES:
        raise SpecError(f"{spec.name}: init={spec.init!r}: must be one of {', '.join(RULES)}")
    state = {}
    for node in spec.nodes.values():
        for role, param in node.params.items():
            state[f"{node.name}.{role}"] = _fill(spec, node, role, param, seed)
        if node.op in spectral.PLAIN:
            state |= _singular(node, state)
    for called in spec.roles.values():
        state |= {f"{called.name}.{name}": value for name, value in initial_state(called.spec, seed).items()}
    return state


def _fill(spec: Spec, node: Node, role: str, param: Param, seed: int) -> Array:
    if param.fill == "constant":
        if isinstance(param.value, tuple):
            return np.array(param.value, np.float32).reshape(param.shape)
        return np.full(param.shape, param.value, np.float32)
    generator = np.random.default_rng([seed, zlib.crc32(f"{node.name}.{role}".encode())])
    if param.fill == "singular":
        return _normal(generator, param.shape, 0.0, 1.0)
    return RULES[spec.init](spectral.PLAIN.get(node.op, node.op), param, node.params, generator)


def _singular(node: Node, state: Mapping[str, Array]) -> dict[str, Array]:
    """What the power method makes of random vectors in as many steps as PyTorch takes at first."""
    held = {role: state[f"{node.name}.{role}"].astype(np.float64) for role in node.params}
    for _ in range(_FIRST_STEPS):
        held |= spectral.moved(node.op, node.attrs["eps"], held)
    return {f"{node.name}.{role}": held[role].astype(np.float32) for role in ("weight_u", "weight_v")}
