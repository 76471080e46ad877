"""A network with one of everything, written by hand for both frameworks, and the ways to get it wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Plan:
    """Every choice that somebody could make differently."""

    eps: float = 1e-5
    momentum: float = 0.1
    slope: float = 0.2
    activation: str = "leaky_relu"
    norm: str = "batch"
    groups: int = 1
    stride: int = 2
    padding: int = 1
    pad_mode: str = "reflect"
    dilation: int = 1
    pool: str = "avg"
    ceil_mode: bool = False
    include_pad: bool = True
    resize: str = "bilinear"
    align_corners: bool = False
    approximate: str = "none"
    order: tuple[int, int] = (0, 1)
    swapped: bool = False
    axis: int = 1
    scale: float = 1.0
    offset: float = 0.0
    missing: bool = False
    extra: bool = False
    output_padding: int = 1
    reduction: str = "mean"


class Network(nn.Module):
    """A small encoder and decoder: (N, 3, 16, 16) -> (N, 2, 17, 17) and a vector."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        self.stem = nn.Conv2d(3, 8, 3)
        self.norm = self._norm(plan)
        self.down = nn.Conv2d(8, 8, 3, plan.stride, plan.padding, plan.dilation, plan.groups)
        self.side = nn.Conv2d(8, 8, 1)
        self.mixed = nn.Conv2d(16, 8, 3, padding=1)
        self.up = nn.ConvTranspose2d(8, 4, 3, 2, 1, plan.output_padding)
        self.head = nn.Conv2d(4, 2, 3, padding=1)

    @staticmethod
    def _norm(plan: Plan) -> nn.Module:
        if plan.norm == "batch":
            return nn.BatchNorm2d(8, plan.eps, plan.momentum)
        return nn.GroupNorm(8 if plan.norm == "instance" else 2, 8, plan.eps)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        plan = self.plan
        x = self.norm(self.stem(F.pad(image, (1, 1, 1, 1), plan.pad_mode)))
        x = self._activation(x)
        y = F.gelu(self.down(x), approximate=plan.approximate)
        z = self.side(self._pool(x))
        if not plan.missing:
            z = torch.sigmoid(z)
        if plan.extra:
            z = z.abs() + 0.25
        parts = [y - z if not plan.swapped else z - y, y * plan.scale + plan.offset if self._affine else y]
        x = self.mixed(torch.cat([parts[i] for i in plan.order], plan.axis if plan.axis == 1 else 1))
        x = torch.tanh(self.up(self._resize(x)))
        pooled = x.mean((2, 3)) if plan.reduction == "mean" else x.amax((2, 3))
        return self.head(x), torch.softmax(pooled, plan.axis)

    @property
    def _affine(self) -> bool:
        return self.plan.scale != 1 or self.plan.offset != 0

    def _activation(self, x: torch.Tensor) -> torch.Tensor:
        plan = self.plan
        return F.leaky_relu(x, plan.slope) if plan.activation == "leaky_relu" else getattr(F, plan.activation)(x)

    def _pool(self, x: torch.Tensor) -> torch.Tensor:
        plan = self.plan
        if plan.pool == "max":
            return F.max_pool2d(x, 3, 2, 1, ceil_mode=plan.ceil_mode)
        return F.avg_pool2d(x, 3, 2, 1, plan.ceil_mode, plan.include_pad)

    def _resize(self, x: torch.Tensor) -> torch.Tensor:
        plan = self.plan
        corners = None if plan.resize == "nearest" else plan.align_corners
        return F.interpolate(x, scale_factor=2, mode=plan.resize, align_corners=corners)


def network(seed: int = 0, **choices: Any) -> Network:
    """A seeded network with weights and statistics that let every choice show."""
    torch.manual_seed(seed)
    made = Network(replace(Plan(), **choices)).eval()
    with torch.no_grad():
        for name, tensor in made.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(1e-3, 2e-3)
            elif name.endswith("running_mean"):
                tensor.uniform_(-0.05, 0.05)
            elif name.startswith("norm."):
                tensor.uniform_(0.5, 1.5) if tensor.dtype.is_floating_point else None
    return made


def twin_of(model: Network, **choices: Any) -> Network:
    """The same weights in a network with other choices."""
    twin = Network(replace(model.plan, **choices)).eval()
    own = twin.state_dict()
    state = {k: v for k, v in model.state_dict().items() if k in own and own[k].shape == v.shape}
    twin.load_state_dict(state, strict=False)
    return twin
