"""What a blur takes out of an image: its edges and texture."""

from __future__ import annotations

from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.registry import model
from twinzoo.zoo.spec import Spec, Value
from twinzoo.zoo.spec.schema import Int, Ints


@model(
    "high_frequency",
    paper="Luo et al. 2025, Neurocomputing 636: SinGAN-Dehaze",
    task="dehazing",
    allowed={"channels": Int(minimum=1), "taps": Ints(minimum=1)},
)
def high_frequency(s: Spec, *, channels: int = 3, taps: tuple[int, ...] = (1, 4, 6, 4, 1)) -> Value:
    """High frequencies: the image minus its blur.

    image: (N, channels, H, W) in [-1, 1] -> (N, channels, H, W), around 0
    taps: of the blur along each axis, divided by their sum, an odd number of them; (1, 4, 6, 4, 1) is a Gaussian with a
        standard deviation of one pixel. Edges are reflected.

    Luo et al. 2025, who give neither the width nor the kernel of their Gaussian: both are chosen here. Binomial weights
    are those of a Gaussian to two digits, and they are whole numbers.
    """
    if len(taps) % 2 == 0:
        raise SpecError(f"{s.name}: taps={taps}: must be an odd number of them")
    image = s.input("image", channels=channels, example=32)
    padded = s.pad2d("pad", image, (len(taps) // 2,) * 4, mode="reflect")
    return s.sub("detail", image, s.blur2d("blur", padded, taps))
