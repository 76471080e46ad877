"""The same small convolutional network trained by hand in PyTorch and in MindSpore, as a user would wrap a loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.ports.mindspore.runtime import prepare

Array = NDArray[Any]

CHANNELS = 6


def initial(seed: int = 3) -> dict[str, Array]:
    """Weights by PyTorch's names; the first bias stands before a norm, so that its gradient is rounding alone."""
    rng = np.random.default_rng(seed)
    shapes = {"0.weight": (CHANNELS, 3, 3, 3), "0.bias": (CHANNELS,), "3.weight": (3, CHANNELS, 3, 3), "3.bias": (3,)}
    found = {key: rng.normal(0, 0.1, shape).astype(np.float32) for key, shape in shapes.items()}
    found["1.weight"] = rng.normal(1, 0.1, CHANNELS).astype(np.float32)
    found["1.bias"] = np.zeros(CHANNELS, np.float32)
    return found


def images(count: int = 6, seed: int = 0) -> list[dict[str, Array]]:
    """Batches of 2 pictures of 8 pixels with targets."""
    rng = np.random.default_rng(seed)
    shapes = [(2, 3, 8, 8)] * 2
    return [
        dict(zip(("x", "y"), (rng.uniform(-1, 1, s).astype(np.float32) for s in shapes), strict=True))
        for _ in range(count)
    ]


class Torch:
    """Conv, batch norm, ReLU, conv with torch.optim.Adam."""

    def __init__(self, seed: int = 3, **adam: Any) -> None:
        import torch

        self.torch = torch
        nn = torch.nn
        self.net = nn.Sequential(
            nn.Conv2d(3, CHANNELS, 3, padding=1),
            nn.BatchNorm2d(CHANNELS),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, 3, 3, padding=1),
        )
        self.net.load_state_dict({k: torch.tensor(v) for k, v in initial(seed).items()}, strict=False)
        kind = torch.optim.AdamW if "weight_decay" in adam else torch.optim.Adam
        self.adam = kind(self.net.parameters(), **{"lr": 1e-3, "betas": (0.5, 0.999), **adam})

    def step(self, batch: Mapping[str, Array]) -> dict[str, float]:
        loss = self.torch.nn.functional.mse_loss(self.net(self.torch.tensor(batch["x"])), self.torch.tensor(batch["y"]))
        self.adam.zero_grad()
        self.torch.autograd.backward(loss)
        self.adam.step()
        return {"loss": loss.item()}

    def state(self) -> dict[str, Array]:
        found = {key: value.detach().numpy() for key, value in self.net.state_dict().items()}
        saved = self.adam.state_dict()
        for index, slots in saved["state"].items():
            found |= {f"optimizer.state.{index}.{word}": value.numpy() for word, value in slots.items()}
        group = saved["param_groups"][0]
        return found | {f"optimizer.param_groups.0.{word}": np.array(group[word]) for word in ("lr", "eps")}


class MindSpore:
    """The same with ops.Adam as torch's, or with nn.Adam as it comes."""

    def __init__(self, seed: int = 3, exact: bool = True, momentum: float = 0.9, **adam: Any) -> None:
        import mindspore as ms
        from mindspore import nn, ops

        prepare()
        self.ms, self.ops, self.exact = ms, ops, exact
        conv = {"kernel_size": 3, "pad_mode": "pad", "padding": 1, "has_bias": True}
        self.net = nn.SequentialCell(
            nn.Conv2d(3, CHANNELS, **conv),
            nn.BatchNorm2d(CHANNELS, momentum=momentum),
            nn.ReLU(),
            nn.Conv2d(CHANNELS, 3, **conv),
        )
        names = {"1.weight": "1.gamma", "1.bias": "1.beta"}
        parameters = self.net.parameters_dict()
        for key, value in initial(seed).items():
            parameters[names.get(key, key)].set_data(ms.Tensor(value))
        self.net.set_train()
        trained = self.net.trainable_params()
        self.lr, self.betas, self.eps = adam.get("lr", 1e-3), adam.get("betas", (0.5, 0.999)), adam.get("eps", 1e-8)
        self.loss = ms.value_and_grad(self.forward, None, trained)
        self.trained, self.t = trained, 0
        self.m, self.v = (
            [ms.Parameter(ops.zeros_like(p), name=f"{w}.{p.name}") for p in trained] for w in ("moment1", "moment2")
        )
        self.kernel = ops.Adam()
        self.own = None if exact else nn.Adam(trained, self.lr, *self.betas, eps=self.eps)

    def forward(self, x: Any, y: Any) -> Any:
        return self.ops.mse_loss(self.net(x), y)

    def step(self, batch: Mapping[str, Array]) -> dict[str, float]:
        loss, gradients = self.loss(self.ms.Tensor(batch["x"]), self.ms.Tensor(batch["y"]))
        self.t += 1
        if self.own is not None:
            self.own(gradients)
            return {"loss": float(loss.asnumpy())}
        first, second = (beta**self.t for beta in self.betas)
        numbers = (first, second, self.lr, *self.betas, self.eps * (1 - second) ** 0.5)
        tensors = [self.ms.Tensor(number, self.ms.float32) for number in numbers]
        for p, m, v, g in zip(self.trained, self.m, self.v, gradients, strict=True):
            self.kernel(p, m, v, *tensors, g)
        return {"loss": float(loss.asnumpy())}

    def state(self) -> dict[str, Array]:
        found = {key: p.asnumpy() for key, p in self.net.parameters_dict().items()}
        kept = [*self.m, *self.v] if self.own is None else [*self.own.moment1, *self.own.moment2]
        return found | {p.name: p.asnumpy() for p in kept}
