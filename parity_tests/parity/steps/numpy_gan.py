"""A generator and a discriminator of one layer each, trained against each other by hand in NumPy with Adam."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
F = np.float32


@dataclass
class Gan:
    """Least-squares GAN: z -> tanh(z w), judged by a linear discriminator.

    Attributes:
        generator_first: its update comes before the discriminator's, which then sees the new generator.
        backwards: sums run from the other end.
        lr: of the generator and the discriminator.
    """

    generator_first: bool = False
    backwards: bool = False
    lr: tuple[float, float] = (0.02, 0.02)

    def __post_init__(self) -> None:
        rng = np.random.default_rng(1)
        self.p = {
            "generator.weight": rng.normal(0, 0.5, (4, 5)).astype(F),
            "discriminator.weight": rng.normal(0, 0.5, (5, 1)).astype(F),
        }
        self.m = {key: np.zeros_like(value) for key, value in self.p.items()}
        self.v = {key: np.zeros_like(value) for key, value in self.p.items()}
        self.t = 0

    def _dot(self, x: Array, y: Array) -> Array:
        if self.backwards:
            x, y = np.ascontiguousarray(x[:, ::-1]), np.ascontiguousarray(y[::-1])
        return np.asarray(x @ y)

    def _adam(self, key: str, g: Array, lr: float) -> None:
        self.m[key] = F(0.5) * self.m[key] + F(0.5) * g
        self.v[key] = F(0.999) * self.v[key] + F(1 - 0.999) * g * g
        c1, c2 = F(1 - 0.5**self.t), F(1 - 0.999**self.t)
        self.p[key] = self.p[key] - F(lr) * (self.m[key] / c1) / (np.sqrt(self.v[key]) / np.sqrt(c2) + F(1e-8))

    def _fake(self, batch: Mapping[str, Array]) -> Array:
        return np.asarray(np.tanh(self._dot(batch["z"], self.p["generator.weight"])))

    def _judge(self, batch: Mapping[str, Array]) -> float:
        fake, real, w = self._fake(batch), batch["real"], self.p["discriminator.weight"]
        on_real, on_fake, n = self._dot(real, w) - F(1), self._dot(fake, w), F(2 / len(real))
        self._adam("discriminator.weight", n * (self._dot(real.T, on_real) + self._dot(fake.T, on_fake)), self.lr[1])
        return float((on_real**2).mean() + (on_fake**2).mean())

    def _deceive(self, batch: Mapping[str, Array]) -> float:
        fake, w = self._fake(batch), self.p["discriminator.weight"]
        off = self._dot(fake, w) - F(1)
        back = self._dot(off * F(2 / len(fake)), w.T) * (F(1) - fake * fake)
        self._adam("generator.weight", self._dot(batch["z"].T, back), self.lr[0])
        return float((off**2).mean())

    def step(self, batch: Mapping[str, Array]) -> dict[str, float]:
        self.t += 1
        if self.generator_first:
            deceived = self._deceive(batch)
            return {"discriminator": self._judge(batch), "generator": deceived}
        judged = self._judge(batch)
        return {"discriminator": judged, "generator": self._deceive(batch)}

    def state(self) -> dict[str, Array]:
        kept = {f"optimizer.{slot}.{key}": value for slot in "mv" for key, value in getattr(self, slot).items()}
        return {**self.p, **kept, "optimizer.step": np.array(self.t)}

    def load(self, state: Mapping[str, Array]) -> None:
        self.t = int(state["optimizer.step"])
        self.p = {key: state[key] for key in self.p}
        self.m, self.v = ({key: state[f"optimizer.{slot}.{key}"] for key in self.p} for slot in "mv")


def pairs_of_noise(count: int = 6) -> list[dict[str, Array]]:
    """Noise, and what is real."""
    rng = np.random.default_rng(5)
    return [
        {"z": rng.normal(size=(8, 4)).astype(F), "real": rng.uniform(-1, 1, (8, 5)).astype(F)} for _ in range(count)
    ]
