"""Published weights into networks that somebody else wrote: other names, nesting, order, norms without weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("mindspore")

import mindspore
import torch
from mindspore import nn, ops

import twinzoo as tz
from twinzoo.converters import files
from twinzoo.converters.targets import file_keys, published
from twinzoo.zoo import registry
from twinzoo.zoo.errors import ConversionError, IncompleteConversionError
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.vocabulary import native_extras

VGG = {"classes": 10, "width": 4, "hidden": 16}
CONVS = (2, 2, 3, 3, 3)


def published_file(spec: Spec, path: Path) -> Path:
    """The spec's seeded state under the keys of its first published naming."""
    state = initial_state(spec, 3) | native_extras(spec, "torch")
    keys = file_keys(spec, "torch", next(iter(published(spec))))
    files.write(path, {key: state[name] for name, key in keys.items()})
    return path


def output_of(cell: Any, image: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    cell.set_train(False)
    made: np.ndarray[Any, Any] = cell(mindspore.Tensor(image)).asnumpy()
    return made


def same_as_twin(spec: Spec, weights: Path, cell: Any, size: int = 32) -> bool:
    """Whether the cell computes what the torch twin with the same file does."""
    image = np.random.default_rng(0).normal(size=(1, 3, size, size)).astype(np.float32)
    with torch.no_grad():
        wanted = tz.build(spec, "torch", weights=weights)(torch.from_numpy(image)).numpy()
    return bool(np.allclose(output_of(cell, image), wanted, atol=2e-4 * float(np.abs(wanted).max()) + 1e-6))


class Stage(nn.Cell):  # type: ignore[misc]
    """Some blocks of VGG's convolutions, each ended by a pooling."""

    def __init__(self, channels: int, blocks: list[tuple[int, int]]) -> None:
        super().__init__()
        layers: list[Any] = []
        for width, count in blocks:
            for _ in range(count):
                layers += [nn.Conv2d(channels, width, 3, pad_mode="pad", padding=1, has_bias=True), nn.ReLU()]
                channels = width
            layers.append(nn.MaxPool2d(2, 2))
        self.body = nn.SequentialCell(*layers)

    def construct(self, x: Any) -> Any:
        return self.body(x)


class SlicedVgg(nn.Cell):  # type: ignore[misc]
    """VGG16 in three slices, and the head declared before them, last part first."""

    def __init__(self) -> None:
        super().__init__()
        self.classify = nn.Dense(16, 10)
        self.hidden = nn.SequentialCell(nn.Dense(32 * 49, 16), nn.ReLU(), nn.Dense(16, 16), nn.ReLU())
        self.deep = Stage(16, [(32, 3), (32, 3)])
        self.middle = Stage(8, [(16, 3)])
        self.shallow = Stage(3, [(4, 2), (8, 2)])
        self.pool = nn.AdaptiveAvgPool2d(7)

    def construct(self, image: Any) -> Any:
        x = self.deep(self.middle(self.shallow(image)))
        return self.classify(self.hidden(ops.flatten(self.pool(x))))


class NamelessVgg(nn.Cell):  # type: ignore[misc]
    """VGG16 whose layers are declared in random order under random names."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        rng = np.random.default_rng(seed)
        widths = [w for w, count in zip((4, 8, 16, 32, 32), CONVS, strict=True) for _ in range(count)]
        makers = [
            lambda i=i, o=o: nn.Conv2d(i, o, 3, pad_mode="pad", padding=1, has_bias=True)
            for i, o in zip([3, *widths], widths, strict=False)
        ]
        makers += [lambda i=i, o=o: nn.Dense(i, o) for i, o in ((32 * 49, 16), (16, 16), (16, 10))]
        self.names = ["".join(rng.choice(list("abcdefgh"), 8)) for _ in makers]
        for number in rng.permutation(len(makers)):
            setattr(self, self.names[number], makers[number]())
        self.pool = nn.AdaptiveAvgPool2d(7)

    def construct(self, image: Any) -> Any:
        names = iter(self.names)
        x = image
        for count in CONVS:
            for _ in range(count):
                x = ops.relu(getattr(self, next(names))(x))
            x = ops.max_pool2d(x, 2, 2)
        x = ops.flatten(self.pool(x))
        x = ops.relu(getattr(self, next(names))(x))
        x = ops.relu(getattr(self, next(names))(x))
        return getattr(self, next(names))(x)


@pytest.mark.parametrize("make", [SlicedVgg, lambda: NamelessVgg(0), lambda: NamelessVgg(1)])
@pytest.mark.parametrize("known", [True, False])
def test_vgg_into_other_networks(make: Any, known: bool, tmp_path: Path) -> None:
    """With the network of the file known by its graph; with the file alone by the order in which the target runs."""
    spec = tz.spec("vgg16", **VGG)
    weights = published_file(spec, tmp_path / "vgg16.pth")
    cell = make()
    found = tz.convert(weights, cell, tmp_path / "out.ckpt", source_model=spec if known else None)
    assert {pair.how for pair in found.pairs} <= ({"graph"} if known else {"graph", "order"})
    assert same_as_twin(spec, weights, cell)
    loaded = make()
    mindspore.load_param_into_net(loaded, mindspore.load_checkpoint(str(tmp_path / "out.ckpt")), strict_load=True)
    assert same_as_twin(spec, weights, loaded)


def test_a_file_whose_names_are_random_needs_its_network(tmp_path: Path) -> None:
    """Nothing but a graph tells equal layers apart; the keys of a stranger's file have none."""
    source = NamelessVgg(5)
    mindspore.save_checkpoint(source, str(tmp_path / "strange.ckpt"))
    spec = tz.spec("vgg16", **VGG)
    with pytest.raises(IncompleteConversionError, match="ambiguous"):
        tz.convert(tmp_path / "strange.ckpt", spec)
    found = tz.convert(
        tmp_path / "strange.ckpt", spec, tmp_path / "known.pth", source_model=source, naming="torchvision"
    )
    assert {pair.how for pair in found.pairs} == {"graph"}
    assert same_as_twin(spec, tmp_path / "known.pth", source)


class Residual(nn.Cell):  # type: ignore[misc]
    def __init__(self, width: int, padded: bool = True) -> None:
        super().__init__()
        self.second = Unit(width, width, 3)
        self.first = Unit(width, width, 3)

    def construct(self, x: Any) -> Any:
        inner = ops.relu(self.first(ops.pad(x, (1, 1, 1, 1), mode="reflect")))
        return x + self.second(ops.pad(inner, (1, 1, 1, 1), mode="reflect"))


class Unit(nn.Cell):  # type: ignore[misc]
    """A convolution and an instance norm, written as MindSpore's GroupNorm with a group for each channel."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(outputs, outputs, 1e-5)
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, "pad", padding, has_bias=True)

    def construct(self, x: Any) -> Any:
        return self.norm(self.conv(x))


class Up(nn.Cell):  # type: ignore[misc]
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(outputs, outputs, 1e-5)
        self.conv = nn.Conv2dTranspose(inputs, outputs, 3, 2, "pad", (1, 0, 1, 0), has_bias=True)

    def construct(self, x: Any) -> Any:
        return self.norm(self.conv(x))


class CycleGan(nn.Cell):  # type: ignore[misc]
    """The ResNet generator with two blocks, as somebody wrote it in MindSpore."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.out = nn.Conv2d(width, 3, 7, 1, "pad", 0, has_bias=True)
        self.ups = nn.CellList([Up(4 * width, 2 * width), Up(2 * width, width)])
        self.blocks = nn.CellList([Residual(4 * width) for _ in range(2)])
        self.downs = nn.CellList([Unit(width, 2 * width, 3, 2, 1), Unit(2 * width, 4 * width, 3, 2, 1)])
        self.stem = Unit(3, width, 7)
        self.pad = nn.ReflectionPad2d(3)

    def construct(self, image: Any) -> Any:
        x = ops.relu(self.stem(self.pad(image)))
        for down in self.downs:
            x = ops.relu(down(x))
        for block in self.blocks:
            x = block(x)
        for up in self.ups:
            x = ops.relu(up(x))
        return ops.tanh(self.out(self.pad(x)))


def test_cyclegan_into_norms_that_keep_what_they_do_not_use(tmp_path: Path) -> None:
    spec = tz.spec("resnet_generator", **registry.entry("resnet_generator").small)
    weights = published_file(spec, tmp_path / "cyclegan.pth")
    cell = CycleGan(4)
    found = tz.convert(weights, cell, tmp_path / "out.ckpt", source_model=spec)
    assert {pair.how for pair in found.pairs} == {"graph"}
    assert sum("made: 1 everywhere" in words for words in found.changes.values()) == 9
    assert same_as_twin(spec, weights, cell)
    back = tz.convert(
        tmp_path / "out.ckpt", spec, tmp_path / "back.pth", source_model=cell, naming=next(iter(published(spec)))
    )
    assert "the gamma and beta of a norm that uses none" in back.dropped.values()
    assert dict_equal(files.read(tmp_path / "back.pth"), files.read(weights))


def test_a_norm_that_was_trained_is_not_dropped(tmp_path: Path) -> None:
    spec = tz.spec("resnet_generator", **registry.entry("resnet_generator").small)
    cell = CycleGan(4)
    cell.stem.norm.gamma.set_data(mindspore.Tensor(np.full(4, 1.5, np.float32)))
    with pytest.raises(ConversionError, match="not 1 everywhere"):
        tz.convert(cell, spec)


def dict_equal(a: Any, b: Any) -> bool:
    return list(a) == list(b) and all(np.asarray(a[key]).tobytes() == np.asarray(b[key]).tobytes() for key in a)


@pytest.mark.parametrize("port", ["torch", "mindspore"])
def test_a_twin_as_the_network_of_a_file(port: str, tmp_path: Path) -> None:
    """The file has published names, the twin its own; both are live, so both are run in the end."""
    spec = tz.spec("vgg16_bn", **VGG)
    weights = published_file(spec, tmp_path / "vgg.pth")
    twin = tz.build(spec, port, weights=weights, seed=5)
    found = tz.convert(weights, tz.build(spec, "torch", seed=1), source_model=twin)
    assert found.agreement is not None
    assert found.agreement.ok
    assert len(found.pairs) == len(files.read(weights))
