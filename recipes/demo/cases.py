"""The four cases of the demo: a model, the PyTorch checkpoint it comes from, and the photograph it is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from twinzoo.converters.targets import file_keys, published
from twinzoo.zoo import registry
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.vocabulary import native_extras

Pixels = NDArray[np.uint8]
Floats = NDArray[np.float32]

SEED = 0


@dataclass(frozen=True)
class Case:
    """One model of the demo.

    Attributes:
        stem: the name of its checkpoint, `<stem>.pth`; a real one in --weights-dir takes its place.
        photo: the photograph of scikit-image's that it sees, `size` pixels square.
        low: what a black pixel becomes; a white one becomes 1.
        write: (spec, path) -> writes a checkpoint with seeded weights, by PyTorch itself.
        shown: the value of the spec to show as a picture; the model's output where it is an image.
        tampered: the weight that --tamper changes.
    """

    stem: str
    title: str
    model: str
    options: dict[str, Any]
    photo: str
    size: int
    low: float
    write: Callable[[Spec, Path], None]
    shown: str
    tampered: str

    @property
    def spec(self) -> Spec:
        """The spec, drawn."""
        return registry.spec(self.model, **self.options)

    def image(self) -> Floats:
        """The photograph as the model takes it: (1, 3, size, size) in [low, 1], or ImageNet-normalised for VGG."""
        pixels = photograph(self.photo, self.size)
        unit = pixels.transpose(2, 0, 1)[None].astype(np.float32) / np.float32(255)
        if self.model.startswith("vgg"):
            mean, std = (np.array(v, np.float32).reshape(1, 3, 1, 1) for v in (_MEAN, _STD))
            return np.asarray((unit - mean) / std, np.float32)
        return np.asarray(unit * np.float32(1 - self.low) + np.float32(self.low), np.float32)


_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def photograph(name: str, size: int) -> Pixels:
    """A photograph that scikit-image ships, cropped to its middle square: (size, size, 3)."""
    from skimage import data

    image = Image.fromarray(getattr(data, name)())
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    square = image.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BICUBIC)
    return np.asarray(square, np.uint8)


def write_torchvision(spec: Spec, path: Path) -> None:
    """The state dict of torchvision's own class, with the weights its constructor draws."""
    import torch
    from torchvision.models import vgg16

    torch.manual_seed(SEED)
    torch.save(vgg16(weights=None).state_dict(), path)


def write_published(spec: Spec, path: Path) -> None:
    """A state dict under the published keys, with the spec's seeded initial values."""
    import torch

    values = initial_state(spec, SEED) | native_extras(spec, "torch")
    keys = file_keys(spec, "torch", next(iter(published(spec))))
    torch.save({key: torch.from_numpy(values[name]) for name, key in keys.items()}, path)


CASES = (
    Case(
        "vgg16", "VGG16, torchvision's own class", "vgg16", {}, "chelsea", 224, 0.0, write_torchvision, "relu2_2",
        "conv3_2.weight",
    ),
    Case(
        "pix2pix", "pix2pix U-Net-256, published naming", "unet", {}, "coffee", 256, -1.0, write_published, "output",
        "down4_conv.weight",
    ),
    Case(
        "cyclegan", "CycleGAN ResNet-9, published naming", "resnet_generator", {}, "astronaut", 256, -1.0,
        write_published, "output", "block5_conv1.weight",
    ),
    Case(
        "aodnet", "AOD-Net, published naming", "aodnet", {}, "rocket", 256, 0.0, write_published, "output",
        "conv4.weight",
    ),
)  # fmt: skip
