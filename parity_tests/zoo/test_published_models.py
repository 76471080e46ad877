"""Models against PyTorch modules nested as the published ones are: same keys, same numbers.

The modules here are written from the papers' tables and the published key lists, with nothing of twinzoo's; the specs
run in the reference port.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from parity_tests.zoo.published import file_keys, published_keys
from twinzoo.zoo import registry
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.naming import module_paths
from twinzoo.zoo.spec import Node, Spec

JUNYANZ = "junyanz/pytorch-CycleGAN-and-pix2pix"
CUT = "taesungp/contrastive-unpaired-translation"


def _norm(norm: str, channels: int) -> Any:
    from torch import nn

    return nn.BatchNorm2d(channels) if norm == "batch" else nn.InstanceNorm2d(channels)


def _unet_level(level: int, depth: int, norm: str, width: int, dropout: float) -> Any:
    import torch
    from torch import nn

    class Level(nn.Module):
        def __init__(self, modules: list[Any]) -> None:
            super().__init__()
            self.model = nn.Sequential(*modules)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.model(x)
            return y if level == 1 else torch.cat([x, y], 1)

    outer, inner = (width * min(2**i, 8) for i in (level - 2, level - 1))
    bias = norm == "instance"
    deepest = level == depth
    if level == 1:
        below = _unet_level(2, depth, norm, width, dropout)
        down = nn.Conv2d(3, width, 4, 2, 1, bias=bias)
        return Level([down, below, nn.ReLU(True), nn.ConvTranspose2d(2 * width, 3, 4, 2, 1), nn.Tanh()])
    down = nn.Conv2d(outer, inner, 4, 2, 1, bias=bias)
    up = nn.ConvTranspose2d(inner * (1 if deepest else 2), outer, 4, 2, 1, bias=bias)
    middle = [] if deepest else [_norm(norm, inner), _unet_level(level + 1, depth, norm, width, dropout)]
    drop = [nn.Dropout(dropout)] if 5 <= level < depth else []
    return Level([nn.LeakyReLU(0.2, True), down, *middle, nn.ReLU(True), up, _norm(norm, outer), *drop])


def unet(depth: int, norm: str, width: int) -> Any:
    from torch import nn

    return nn.Sequential(OrderedDict(model=_unet_level(1, depth, norm, width, 0.5)))


def _blur(channels: int, up: bool) -> Any:
    import torch
    from torch import nn
    from torch.nn import functional

    class Blur(nn.Module):
        filt: torch.Tensor

        def __init__(self) -> None:
            super().__init__()
            taps = torch.tensor([1.0, 3.0, 3.0, 1.0] if up else [1.0, 2.0, 1.0])
            square = taps[:, None] * taps[None, :] / taps.sum() ** 2 * (4 if up else 1)
            self.register_buffer("filt", square.repeat(channels, 1, 1, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            padded = functional.pad(x, (1, 1, 1, 1), mode="replicate" if up else "reflect")
            if not up:
                return functional.conv2d(padded, self.filt, stride=2, groups=channels)
            wide = functional.conv_transpose2d(padded, self.filt, stride=2, padding=2, groups=channels)
            return wide[:, :, 1:-1, 1:-1]

    return Blur()


def _resnet_block(channels: int, norm: str, padding: str, dropout: float) -> Any:
    import torch
    from torch import nn

    pads: dict[str, list[Any]] = {
        "reflect": [nn.ReflectionPad2d],
        "replicate": [nn.ReplicationPad2d],
        "zero": [],
    }
    own = 1 if padding == "zero" else 0
    bias = norm == "instance"

    def conv() -> list[Any]:
        padded = [pad(1) for pad in pads[padding]]
        return [*padded, nn.Conv2d(channels, channels, 3, padding=own, bias=bias), _norm(norm, channels)]

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            drop = [nn.Dropout(dropout)] if dropout else []
            self.conv_block = nn.Sequential(*conv(), nn.ReLU(True), *drop, *conv())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.conv_block(x)
            return x + y

    return Block()


def resnet(width: int, blocks: int, norm: str, padding: str, antialias: bool, dropout: float) -> Any:
    from torch import nn

    bias = norm == "instance"
    modules: list[Any] = [nn.ReflectionPad2d(3), nn.Conv2d(3, width, 7, bias=bias), _norm(norm, width), nn.ReLU(True)]
    for channels in (width, 2 * width):
        stride = 1 if antialias else 2
        modules += [nn.Conv2d(channels, 2 * channels, 3, stride, 1, bias=bias), _norm(norm, 2 * channels)]
        modules += [nn.ReLU(True), *([_blur(2 * channels, up=False)] if antialias else [])]
    modules += [_resnet_block(4 * width, norm, padding, dropout) for _ in range(blocks)]
    for channels in (4 * width, 2 * width):
        half = channels // 2
        if antialias:
            modules += [_blur(channels, up=True), nn.Conv2d(channels, half, 3, 1, 1, bias=bias)]
        else:
            modules += [nn.ConvTranspose2d(channels, half, 3, 2, 1, output_padding=1, bias=bias)]
        modules += [_norm(norm, half), nn.ReLU(True)]
    modules += [nn.ReflectionPad2d(3), nn.Conv2d(width, 3, 7), nn.Tanh()]
    return nn.Sequential(OrderedDict(model=nn.Sequential(*modules)))


def patchgan(width: int, layers: int, norm: str, antialias: bool) -> Any:
    from torch import nn

    stride = 1 if antialias else 2
    blur = [_blur(width, up=False)] if antialias else []
    modules: list[Any] = [nn.Conv2d(3, width, 4, stride, 1), nn.LeakyReLU(0.2, True), *blur]
    channels = width
    for i in range(1, layers + 1):
        wider = width * min(2**i, 8)
        last = i == layers
        conv = nn.Conv2d(channels, wider, 4, 1 if last else stride, 1, bias=norm == "instance")
        blur = [_blur(wider, up=False)] if antialias and not last else []
        modules += [conv, _norm(norm, wider), nn.LeakyReLU(0.2, True), *blur]
        channels = wider
    return nn.Sequential(OrderedDict(model=nn.Sequential(*modules, nn.Conv2d(channels, 1, 4, 1, 1))))


def pixelgan(width: int, norm: str) -> Any:
    from torch import nn

    bias = norm == "instance"
    first: list[Any] = [nn.Conv2d(3, width, 1), nn.LeakyReLU(0.2, True)]
    second = [nn.Conv2d(width, 2 * width, 1, bias=bias), _norm(norm, 2 * width), nn.LeakyReLU(0.2, True)]
    return nn.Sequential(OrderedDict(net=nn.Sequential(*first, *second, nn.Conv2d(2 * width, 1, 1, bias=bias))))


RESNET: dict[str, Any] = {
    "width": 4,
    "blocks": 2,
    "norm": "instance",
    "padding": "reflect",
    "antialias": False,
    "dropout": 0.0,
}
CASES: list[tuple[str, Any, str, dict[str, Any], int]] = [
    ("unet", unet, JUNYANZ, {"depth": 6, "norm": "batch", "width": 4}, 64),
    ("unet", unet, JUNYANZ, {"depth": 5, "norm": "instance", "width": 4}, 64),
    ("unet", unet, JUNYANZ, {"depth": 2, "norm": "batch", "width": 4}, 12),
    ("patchgan", patchgan, JUNYANZ, {"width": 4, "layers": 3, "norm": "batch", "antialias": False}, 64),
    ("patchgan", patchgan, JUNYANZ, {"width": 4, "layers": 5, "norm": "instance", "antialias": False}, 107),
    ("patchgan", patchgan, CUT, {"width": 4, "layers": 2, "norm": "instance", "antialias": True}, 40),
    ("pixelgan", pixelgan, JUNYANZ, {"width": 4, "norm": "batch"}, 7),
    ("pixelgan", pixelgan, JUNYANZ, {"width": 4, "norm": "instance"}, 7),
    ("resnet_generator", resnet, JUNYANZ, RESNET, 24),
    ("resnet_generator", resnet, JUNYANZ, RESNET | {"norm": "batch", "dropout": 0.5, "blocks": 1}, 16),
    ("resnet_generator", resnet, JUNYANZ, RESNET | {"padding": "zero", "dropout": 0.5}, 16),
    ("resnet_generator", resnet, JUNYANZ, RESNET | {"padding": "replicate"}, 16),
    ("resnet_generator", resnet, CUT, RESNET | {"antialias": True}, 24),
    ("resnet_generator", resnet, JUNYANZ, RESNET | {"blocks": 0}, 16),
]


def _reference(spec: Spec, state: dict[str, NDArray[np.float32]], image: NDArray[np.float64]) -> dict[str, Any]:
    from twinzoo.ports.reference.port import PORT

    model = PORT.build(spec)
    PORT.load(model, state)
    return PORT.run(model, {"image": image})


def _lively(spec: Spec) -> dict[str, NDArray[np.float32]]:
    """Weights large enough that every layer matters, and statistics that are not those of a fresh network."""
    state = initial_state(spec, seed=3)
    draw = np.random.default_rng(3)
    for name, value in state.items():
        role = name.rpartition(".")[2]
        if role == "weight" and value.ndim > 1:
            state[name] = value * np.float32(1 / (0.02 * np.sqrt(value[0].size)))
        elif role in ("bias", "running_mean"):
            state[name] = draw.normal(0, 0.1, value.shape).astype(np.float32)
        elif role == "running_var":
            state[name] = draw.uniform(0.5, 2, value.shape).astype(np.float32)
    return state


@pytest.mark.parametrize(("name", "build", "naming", "options", "size"), CASES)
def test_same_keys_and_same_numbers(name: str, build: Any, naming: str, options: dict[str, Any], size: int) -> None:
    torch = pytest.importorskip("torch")
    spec = registry.spec(name, **options)
    network = build(**options).double().eval()
    theirs = network.state_dict()
    assert list(file_keys(spec, naming).items()) == [(k, tuple(v.shape)) for k, v in theirs.items()]

    state = _lively(spec)
    keys = published_keys(spec, naming)
    fresh_filters = {keys[n]: v for n, v in state.items() if n.endswith("filt")}
    for key, value in fresh_filters.items():
        np.testing.assert_array_equal(theirs[key].numpy(), value)
    carried = {keys[n]: torch.from_numpy(v).double() for n, v in state.items()}
    counters = {key: torch.zeros(()) for key in file_keys(spec, naming).keys() - set(keys.values())}
    network.load_state_dict(carried | counters)
    image = np.random.default_rng(0).uniform(-1, 1, (2, 3, size, size))
    with torch.no_grad():
        expected = network(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(_reference(spec, state, image)["output"], expected, rtol=1e-9, atol=1e-9)


def test_dropout_is_where_the_pytorch_code_has_it() -> None:
    """On the levels between the fifth and the deepest; the paper has it one level deeper."""
    masks = registry.spec("unet", width=4).draws
    assert list(masks) == ["up7_dropout_mask", "up6_dropout_mask", "up5_dropout_mask"]
    assert [str(draw.shape[2]) for draw in masks.values()] == ["H/64", "H/32", "H/16"]
    assert not registry.spec("unet", width=4, dropout=0).draws
    assert not registry.spec("resnet_generator", width=4).draws
    assert len(registry.spec("resnet_generator", width=4, dropout=0.5).draws) == 9


KINDS = {
    "add": "Block",
    "batch_norm": "BatchNorm2d",
    "blur2d": "Blur",
    "blur_transpose2d": "Blur",
    "concat": "Level",
    "conv2d": "Conv2d",
    "conv_transpose2d": "ConvTranspose2d",
    "dropout": "Dropout",
    "instance_norm": "InstanceNorm2d",
    "leaky_relu": "LeakyReLU",
    "linear": "Linear",
    "max_pool2d": "MaxPool2d",
    "relu": "ReLU",
    "tanh": "Tanh",
}
PADS = {"reflect": "ReflectionPad2d", "replicate": "ReplicationPad2d"}


def _kind(node: Node) -> str:
    return PADS[node.attrs["mode"]] if node.op == "pad2d" else KINDS[node.op]


@pytest.mark.parametrize(("name", "build", "naming", "options", "size"), CASES)
def test_every_module_has_its_node(name: str, build: Any, naming: str, options: dict[str, Any], size: int) -> None:
    """Norms and dropout without parameters, activations and padding too: each is where the published module is."""
    pytest.importorskip("torch")
    spec = registry.spec(name, **options)
    named = {path: _kind(spec.nodes[node]) for node, path in module_paths(spec, naming).items()}
    modules = {path: type(module).__name__ for path, module in build(**options).named_modules()}
    assert named == {path: kind for path, kind in modules.items() if kind != "Sequential" and path != "model"}


@pytest.mark.parametrize("name", ["vgg16", "vgg19_bn"])
def test_every_module_of_torchvision_has_its_node(name: str) -> None:
    torch = pytest.importorskip("torch")
    vgg = pytest.importorskip("torchvision.models.vgg")
    with torch.device("meta"):
        network = getattr(vgg, name)()
    spec = registry.spec(name)
    named = {path: _kind(spec.nodes[node]) for node, path in module_paths(spec, "torchvision").items()}
    modules = {path: type(module).__name__ for path, module in network.named_modules() if "." in path}
    assert named == modules


def test_vgg_features_are_those_of_torchvision() -> None:
    torch = pytest.importorskip("torch")
    vgg = pytest.importorskip("torchvision.models.vgg")
    spec = registry.spec("vgg16_bn", taps=("relu2_2", "pool1", "conv1_2"))
    with torch.device("meta"):
        features = vgg.vgg16_bn().features[:13]
    features = features.to_empty(device="cpu").double().eval()
    state = _lively(spec)
    keys = published_keys(spec, "torchvision")
    carried = {keys[n].removeprefix("features."): torch.from_numpy(v).double() for n, v in state.items()}
    counters = {k: torch.zeros(()) for k in features.state_dict() if k.endswith("num_batches_tracked")}
    features.load_state_dict(carried | counters)
    image = np.random.default_rng(0).uniform(-2, 2, (1, 3, 18, 14))
    outputs = _reference(spec, state, image)
    assert list(outputs) == ["relu2_2", "pool1", "conv1_2"]
    with torch.no_grad():
        for tap, stop in (("conv1_2", 4), ("pool1", 7), ("relu2_2", 13)):
            expected = features[:stop](torch.from_numpy(image)).numpy()
            np.testing.assert_allclose(outputs[tap], expected, rtol=1e-9, atol=1e-9)


def test_vgg_classifier_is_that_of_torchvision() -> None:
    torch = pytest.importorskip("torch")
    nn = torch.nn
    spec = registry.spec("vgg16", classes=5, width=2, hidden=6)
    convs: list[Any] = []
    channels = 3
    for i, count in enumerate((2, 2, 3, 3, 3)):
        for _ in range(count):
            convs += [nn.Conv2d(channels, 2 * min(2**i, 8), 3, padding=1), nn.ReLU()]
            channels = 2 * min(2**i, 8)
        convs.append(nn.MaxPool2d(2, 2))
    head = [nn.Linear(16 * 49, 6), nn.ReLU(), nn.Dropout(), nn.Linear(6, 6), nn.ReLU(), nn.Dropout(), nn.Linear(6, 5)]
    network = nn.ModuleDict({"features": nn.Sequential(*convs), "classifier": nn.Sequential(*head)}).double().eval()
    state = _lively(spec)
    keys = published_keys(spec, "torchvision")
    network.load_state_dict({keys[n]: torch.from_numpy(v).double() for n, v in state.items()})
    image = np.random.default_rng(0).uniform(-2, 2, (2, 3, 70, 45))
    with torch.no_grad():
        pooled = nn.functional.adaptive_avg_pool2d(network["features"](torch.from_numpy(image)), 7)
        expected = network["classifier"](pooled.flatten(1)).numpy()
    np.testing.assert_allclose(_reference(spec, state, image)["output"], expected, rtol=1e-9, atol=1e-9)
