"""The network with one of everything, as somebody writes it in MindSpore."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mindspore import Tensor, nn, ops

from parity_tests.planted.plan import Plan, State, fitting
from twinzoo.converters.live import live

_PAD_MODES = {"reflect": "reflect", "replicate": "replicate", "constant": "constant"}


def convolution(channels_in: int, channels: int, kernel: int, padding: int, **choices: Any) -> Any:
    """With a bias, unless that is chosen otherwise."""
    return nn.Conv2d(channels_in, channels, kernel, pad_mode="pad", padding=padding, **{"has_bias": True, **choices})


class Network(nn.Cell):  # type: ignore[misc]
    """A small encoder and decoder with its loss: (N, 3, 16, 16) -> (N, 2, 32, 32), two vectors (N, C), a number."""

    def __init__(self, plan: Plan) -> None:
        super().__init__()
        self.plan = plan
        self.stem = convolution(3, 8, 3, 0)
        self.norm = self._norm(plan)
        self.down = convolution(8, 8, 3, plan.padding, stride=2, dilation=plan.dilation)
        self.side = convolution(8, 8, 1, 0)
        self.mixed = convolution(16, 8, 3, 1, has_bias=plan.mixed_bias)
        self.refine = convolution(8, 8, 3, 1)
        behind = 1 - plan.output_padding
        self.up = nn.Conv2dTranspose(8, 4, 3, 2, "pad", (1, behind, 1, behind), has_bias=True)
        self.head = convolution(4, 2, 3, 1)
        self.fine = convolution(8, 8, plan.kernel, plan.kernel // 2, stride=plan.strides[0], group=plan.groups)
        if plan.asymmetric:
            self.coarse = nn.Conv2d(8, 8, 3, plan.strides[1], "same", has_bias=True)
        else:
            self.coarse = convolution(8, 8, 3, 1, stride=plan.strides[1])
        self.loss = nn.BCEWithLogitsLoss(reduction=plan.loss)

    @staticmethod
    def _norm(plan: Plan) -> Any:
        if plan.norm == "batch":
            by_batch = True if plan.batch_statistics else None
            return nn.BatchNorm2d(8, plan.eps, 1 - plan.momentum, plan.affine, use_batch_statistics=by_batch)
        return nn.GroupNorm(8 if plan.norm == "instance" else 2, 8, plan.eps, plan.affine)

    def construct(self, image: Tensor) -> Any:
        plan = self.plan
        x = self._activation(self.norm(self.stem(ops.pad(image, (1, 1, 1, 1), plan.pad_mode))))
        y = ops.gelu(self.down(x), approximate=plan.approximate)
        z = self.side(self._pool(x))
        z = z if plan.missing else ops.sigmoid(z)
        z = ops.abs(z - 0.5) if plan.extra else z
        parts = [z - y if plan.swapped else y - z, self._scaled(y)]
        joined = self.mixed(ops.cat([parts[i] for i in plan.order], 1))
        joined = ops.dropout(joined, 0.5, True) if plan.dropout else joined
        changed = self.refine(ops.relu(joined))
        up = self.up(self._resize((y if plan.wrong_skip else joined) + changed))
        made = ops.tanh(up)
        pooled = made.mean((2, 3)) if plan.reduction == "mean" else ops.amax(made, (2, 3))
        spread = ops.var(self._texture(x), (2, 3), plan.correction)
        head = self.head(made)
        loss = self.loss(head, ops.full_like(head, plan.label))
        return ops.sigmoid(head) if plan.last else head, ops.softmax(pooled, plan.axis), spread, loss

    def _activation(self, x: Tensor) -> Tensor:
        plan = self.plan
        return ops.leaky_relu(x, plan.slope) if plan.activation == "leaky_relu" else getattr(ops, plan.activation)(x)

    def _scaled(self, x: Tensor) -> Tensor:
        x = x if self.plan.scale == 1 else x * self.plan.scale
        return x if self.plan.offset == 0 else x + self.plan.offset

    def _pool(self, x: Tensor) -> Tensor:
        if self.plan.pool == "max":
            return ops.max_pool2d(x, 3, 2, 1)
        return ops.avg_pool2d(x, 3, 2, 1, False, self.plan.include_pad)

    def _resize(self, x: Tensor) -> Tensor:
        corners = None if self.plan.resize == "nearest" else self.plan.align_corners
        return ops.interpolate(x, size=(2 * x.shape[2], 2 * x.shape[3]), mode=self.plan.resize, align_corners=corners)

    def _texture(self, x: Tensor) -> Tensor:
        x = self.coarse(ops.relu(self.fine(x)))
        return ops.max_pool2d(x, 3, 2, 0, ceil_mode=self.plan.ceil_mode)


_OWN = {"norm.weight": "norm.gamma", "norm.bias": "norm.beta"}
_OWN |= {"norm.running_mean": "norm.moving_mean", "norm.running_var": "norm.moving_variance"}


def network(state: State, **choices: Any) -> Network:
    """A network in eval mode with the tensors of a state that fit its choices."""
    plan = replace(Plan(), **choices)
    made = Network(plan)
    made.set_train(False)
    fits = {_OWN.get(name, name): value for name, value in fitting(state, plan).items()}
    live(made).assign(made, fits)
    return made
