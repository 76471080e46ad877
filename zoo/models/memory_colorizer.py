"""The networks of memory-augmented colorization: a U-Net that colours steer through its norms, and its judge."""

from __future__ import annotations

from typing import Any

from twinzoo.zoo.models.memory import COLOURS, MEMOPAINTER, PAPER
from twinzoo.zoo.naming import sequential
from twinzoo.zoo.registry import model
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Float, Int, channels_of

_DROPPED = 3
_HALVINGS = 5


def _widths(width: int, depth: int) -> list[int]:
    return [width * min(2**i, 8) for i in range(depth)]


def _generator_published(depth: int, **_: Any) -> dict[str, str]:
    """The first of the two names that the published blocks give each convolution.

    Norms have no parameters; the statistics that the published ones keep are never used.
    """
    paths = {"down1_conv": "e1"}
    for i in range(2, depth + 1):
        paths |= {f"down{i}_conv": f"e{i}.conv", f"down{i}_norm_normed": f"e{i}.body.2"}
    for i in range(1, depth + 1):
        paths |= {f"up{i}_conv": f"d{i}.deconv", f"up{i}_norm_normed": f"d{i}.body.2"}
    return paths | sequential("mlp.model", ["mlp1", "mlp1_relu", "mlp2", "mlp2_relu", "mlp3"])


class _Norms:
    """Instance norms whose offsets and gains are taken in turn from one vector an image."""

    def __init__(self, s: Spec, parameters: Value) -> None:
        self._s = s
        self._parameters = parameters
        self._taken = 0

    def __call__(self, name: str, x: Value) -> Value:
        channels = channels_of(x.shape)
        offset, gain = (self._next(f"{name}_{part}", channels) for part in ("offset", "gain"))
        s = self._s
        return s.add(name, s.mul(f"{name}_scaled", s.instance_norm(f"{name}_normed", x), gain), offset)

    def _next(self, name: str, channels: int) -> Value:
        first, self._taken = self._taken, self._taken + channels
        part = self._s.slice(f"{name}_part", self._parameters, axis=1, start=first, stop=self._taken)
        return self._s.reshape(name, part, (0, channels, 1, 1))


@model(
    "memory_generator",
    paper=PAPER,
    task="colorization",
    namings={MEMOPAINTER: _generator_published},
    small={"width": 4, "depth": 4, "colours": 5},
    allowed={
        "colours": Int(minimum=1),
        "width": Int(minimum=1),
        "depth": Int(minimum=3),
        "dropout": Float(minimum=0.0, maximum=1.0),
    },
)
def memory_generator(
    s: Spec, *, colours: int = COLOURS, width: int = 64, depth: int = 8, dropout: float = 0.5
) -> Value:
    """MemoPainter's generator: a U-Net from lightness to colours, whose norms are steered by the colours to be used.

    lightness: (N, 1, H, W), L*/100, in [0, 1], H and W multiples of 2**depth; colour: (N, colours), a distribution over
        the 313 bins of `ab_bins`, or 10 colours in RGB -> (N, 2, H, W), a* and b* over 110, in [-1, 1]
    colours: 313, or 30 for a palette. width: channels of the first halving. depth: halvings, 8 at 256 pixels.
    dropout: its rate, in the first three doublings.

    Yoo et al. 2019, as in the published PyTorch code. Three linear layers make of the colours an offset
    and a gain for each channel of each norm, in the order of the layers, offsets first (adaptive instance norm, with
    the biased variance). The innermost map has one pixel at 256 and no norm. Skips come second in what is joined.
    """
    lightness = s.input("lightness", channels=1, multiple_of=2**depth, example=2**depth, span=(0, 1))
    colour = s.input("colour", shape=("N", colours), span=(0, 2 / colours))
    widths = _widths(width, depth)
    units = 2 * (sum(widths[1:-1]) + sum(widths[:-1]))
    x = s.relu("mlp1_relu", s.linear("mlp1", colour, units))
    x = s.relu("mlp2_relu", s.linear("mlp2", x, units))
    norm = _Norms(s, s.linear("mlp3", x, units))

    x = s.conv2d("down1_conv", lightness, width, kernel=4, stride=2, padding=1)
    skips = [x]
    for i, channels in enumerate(widths[1:], 2):
        x = s.leaky_relu(f"down{i}_act", x, 0.2)
        x = s.conv2d(f"down{i}_conv", x, channels, kernel=4, stride=2, padding=1)
        if i < depth:
            x = norm(f"down{i}_norm", x)
            skips.append(x)
    for i, skip in enumerate(reversed(skips), 1):
        x = s.relu(f"up{i}_act", x)
        x = s.conv_transpose2d(f"up{i}_conv", x, channels_of(skip.shape), kernel=4, stride=2, padding=1)
        x = norm(f"up{i}_norm", x)
        x = s.dropout(f"up{i}_dropout", x, dropout) if i <= _DROPPED and dropout else x
        x = s.concat(f"up{i}_skip", x, skip)
    x = s.conv_transpose2d(f"up{depth}_conv", s.relu(f"up{depth}_act", x), 2, kernel=4, stride=2, padding=1)
    return s.tanh("tanh", x)


def _discriminator_published(**_: Any) -> dict[str, str]:
    layers = [f"{kind}{i}" for i in range(1, _HALVINGS + 1) for kind in ("conv", "act")]
    return sequential("main", layers) | {"last_conv": "conv1"} | sequential("fc", ["norm", "logit"])


@model(
    "memory_discriminator",
    paper=PAPER,
    task="colorization",
    namings={MEMOPAINTER: _discriminator_published},
    small={"batch": 3, "colours": 5, "size": 32, "width": 2},
    allowed={
        "batch": Int(minimum=1),
        "colours": Int(minimum=1),
        "size": Int(minimum=32),
        "width": Int(minimum=1),
    },
)
def memory_discriminator(s: Spec, *, batch: int = 4, colours: int = COLOURS, size: int = 256, width: int = 64) -> Value:
    """MemoPainter's discriminator: five halvings and one logit an image, given the colours that were to be used.

    ab: (batch, 2, size, size), lightness: (batch, 1, size, size), colour: (batch, colours), all as in
        `memory_generator` -> logits (batch, 1, 1, 1), without the published sigmoid, which belongs into the loss
    batch: at least 2 in training, where its last norm is over single numbers. size: a multiple of 32.
    width: of the first layer.

    Yoo et al. 2019, as in the published PyTorch code: batch norm and a linear layer over all that is left,
    which ties the network to one size.
    """
    ab = s.input("ab", shape=(batch, 2, size, size))
    lightness = s.input("lightness", shape=(batch, 1, size, size), span=(0, 1))
    colour = s.input("colour", shape=(batch, colours), span=(0, 2 / colours))
    everywhere = s.interpolate("everywhere", s.reshape("colour_pixel", colour, (0, 0, 1, 1)), scale=float(size))
    x = s.concat("given", ab, lightness, everywhere)
    for i in range(1, _HALVINGS + 1):
        x = s.conv2d(f"conv{i}", x, width * 2 ** (i - 1), kernel=4, stride=2, padding=1)
        x = s.leaky_relu(f"act{i}", x, 0.01)
    x = s.conv2d("last_conv", x, channels_of(x.shape), kernel=3, padding=1, bias=False)
    units = channels_of(x.shape) * (size // 2**_HALVINGS) ** 2
    x = s.batch_norm("norm", s.reshape("units", x, (batch, units, 1, 1)))
    return s.reshape("logits", s.linear("logit", s.flatten("flat", x), 1), (batch, 1, 1, 1))
