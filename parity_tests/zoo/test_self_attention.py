"""Self-attention in the generators of improved CycleGAN: SAGAN's, in its place, and nothing at first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from twinzoo.converters.convert import convert
from twinzoo.ports.reference.port import PORT
from twinzoo.zoo import registry
from twinzoo.zoo.init import initial_state
from twinzoo.zoo.models.blocks import self_attention
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.show import parameter_count

Array = NDArray[Any]


def block(channels: int) -> Spec:
    """The block alone."""
    spec = Spec("block")
    spec.output(output=self_attention(spec, "attention", spec.input("image", channels=channels, example=8)))
    return spec


def sagan(channels: int, *, transposed: bool = True) -> Any:
    """The layer of public SAGAN code, where the scale is a parameter of the module itself."""
    import torch
    from torch import nn

    class Attention(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.query_conv = nn.Conv2d(channels, channels // 8, 1)
            self.key_conv = nn.Conv2d(channels, channels // 8, 1)
            self.value_conv = nn.Conv2d(channels, channels, 1)
            self.gamma = nn.Parameter(torch.full((1,), 0.7))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            n, c, h, w = x.shape
            query = self.query_conv(x).view(n, -1, h * w).permute(0, 2, 1)
            attention = torch.softmax(torch.bmm(query, self.key_conv(x).view(n, -1, h * w)), dim=-1)
            if transposed:
                attention = attention.permute(0, 2, 1)
            out = torch.bmm(self.value_conv(x).view(n, -1, h * w), attention).view(n, c, h, w)
            return self.gamma * out + x

    return Attention()


NAMES = {"attention_query": "query_conv", "attention_key": "key_conv", "attention_value": "value_conv"}


def by_both(transposed: bool) -> tuple[Array, Array]:
    """What a public layer makes of an image that is not square, and what the spec makes with its weights."""
    torch = pytest.importorskip("torch")
    theirs = sagan(16, transposed=transposed).double()
    state = theirs.state_dict()
    spec = block(16)
    ours = {f"{a}.{role}": state[f"{b}.{role}"].numpy() for a, b in NAMES.items() for role in ("weight", "bias")}
    model = PORT.build(spec)
    PORT.load(model, ours | {"attention_gamma.weight": state["gamma"].numpy()})
    image = np.random.default_rng(0).normal(0, 2, (2, 16, 5, 3))
    with torch.no_grad():
        return theirs(torch.from_numpy(image)).numpy(), PORT.run(model, {"image": image})["output"]


def test_it_is_that_of_sagan() -> None:
    expected, made = by_both(transposed=True)
    # The reference keeps weights in float32.
    np.testing.assert_allclose(made, expected, rtol=1e-5, atol=1e-5)


def test_the_usual_porting_error_shows() -> None:
    """The attention left as it is, queries where keys belong: shapes fit all the same."""
    expected, made = by_both(transposed=False)
    assert np.abs(made - expected).max() > 0.1


def test_a_strangers_layer_fills_it() -> None:
    """`self.gamma * out` is the learned scale, whatever its name."""
    pytest.importorskip("torch")
    source, spec = sagan(8), block(8)
    done = convert(source, spec, inputs=np.zeros((1, 8, 8, 8), np.float32))
    theirs = {name: value.numpy() for name, value in source.state_dict().items()}
    assert np.array_equal(np.asarray(done.state["attention_gamma.weight"]), theirs["gamma"])
    for ours, name in NAMES.items():
        assert np.array_equal(np.asarray(done.state[f"{ours}.weight"]), theirs[f"{name}.weight"])


@pytest.mark.parametrize(
    ("name", "plain", "options"),
    [
        ("self_attention_unet", "unet", {"width": 4, "depth": 4, "norm": "instance", "dropout": 0.0}),
        ("self_attention_resnet", "resnet_generator", {"width": 4, "blocks": 1}),
    ],
)
def test_at_first_it_is_the_network_without(name: str, plain: str, options: dict[str, Any]) -> None:
    """The scale starts at 0; with any other the whole map changes."""
    image = np.random.default_rng(0).uniform(-1, 1, (1, 3, 16, 16))
    outputs = []
    for spec in (registry.spec(name, **options), registry.spec(plain, **options)):
        model = PORT.build(spec)
        PORT.load(model, initial_state(spec, 2))
        outputs.append(PORT.run(model, {"image": image})["output"])
        if spec.name == name:
            PORT.load(model, initial_state(spec, 2) | {"attention_gamma.weight": np.ones(1, np.float32)})
            scaled = PORT.run(model, {"image": image})["output"]
    assert np.array_equal(outputs[0], outputs[1])
    assert (scaled != outputs[0]).mean() > 0.9


@pytest.mark.parametrize("name", ["self_attention_unet", "self_attention_resnet"])
def test_it_attends_to_a_quarter_of_the_size(name: str) -> None:
    spec = registry.spec(name)
    sizes = {"N": 1, "H": 256, "W": 256}
    assert spec.concrete(spec.nodes["attention_shares"].outputs[0], sizes) == (1, 4096, 4096)
    assert spec.nodes["attention_shares"].attrs["axis"] == 2
    assert spec.concrete(spec.nodes["attention_add"].outputs[0], sizes) == (1, 256, 64, 64)
    assert not [node for node in spec.nodes.values() if node.op == "batch_norm"]


def test_counts() -> None:
    """Those of the plain networks, three 1x1 convolutions of 256 channels and a scale."""
    attention = 2 * (256 * 32 + 32) + 256 * 256 + 256 + 1
    assert parameter_count(registry.spec("self_attention_unet")) == 54_409_603 + attention
    assert parameter_count(registry.spec("self_attention_resnet")) == 11_378_179 + attention
