"""AOD-Net: five small convolutions that estimate how to take haze out of a photograph."""

from __future__ import annotations

from twinzoo.zoo.registry import model
from twinzoo.zoo.spec import Spec, Value


def _published() -> dict[str, str]:
    return {f"conv{i}": f"e_conv{i}" for i in range(1, 6)}


@model(
    "aodnet",
    paper="Li et al. 2017, ICCV: AOD-Net, All-in-One Dehazing Network",
    task="dehazing",
    init="gan",
    namings={"MayankSingal/PyTorch-Image-Dehazing": _published},
)
def aodnet(s: Spec) -> Value:
    """AOD-Net: K(image) from five convolutions, output = relu(K * image - K + 1).

    image: (N, 3, H, W) RGB in [0, 1], any size -> (N, 3, H, W) in [0, 1] but for rounding

    Li et al. 2017, with its constant b at 1, as in the PyTorch code of MayankSingal/PyTorch-Image-Dehazing. Since
    K >= 0, K * (image - 1) + 1 is at most 1 where the image is, whatever was learned; for an image above 1 it is not.
    """
    image = s.input("image", channels=3, example=256, span=(0, 1))
    x1 = s.relu("relu1", s.conv2d("conv1", image, 3, kernel=1))
    x2 = s.relu("relu2", s.conv2d("conv2", x1, 3, kernel=3, padding=1))
    x3 = s.relu("relu3", s.conv2d("conv3", s.concat("concat1", x1, x2), 3, kernel=5, padding=2))
    x4 = s.relu("relu4", s.conv2d("conv4", s.concat("concat2", x2, x3), 3, kernel=7, padding=3))
    k = s.relu("k", s.conv2d("conv5", s.concat("concat3", x1, x2, x3, x4), 3, kernel=3, padding=1))
    scaled = s.sub("difference", s.mul("product", k, image), k)
    return s.relu("clean", s.affine("shifted", scaled, shift=1.0))
