"""One random network and a clean twin of it: whether it is accused; and with one weight changed, whether it is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

import twinzoo as tz
from parity_tests.scramble.naming import plain_paths
from parity_tests.scramble.plan import SIZE, LayerPlan, Plan, Step, random_plan
from twinzoo.converters.live import live
from twinzoo.parity.bounds.precision import FORMATS
from twinzoo.parity.report import ParityReport

CHANGE = 1e-3

LEAST = 2.0**-18
"""The smallest gradient of which a fifth more is a number of float16 that is clearly another."""


@dataclass(frozen=True)
class Trial:
    """What became of a seed.

    Attributes:
        alarm: what the clean twin was accused of, empty where it was not.
        miss: the weight whose change was not reported, empty where it was.
        shows: whether a changed weight moved its layer's output beyond rounding.
    """

    seed: int
    layers: int
    frameworks: str
    scale: float
    alarm: str
    miss: str
    shows: bool


def trial(seed: int, frameworks: Sequence[str]) -> Trial:
    """Draw a network of 1 to 30 and more layers, weights and inputs of a size from 1e-3 to 1e3, and compare twins."""
    rng = np.random.default_rng([seed, 11])
    plan = _chain(int(rng.integers(1, 31)), rng) if rng.random() < 0.4 else random_plan(seed)
    pair = [str(name) for name in rng.choice(list(frameworks), 2)]
    scale = float(10 ** rng.uniform(-3, 3))
    inputs = [rng.normal(size=(1, channels, SIZE, SIZE)).astype(np.float32) for channels in plan.inputs]
    a, b = (_network(plan, framework) for framework in pair)
    state = _weights(plan, rng)
    for model in (a, b):
        live(model).assign(model, _in_words_of(live(model).arrays_of(model), state))
    given = tuple(x * np.float32(scale) for x in inputs)
    report = tz.compare(a, b, given if len(given) > 1 else given[0])
    alarm = "" if report.ok else "; ".join(map(str, report.findings)) or str(report.first_divergence)
    changed = _change_one(b, rng)
    report = tz.compare(a, b, given if len(given) > 1 else given[0])
    miss = "" if any(changed in finding.evidence for finding in report.findings) else changed
    plain = [row for row in report.layers if row.weights and row.max_abs > row.rounding]
    return Trial(seed, len(plan.layers), " and ".join(pair), scale, alarm, miss, bool(plain))


def half_trial(seed: int, frameworks: Sequence[str]) -> Trial:
    """The same in float16 or bfloat16 with gradients, half of the networks in training mode.

    What is planted is a gradient of one parameter, a fifth too large, on a side in PyTorch.
    """
    rng = np.random.default_rng([seed, 12])
    chain = rng.random() < 0.5
    plan = _chain(int(rng.integers(1, 13)), rng) if chain else random_plan(seed)
    pair = [str(name) for name in rng.choice(list(frameworks), 2)]
    dtype = "float16" if "mindspore" in pair else str(rng.choice(["float16", "bfloat16"]))
    train = bool(rng.random() < 0.5) and (chain or "mindspore" not in pair)
    scale = float(10 ** rng.uniform(-2, 1))
    inputs = [rng.normal(size=(2, channels, SIZE, SIZE)).astype(np.float32) for channels in plan.inputs]
    models = [_network(plan, framework) for framework in pair]
    kind = FORMATS[dtype].dtype
    state = {name: value.astype(kind).astype(np.float32) for name, value in _weights(plan, rng).items()}
    for model, framework in zip(models, pair, strict=True):
        live(model).assign(model, _in_words_of(live(model).arrays_of(model), state))
        _shorten(model, framework, dtype, mixed=chain and train)
    given = tuple((x * np.float32(scale)).astype(kind).astype(np.float32) for x in inputs)
    a, b = models

    def compared() -> ParityReport:
        return tz.compare(a, b, given if len(given) > 1 else given[0], grad=True, train=train)

    report = compared()
    alarm = "" if report.ok else "; ".join(map(str, report.findings)) or str(report.first_divergence)
    miss, names = "", f"{' and '.join(pair)}, {dtype}{', in training' if train else ''}"
    own = [model for model, framework in zip(models, pair, strict=True) if framework == "torch"]
    if own and own[0].state_dict():
        name, parameter = list(own[0].named_parameters())[int(rng.integers(len(list(own[0].parameters()))))]
        largest: list[float] = []

        def larger(g: Any) -> Any:
            largest.append(float(g.abs().max()))
            return g * 1.2

        parameter.register_hook(larger)
        what = f"gradient of {name.rpartition('.')[2]}"
        shown = any(not row.ok and row.quantity == what for row in compared().layers)
        miss = "" if shown or max(largest) < LEAST else name
    return Trial(seed, len(plan.layers), names, scale, alarm, miss, False)


def _shorten(model: Any, framework: str, dtype: str, *, mixed: bool) -> None:
    """Have a model compute in a half type; a mixed one of MindSpore keeps float32 parameters, as `to_float` does."""
    if framework == "torch":
        import torch

        model.to(getattr(torch, dtype))
        return
    import mindspore

    if mixed:
        model.to_float(mindspore.float16)
        return
    for parameter in model.get_parameters():
        parameter.set_dtype(mindspore.float16)


def _chain(depth: int, rng: np.random.Generator) -> Plan:
    """Convolutions one after another, of random widths."""
    plan = Plan([3], channels=[3])
    value = 0
    for _ in range(depth):
        kernel, width = int(rng.choice([1, 3])), int(rng.integers(1, 17))
        plan.layers.append(LayerPlan("conv", plan.channels[value], width, kernel))
        plan.steps.append(Step("conv", (value,), len(plan.layers) - 1))
        plan.channels.append(width)
        value = len(plan.channels) - 1
        if rng.random() < 0.7:
            value = plan.step(str(rng.choice(["relu", "leaky_relu", "tanh", "sigmoid"])), value)
    plan.outputs = [value]
    return plan


def _network(plan: Plan, framework: str) -> Any:
    if framework == "torch":
        from parity_tests.scramble.torch_network import network
    else:
        from parity_tests.scramble.mindspore_network import network
    return network(plan, plain_paths(len(plan.layers)), list(range(len(plan.layers))), set())


_ROLES = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean", "moving_variance": "running_var"}


def _plain(key: str) -> str:
    path, _, word = key.rpartition(".")
    return f"{path}.{_ROLES.get(word, 'weight' if word == 'w' else word)}"


def _weights(plan: Plan, rng: np.random.Generator) -> dict[str, Any]:
    """Tensors by PyTorch's names, of a size that keeps values in range."""
    made: dict[str, Any] = {}
    for path, layer in zip(plain_paths(len(plan.layers)), plan.layers, strict=True):
        fan = layer.inputs * layer.kernel**2
        made[f"{path}.bias"] = rng.normal(0, 0.3, layer.outputs)
        if layer.kind in ("conv", "linear"):
            made[f"{path}.weight"] = rng.normal(0, 1.2 / np.sqrt(fan), layer.outputs * fan)
        else:
            made[f"{path}.weight"] = rng.normal(0.5, 0.3, layer.outputs)
            made[f"{path}.running_mean"] = rng.normal(0, 0.3, layer.outputs)
            made[f"{path}.running_var"] = rng.uniform(0.5, 1.5, layer.outputs)
    return made


def _in_words_of(own: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    """The tensors by a model's own names, in its shapes."""
    floats = {key: value for key, value in own.items() if value.dtype == np.float32}
    return {key: state[_plain(key)].reshape(value.shape).astype(np.float32) for key, value in floats.items()}


def _change_one(model: Any, rng: np.random.Generator) -> str:
    """Change one number of one tensor by a thousandth of itself; returns the tensor's name as a report has it."""
    own = {key: value for key, value in live(model).arrays_of(model).items() if value.dtype == np.float32}
    key = str(rng.choice(sorted(own)))
    value = own[key].copy()
    place = int(rng.integers(value.size))
    value.flat[place] *= np.float32(1 + CHANGE)
    live(model).assign(model, {key: value})
    return _plain(key).rpartition(".")[0] + "."
