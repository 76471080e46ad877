"""A network with one of everything, whatever the framework: the choices that somebody could make differently."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
State = dict[str, Array]


@dataclass(frozen=True)
class Plan:
    """The choices; the defaults are right."""

    eps: float = 1e-5
    momentum: float = 0.1
    norm: str = "batch"
    affine: bool = True
    batch_statistics: bool = False
    slope: float = 0.2
    activation: str = "leaky_relu"
    pad_mode: str = "reflect"
    padding: int = 1
    dilation: int = 1
    approximate: str = "none"
    pool: str = "avg"
    include_pad: bool = True
    missing: bool = False
    extra: bool = False
    swapped: bool = False
    order: tuple[int, int] = (0, 1)
    scale: float = 1.0
    offset: float = 0.0
    mixed_bias: bool = True
    dropout: bool = False
    inplace: bool = False
    wrong_skip: bool = False
    resize: str = "bilinear"
    align_corners: bool = False
    output_padding: int = 1
    reduction: str = "mean"
    axis: int = 1
    kernel: int = 3
    groups: int = 1
    strides: tuple[int, int] = (1, 2)
    asymmetric: bool = False
    ceil_mode: bool = False
    correction: int = 1
    label: float = 1.0
    loss: str = "mean"
    last: bool = True


_CONVOLUTIONS = {"stem": (8, 3, 3), "down": (8, 8, 3), "side": (8, 8, 1), "mixed": (8, 16, 3)}
_CONVOLUTIONS |= {"refine": (8, 8, 3), "up": (8, 4, 3), "head": (2, 4, 3), "fine": (8, 8, 3), "coarse": (8, 8, 3)}


def weights(seed: int) -> State:
    """Seeded tensors that let every choice show, under PyTorch's names."""
    rng = np.random.default_rng([seed, 7])
    state: State = {}
    for name, (first, second, kernel) in _CONVOLUTIONS.items():
        shape = (first, second, kernel, kernel)
        state[f"{name}.weight"] = rng.normal(0, 1 / np.sqrt(second * kernel * kernel), shape)
        state[f"{name}.bias"] = rng.normal(0, 0.1, 4 if name == "up" else first)
    for name in ("stem.weight", "stem.bias"):
        state[name] = state[name] * 0.03  # as small as the statistics, so that eps shows and nothing saturates
    state |= {"norm.weight": rng.uniform(0.5, 1.5, 8), "norm.bias": rng.uniform(0.5, 1.5, 8)}
    state |= {"norm.running_mean": rng.uniform(-0.01, 0.01, 8), "norm.running_var": rng.uniform(1e-3, 2e-3, 8)}
    return {name: value.astype(np.float32) for name, value in state.items()}


def fitting(state: Mapping[str, Array], plan: Plan) -> State:
    """The tensors that a network with these choices has, cut to its shapes."""
    kept = dict(state)
    middle = kept["fine.weight"][:, : 8 // plan.groups]
    kept["fine.weight"] = middle[:, :, 1:2, 1:2] if plan.kernel == 1 else middle
    absent = {"norm.weight", "norm.bias"} if not plan.affine else set()
    absent |= {"mixed.bias"} if not plan.mixed_bias else set()
    absent |= {"norm.running_mean", "norm.running_var"} if plan.norm != "batch" else set()
    return {name: value for name, value in kept.items() if name not in absent}
