"""A training run written by hand in NumPy: linear, batch norm, tanh, linear; float32, with exact gradients.

Every mistake that a port may make is an option. The order of summation is one too: two runs that differ in it alone are
clean twins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
F = np.float32

START = 7


@dataclass
class Run:
    """One run; the options are what a side does differently.

    Attributes:
        backwards: sums run from the other end.
        optimizer: adam, momentum, or sgd.
        eps_place: after or before the bias correction, or inside the root.
        decay: beside the step (AdamW). l2: added to the gradients.
        rate: the factor on lr of a step, counted from 1.
        frozen: parameters that get no update. detached: parameters that get no gradient.
        weight, shift, total: the loss times, plus, and summed in place of averaged.
        shown: the reported loss times this.
        bn_momentum: as PyTorch means it. biased: the running variance. forwards: how often a step runs the network.
        evaluating: the running statistics stay.
        start: changes to the initial values. noise: random, on the inputs. label: what becomes of the targets.
        moments, numbers: whether state() has them. words: the names that it uses.
    """

    seed: int = START
    backwards: bool = False
    optimizer: str = "adam"
    lr: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    eps_place: str = "after"
    corrected: bool = True
    decay: float = 0.0
    l2: float = 0.0
    rate: Callable[[int], float] = lambda step: 1.0
    frozen: tuple[str, ...] = ()
    detached: tuple[str, ...] = ()
    weight: float = 1.0
    shift: float = 0.0
    total: bool = False
    shown: float = 1.0
    gradient_factor: float = 1.0
    bn_momentum: float = 0.1
    biased: bool = False
    forwards: int = 1
    evaluating: bool = False
    start: Mapping[str, Callable[[Array], Array]] = field(default_factory=dict)
    noise: float = 0.0
    label: Callable[[Array], Array] = lambda y: y
    moments: bool = True
    numbers: bool = False
    words: Callable[[str], str] = lambda name: name

    def __post_init__(self) -> None:
        rng = np.random.default_rng(self.seed)
        self.p = {
            "first.weight": rng.normal(0, 0.4, (12, 6)).astype(F),
            "first.bias": rng.normal(0, 0.1, 12).astype(F),
            "norm.weight": rng.normal(1, 0.1, 12).astype(F),
            "norm.bias": rng.normal(0, 0.1, 12).astype(F),
            "last.weight": rng.normal(0, 0.4, (3, 12)).astype(F),
            "last.bias": rng.normal(0, 0.1, 3).astype(F),
        }
        self.r = {"norm.running_mean": np.zeros(12, F), "norm.running_var": np.ones(12, F)}
        for key, change in self.start.items():
            self.p[key] = change(self.p[key]).astype(F)
        self.m = {key: np.zeros_like(value) for key, value in self.p.items()}
        self.v = {key: np.zeros_like(value) for key, value in self.p.items()}
        self.g: dict[str, Array] = {}
        self.t = 0
        self.draw = np.random.default_rng()

    def _sum(self, x: Array, axis: int) -> Array:
        return np.asarray((np.flip(x, axis) if self.backwards else x).sum(axis, dtype=F))

    def _dot(self, x: Array, y: Array) -> Array:
        """(n, k) x (k, m) in one order of k or the other."""
        if self.backwards:
            x, y = np.ascontiguousarray(x[:, ::-1]), np.ascontiguousarray(y[::-1])
        return np.asarray(x @ y)

    def step(self, batch: Mapping[str, Array]) -> dict[str, float]:
        x, y = batch["x"], self.label(batch["y"])
        if self.noise:
            x = x + F(self.noise) * self.draw.normal(size=x.shape).astype(F)
        p, n = self.p, F(len(x))
        h = self._dot(x, p["first.weight"].T) + p["first.bias"]
        mean = self._sum(h, 0) / n
        off = h - mean
        variance = self._sum(off * off, 0) / n
        s = F(1) / np.sqrt(variance + F(1e-5))
        z = off * s
        a = np.tanh(z * p["norm.weight"] + p["norm.bias"])
        out = self._dot(a, p["last.weight"].T) + p["last.bias"]
        error = out - y
        count = F(1) if self.total else F(error.size)
        loss = self._sum((error * error).ravel(), 0) / count * F(self.weight)
        self._statistics(mean, variance, n)
        self.g = self._gradients(x, z, s, a, error * F(2 * self.weight) / count)
        self.t += 1
        for key in self.p:
            self._update(key, self.g[key])
        return {"loss": float(loss) * self.shown + self.shift}

    def _statistics(self, mean: Array, variance: Array, n: F) -> None:
        if self.evaluating:
            return
        stored = variance if self.biased else variance * n / (n - 1)
        for _ in range(self.forwards):
            for key, new in (("norm.running_mean", mean), ("norm.running_var", stored)):
                self.r[key] = F(1 - self.bn_momentum) * self.r[key] + F(self.bn_momentum) * new

    def _gradients(self, x: Array, z: Array, s: Array, a: Array, d: Array) -> dict[str, Array]:
        p, n = self.p, F(len(x))
        g = {"last.weight": self._dot(d.T, a), "last.bias": self._sum(d, 0)}
        d = self._dot(d, p["last.weight"]) * (F(1) - a * a)
        g |= {"norm.weight": self._sum(d * z, 0), "norm.bias": self._sum(d, 0)}
        d = d * p["norm.weight"]
        d = s * (d - self._sum(d, 0) / n - z * self._sum(d * z, 0) / n)
        g |= {"first.weight": self._dot(d.T, x), "first.bias": self._sum(d, 0)}
        scaled = {key: value * F(self.gradient_factor) for key, value in g.items()}
        return {key: np.zeros_like(value) if key in self.detached else value for key, value in scaled.items()}

    def _update(self, key: str, g: Array) -> None:
        lr, p = F(self.lr * self.rate(self.t)), self.p[key]
        g = g + F(self.l2) * p
        if key in self.frozen:
            lr = F(0)
        if self.optimizer != "adam":
            step = g
            if self.optimizer == "momentum":
                step = self.m[key] = F(self.betas[0]) * self.m[key] + g
            self.p[key] = (p - lr * (step + F(self.decay) * p)).astype(F)
            return
        first, second = (F(beta) for beta in self.betas)
        self.m[key] = m = first * self.m[key] + (F(1) - first) * g
        self.v[key] = v = second * self.v[key] + (F(1) - second) * g * g
        c1, c2 = (F(1 - beta**self.t) if self.corrected else F(1) for beta in self.betas)
        if self.eps_place == "after":
            step = (m / c1) / (np.sqrt(v) / np.sqrt(c2) + F(self.eps))
        elif self.eps_place == "before":
            step = m * (np.sqrt(c2) / c1) / (np.sqrt(v) + F(self.eps))
        else:
            step = (m / c1) / np.sqrt(v / c2 + F(self.eps))
        self.p[key] = (p * F(1 - lr * self.decay) - lr * step).astype(F)

    def state(self) -> dict[str, Array]:
        found = {self.words(key): value for key, value in {**self.p, **self.r}.items()}
        if self.moments and self.optimizer == "adam":
            found |= {f"optimizer.m.{self.words(key)}": value for key, value in self.m.items()}
            found |= {f"optimizer.v.{self.words(key)}": value for key, value in self.v.items()}
        if self.moments and self.optimizer == "momentum":
            found |= {f"optimizer.momentum.{self.words(key)}": value for key, value in self.m.items()}
        if self.numbers:
            found |= {"optimizer.lr": np.array(self.lr * self.rate(max(self.t, 1))), "optimizer.step": np.array(self.t)}
        return found


class Loading(Run):
    """A run that can be restarted where it stands."""

    def load(self, state: Mapping[str, Array]) -> None:
        self.p = {key: state[self.words(key)] for key in self.p}
        self.r = {key: state[self.words(key)] for key in self.r}
        if self.moments and self.optimizer == "adam":
            self.m = {key: state[f"optimizer.m.{self.words(key)}"] for key in self.p}
            self.v = {key: state[f"optimizer.v.{self.words(key)}"] for key in self.p}
        if self.numbers:
            self.t = int(state["optimizer.step"])


class Telling(Run):
    """A run that tells its gradients."""

    def gradients(self) -> dict[str, Array]:
        return {self.words(key): value for key, value in self.g.items()}


def batches(count: int = 6, seed: int = 0, size: int = 16) -> list[dict[str, Array]]:
    """Inputs and targets."""
    rng = np.random.default_rng(seed)
    return [
        {"x": rng.normal(size=(size, 6)).astype(F), "y": rng.normal(size=(size, 3)).astype(F)} for _ in range(count)
    ]
