"""Cycle-Dehaze: CycleGAN's networks as TensorFlow pads them, and the pyramid by which they see large photographs."""

from __future__ import annotations

from collections.abc import Callable

from twinzoo.zoo.registry import model, spec
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Int

_PAPER = "Engin, Genc and Ekenel 2018, arXiv:1805.05308"


def _normed(s: Spec, name: str, convolved: Value) -> Value:
    return s.relu(f"{name}_relu", s.instance_norm(f"{name}_norm", convolved, affine=True))


def _wide(s: Spec, name: str, x: Value, channels: int) -> Value:
    padded = s.pad2d(f"{name}_pad", x, (3, 3, 3, 3), mode="reflect")
    return s.conv2d(f"{name}_conv", padded, channels, kernel=7, bias=False)


def _down(s: Spec, name: str, x: Value, channels: int) -> Value:
    """TensorFlow's `SAME` at a stride of 2: one row and column of zeros, at the end alone."""
    padded = s.pad2d(f"{name}_pad", x, (0, 1, 0, 1))
    return _normed(s, name, s.conv2d(f"{name}_conv", padded, channels, kernel=3, stride=2, bias=False))


def _up(s: Spec, name: str, x: Value, channels: int) -> Value:
    """The adjoint of `_down`: what goes beyond twice the size is cut off at the end, not at the start."""
    x = s.conv_transpose2d(f"{name}_conv", x, channels, kernel=3, stride=2, bias=False)
    x = s.slice(f"{name}_columns", s.slice(f"{name}_rows", x, axis=2, stop=-1), axis=3, stop=-1)
    return _normed(s, name, x)


def _block(s: Spec, name: str, x: Value, channels: int) -> Value:
    y = x
    for i in (1, 2):
        padded = s.pad2d(f"{name}_pad{i}", y, (1, 1, 1, 1), mode="reflect")
        y = s.conv2d(f"{name}_conv{i}", padded, channels, kernel=3, bias=False)
        y = s.instance_norm(f"{name}_norm{i}", y, affine=True)
        y = s.relu(f"{name}_relu", y) if i == 1 else y
    return s.add(f"{name}_add", x, y)


@model(
    "cycle_dehaze_generator",
    paper=_PAPER,
    task="dehazing",
    init="gan",
    small={"width": 4, "blocks": 2},
    allowed={"width": Int(minimum=1), "blocks": Int(minimum=0)},
)
def cycle_dehaze_generator(s: Spec, *, width: int = 64, blocks: int = 9) -> Value:
    """Cycle-Dehaze's generator: CycleGAN's, with gains and offsets in its norms and no bias anywhere.

    image: (N, 3, H, W) RGB in [-1, 1], H and W multiples of 4 -> (N, 3, H, W) in [-1, 1]
    width: channels of the first convolution; 64, though the published scopes are called 32 ... 128. blocks: 9, and 6
        for images of up to 128 pixels.

    Engin et al. 2018, section 3, as in the authors' TensorFlow code. Its strided convolutions pad at the end alone and
    its doublings crop there, so that weights do not carry over from or to PyTorch's CycleGAN: one pixel apart.
    """
    image = s.input("image", channels=3, multiple_of=4, example=64)
    x = _normed(s, "stem", _wide(s, "stem", image, width))
    for i in (1, 2):
        x = _down(s, f"down{i}", x, width * 2**i)
    for i in range(1, blocks + 1):
        x = _block(s, f"block{i}", x, 4 * width)
    for i in (1, 2):
        x = _up(s, f"up{i}", x, 4 * width // 2**i)
    return s.tanh("tanh", _wide(s, "head", x, 3))


@model(
    "cycle_dehaze_discriminator",
    paper=_PAPER,
    task="dehazing",
    init="gan",
    small={"width": 4},
    allowed={"width": Int(minimum=1)},
)
def cycle_dehaze_discriminator(s: Spec, *, width: int = 64) -> Value:
    """Cycle-Dehaze's discriminator: four halvings, and one logit for each of what is left.

    image: (N, 3, H, W) RGB in [-1, 1], H and W multiples of 16, 32 at least
        -> logits (N, 1, H/16, W/16), without sigmoid
    width: channels of the first convolution; a halving doubles them.

    Engin et al. 2018, as in the authors' TensorFlow code: a PatchGAN with a halving more than the usual one, gains and
    offsets in its norms, a bias on the last convolution alone, and that one padded by one pixel before and two behind.
    """
    x = s.input("image", channels=3, multiple_of=16, example=64)
    for i in range(1, 5):
        x = s.conv2d(f"conv{i}", x, width * 2 ** (i - 1), kernel=4, stride=2, padding=1, bias=False)
        x = s.instance_norm(f"norm{i}", x, affine=True) if i > 1 else x
        x = s.leaky_relu(f"act{i}", x, 0.2)
    # One pixel more than `SAME` has in front, dropped again: MindSpore 2.10 hangs in the second run of a compiled step
    # where a constant padding of four sides stands here.
    x = s.conv2d("logits", x, 1, kernel=4, padding=2)
    return s.slice("columns", s.slice("rows", x, axis=2, start=1), axis=3, start=1)


@model(
    "gaussian_reduce",
    paper="Burt and Adelson 1983, IEEE Trans. Comm. 31",
    task="dehazing",
    allowed={"channels": Int(minimum=1)},
)
def gaussian_reduce(s: Spec, *, channels: int = 3) -> Value:
    """One level up a Gaussian pyramid: every second pixel of the image after a 5x5 blur, edges reflected.

    image: (N, channels, H, W), H and W even -> (N, channels, H/2, W/2)

    Burt and Adelson 1983, section II, with a = 3/8, as MATLAB's impyramid has it: weights (1, 4, 6, 4, 1) / 16.
    """
    image = s.input("image", channels=channels, multiple_of=2, example=32)
    return s.blur2d("reduce", s.pad2d("pad", image, (2, 2, 2, 2), mode="reflect"), (1, 4, 6, 4, 1), stride=2)


def coarsest_replaced(s: Spec, image: Value, levels: int, replace: Callable[[Value], Value]) -> Value:
    """The image with the top of its Laplacian pyramid replaced; sizes must be multiples of 2**levels.

    What a level loses when it is halved and doubled again is kept, and added to what comes back from above. So an image
    whose top is left as it is comes back unchanged, up to rounding.
    """
    reduce = s.role("reduce", spec("gaussian_reduce"))
    x, lost = image, []
    for level in range(1, levels + 1):
        (smaller,) = s.call(f"reduce{level}", reduce, x)
        back = s.interpolate(f"expand{level}", smaller, scale=2, mode="bilinear")
        lost.append(s.sub(f"detail{level}", x, back))
        x = smaller
    x = replace(x)
    for level in range(levels, 0, -1):
        doubled = s.interpolate(f"restore{level}", x, scale=2, mode="bilinear")
        x = s.add(f"level{level}", doubled, lost[level - 1])
    return x


@model(
    "laplacian_dehaze",
    paper=_PAPER,
    task="dehazing",
    small={"width": 4, "blocks": 1, "levels": 1},
    allowed={"width": Int(minimum=1), "blocks": Int(minimum=0), "levels": Int(minimum=1)},
)
def laplacian_dehaze(s: Spec, *, width: int = 64, blocks: int = 9, levels: int = 4) -> Value:
    """Cycle-Dehaze on large photographs: haze is taken out of the top of a Laplacian pyramid, detail is kept.

    image: (N, 3, H, W) RGB in [-1, 1], H and W multiples of 4 * 2**levels -> (N, 3, H, W), in [-1, 1] but for detail
        added to white or black: clamp it to show it
    levels: halvings; the generator sees H / 2**levels pixels, 256 at H = 4096 and 4 levels.
    width, blocks: of the generator, which is the role `generator` and comes in front of the names of its parameters.

    Engin et al. 2018, section 3.3, as in the authors' MATLAB code, with which this differs in two ways: that one gives
    the network the photograph squeezed to 256x256 pixels, and doubles by bicubic interpolation. Here it sees the
    pyramid's own top, so that shapes are kept, and doubling is bilinear. Halving is theirs (impyramid; Burt and Adelson
    1983).
    """
    generator = s.role("generator", spec("cycle_dehaze_generator", width=width, blocks=blocks))
    image = s.input("image", channels=3, multiple_of=4 * 2**levels, example=64)
    return coarsest_replaced(s, image, levels, lambda top: s.call("dehazed", generator, top)[0])
