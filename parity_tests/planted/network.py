"""The network with one of everything, as somebody writes it in PyTorch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from parity_tests.planted.plan import Plan, State, fitting, weights


class Network(nn.Module):
    """A small encoder and decoder with its loss: (N, 3, 16, 16) -> (N, 2, 32, 32), two vectors (N, C), a number."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        self.stem = nn.Conv2d(3, 8, 3)
        self.norm = self._norm(plan)
        self.down = nn.Conv2d(8, 8, 3, 2, plan.padding, plan.dilation)
        self.side = nn.Conv2d(8, 8, 1)
        self.mixed = nn.Conv2d(16, 8, 3, padding=1, bias=plan.mixed_bias)
        self.refine = nn.Conv2d(8, 8, 3, padding=1)
        self.up = nn.ConvTranspose2d(8, 4, 3, 2, 1, plan.output_padding)
        self.head = nn.Conv2d(4, 2, 3, padding=1)
        self.fine = nn.Conv2d(8, 8, plan.kernel, plan.strides[0], plan.kernel // 2, groups=plan.groups)
        self.coarse = nn.Conv2d(8, 8, 3, plan.strides[1], padding=1)
        self.loss = nn.BCEWithLogitsLoss(reduction=plan.loss)

    @staticmethod
    def _norm(plan: Plan) -> nn.Module:
        if plan.norm == "batch":
            return nn.BatchNorm2d(8, plan.eps, plan.momentum, plan.affine, not plan.batch_statistics)
        return nn.GroupNorm(8 if plan.norm == "instance" else 2, 8, plan.eps, plan.affine)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        plan = self.plan
        x = self._activation(self.norm(self.stem(F.pad(image, (1, 1, 1, 1), plan.pad_mode))))
        y = F.gelu(self.down(x), approximate=plan.approximate)
        z = self.side(self._pool(x))
        z = z if plan.missing else torch.sigmoid(z)
        z = torch.abs(z - 0.5) if plan.extra else z
        parts = [z - y if plan.swapped else y - z, self._scaled(y)]
        joined = self.mixed(torch.cat([parts[i] for i in plan.order], 1))
        joined = F.dropout(joined, 0.5, plan.dropout)
        changed = self.refine(F.relu(joined, inplace=plan.inplace))
        up = self.up(self._resize((y if plan.wrong_skip else joined) + changed))
        made = torch.tanh(up)
        pooled = made.mean((2, 3)) if plan.reduction == "mean" else made.amax((2, 3))
        spread = self._texture(x).var((2, 3), correction=plan.correction)
        head = self.head(made)
        loss = self.loss(head, torch.full_like(head, plan.label))
        return torch.sigmoid(head) if plan.last else head, torch.softmax(pooled, plan.axis), spread, loss

    def _activation(self, x: Tensor) -> Tensor:
        plan = self.plan
        return F.leaky_relu(x, plan.slope) if plan.activation == "leaky_relu" else getattr(F, plan.activation)(x)

    def _scaled(self, x: Tensor) -> Tensor:
        x = x if self.plan.scale == 1 else x * self.plan.scale
        return x if self.plan.offset == 0 else x + self.plan.offset

    def _pool(self, x: Tensor) -> Tensor:
        if self.plan.pool == "max":
            return F.max_pool2d(x, 3, 2, 1)
        return F.avg_pool2d(x, 3, 2, 1, False, self.plan.include_pad)

    def _resize(self, x: Tensor) -> Tensor:
        corners = None if self.plan.resize == "nearest" else self.plan.align_corners
        return F.interpolate(x, scale_factor=2, mode=self.plan.resize, align_corners=corners)

    def _texture(self, x: Tensor) -> Tensor:
        x = F.relu(self.fine(x))
        if self.plan.asymmetric:
            x = F.conv2d(F.pad(x, (0, 1, 0, 1)), self.coarse.weight, self.coarse.bias, self.plan.strides[1])
        else:
            x = self.coarse(x)
        return F.max_pool2d(x, 3, 2, 0, ceil_mode=self.plan.ceil_mode)


def network(state: State | None = None, **choices: Any) -> Network:
    """A network in eval mode with the tensors of a state (those of seed 0) that fit its choices."""
    plan = replace(Plan(), **choices)
    made = Network(plan).eval()
    own = made.state_dict()
    fits = fitting(weights(0) if state is None else state, plan)
    found = made.load_state_dict({k: torch.tensor(v) for k, v in fits.items() if k in own}, strict=False)
    assert set(found.missing_keys) <= {"norm.num_batches_tracked"}
    return made


def twin_of(model: Network, **choices: Any) -> Network:
    """The same tensors in a network with other choices."""
    return network({name: tensor.numpy() for name, tensor in model.state_dict().items()}, **choices)
