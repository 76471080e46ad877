"""SRGAN's generator: a photograph at four times its size, by residual blocks at the small size and shuffled pixels."""

from __future__ import annotations

from typing import Any

from twinzoo.zoo.naming import sequential
from twinzoo.zoo.registry import model
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Int

_BLOCK = {"conv1": "conv1", "norm1": "bn1", "act": "prelu", "conv2": "conv2", "norm2": "bn2"}


def _published(blocks: int, doublings: int, **_: Any) -> dict[str, str]:
    paths = sequential("block1", ["stem_conv", "stem_act"])
    for i in range(1, blocks + 1):
        paths |= {f"block{i}_{node}": f"block{i + 1}.{word}" for node, word in _BLOCK.items()}
    paths |= sequential(f"block{blocks + 2}", ["last_conv", "last_act"])
    tail = f"block{blocks + 3}"
    for i in range(1, doublings + 1):
        words = {"conv": "conv", "shuffle": "pixel_shuffle", "act": "prelu"}
        paths |= {f"up{i}_{node}": f"{tail}.{i - 1}.{word}" for node, word in words.items()}
    return paths | {"head_conv": f"{tail}.{doublings}"}


def _block(s: Spec, name: str, x: Value, width: int) -> Value:
    y = s.conv2d(f"{name}_conv1", x, width, kernel=3, padding=1)
    y = s.prelu(f"{name}_act", s.batch_norm(f"{name}_norm1", y))
    y = s.conv2d(f"{name}_conv2", y, width, kernel=3, padding=1)
    return s.add(f"{name}_add", x, s.batch_norm(f"{name}_norm2", y))


@model(
    "srgan_generator",
    paper="Ledig et al. 2017, arXiv:1609.04802",
    task="super-resolution",
    namings={"leftthomas/SRGAN": _published},
    small={"width": 4, "blocks": 1, "doublings": 1},
    allowed={"width": Int(minimum=1), "blocks": Int(minimum=0), "doublings": Int(minimum=0)},
)
def srgan_generator(s: Spec, *, width: int = 64, blocks: int = 5, doublings: int = 2) -> Value:
    """SRGAN's generator: `blocks` residual blocks, and `doublings` of height and width by shuffling pixels.

    image: (N, 3, H, W) RGB in [0, 1], any size -> (N, 3, H 2**doublings, W 2**doublings) in [0, 1]
    width: channels of every convolution but the first and last, which are 9x9. blocks: 5, and 16 in the paper.

    Ledig et al. 2017, section 2.1.1 and figure 4, as the published PyTorch file has it: one slope for each PReLU, also
    where the paper has a batch norm in front of the long skip, and (tanh + 1) / 2 at the end.
    """
    x = s.input("image", channels=3, example=64, span=(0, 1))
    x = s.prelu("stem_act", s.conv2d("stem_conv", x, width, kernel=9, padding=4))
    skip = x
    for i in range(1, blocks + 1):
        x = _block(s, f"block{i}", x, width)
    x = s.prelu("last_act", s.conv2d("last_conv", x, width, kernel=3, padding=1))
    x = s.add("long_skip", skip, x)
    for i in range(1, doublings + 1):
        x = s.conv2d(f"up{i}_conv", x, 4 * width, kernel=3, padding=1)
        x = s.prelu(f"up{i}_act", s.pixel_shuffle(f"up{i}_shuffle", x, 2))
    x = s.tanh("tanh", s.conv2d("head_conv", x, 3, kernel=9, padding=4))
    return s.affine("unit", x, scale=0.5, shift=0.5)
