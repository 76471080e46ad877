"""Every published naming, both ways: a published file becomes MindSpore's and comes back key for key, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import twinzoo as tz
from parity_tests.zoo.golden_arrays import Array, small, weights
from twinzoo.converters import files
from twinzoo.converters.targets import file_keys
from twinzoo.zoo import registry
from twinzoo.zoo.errors import IncompleteConversionError
from twinzoo.zoo.spec.vocabulary import native_extras

registry.load()
NAMINGS = [(name, naming) for name, entry in registry.MODELS.items() for naming in entry.namings]

PROMISED = {
    "adain_decoder": "naoto0804/pytorch-AdaIN",
    "cut_generator": "taesungp/contrastive-unpaired-translation",
    "eccv16": "richzhang/colorization",
    "epdn_generator": "ErinChen1/EPDN",
    "johnson_transformer": "pytorch/examples",
    "memory_discriminator": "dongheehand/MemoPainter-PyTorch",
    "memory_generator": "dongheehand/MemoPainter-PyTorch",
    "multiscale_discriminator": "ErinChen1/EPDN",
    "patch_sampler": "taesungp/contrastive-unpaired-translation",
    "patchgan": "junyanz/pytorch-CycleGAN-and-pix2pix",
    "resnet_generator": "junyanz/pytorch-CycleGAN-and-pix2pix",
    "siggraph17": "richzhang/colorization",
    "unet": "junyanz/pytorch-CycleGAN-and-pix2pix",
    "vgg_normalised": "naoto0804/pytorch-AdaIN",
}


def test_what_is_promised_is_among_them() -> None:
    assert set(PROMISED.items()) <= set(NAMINGS)


def published_file(name: str, naming: str) -> dict[str, Array]:
    """What today's published code would save of a network in training: its keys in its order, counters that count."""
    spec = small(name)
    counters = {counter: np.array(7, np.int64) for counter in native_extras(spec, "torch")}
    state = weights(spec) | counters
    return {key: state[own] for own, key in file_keys(spec, "torch", naming).items()}


@pytest.mark.parametrize(("name", "naming"), NAMINGS)
def test_a_file_goes_to_mindspore_and_back(name: str, naming: str, tmp_path: Path) -> None:
    """Counters are PyTorch's alone: they come back as 0."""
    spec, given = small(name), published_file(name, naming)
    files.write(tmp_path / "given.pth", given)
    there = tz.convert(tmp_path / "given.pth", spec, tmp_path / "there.ckpt")
    assert {pair.how for pair in there.pairs} == {"name"}
    assert {own: value.tobytes() for own, value in there.state.items()} == {
        own: value.tobytes() for own, value in weights(spec).items()
    }
    tz.convert(tmp_path / "there.ckpt", spec, tmp_path / "back.pth", naming=naming)
    back = files.read(tmp_path / "back.pth")
    assert list(back) == list(given)
    for key, value in given.items():
        counts = key.endswith("num_batches_tracked")
        assert back[key].dtype == value.dtype and back[key].shape == value.shape
        assert back[key].tobytes() == (np.zeros((), np.int64) if counts else value).tobytes(), key


@pytest.mark.parametrize(("name", "naming"), NAMINGS)
def test_a_file_that_lacks_a_tensor_is_refused(name: str, naming: str) -> None:
    given = published_file(name, naming)
    gone = next(key for key in reversed(given) if not key.endswith("num_batches_tracked"))
    with pytest.raises(IncompleteConversionError):
        tz.convert({key: value for key, value in given.items() if key != gone}, small(name))
