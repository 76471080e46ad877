"""Two networks that are not the same: what one has and the other has not is said in words a person would use."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from twinzoo.converters.graph import Graph
from twinzoo.converters.layers import layers_of
from twinzoo.converters.matching.differences import describe, differences
from twinzoo.converters.spec_graph import graph_of_spec
from twinzoo.zoo import registry
from twinzoo.zoo.spec import Spec, Value


def drawn(draw: Callable[[Spec, Value], Value]) -> Graph:
    s = Spec("drawn")
    s.output(y=draw(s, s.input("image", channels=4)))
    return graph_of_spec(s)


def told(source: Graph, target: Graph) -> list[str]:
    return differences(source.layers, target.layers, (source, target))


def chain(*kinds: str) -> Graph:
    def draw(s: Spec, x: Value) -> Value:
        for number, kind in enumerate(kinds):
            if kind == "norm":
                x = s.batch_norm(f"norm{number}", x)
            else:
                x = s.conv2d(f"conv{number}", x, 4, kernel=int(kind), padding=int(kind) // 2)
        return x

    return drawn(draw)


def test_nothing_differs_between_equal_networks() -> None:
    assert told(chain("3", "norm", "1"), chain("3", "norm", "1")) == []


def test_an_extra_layer() -> None:
    assert told(chain("3", "norm", "1"), chain("3", "1")) == ["only the source has norm1 (batch_norm 4)"]
    assert told(chain("3", "1"), chain("3", "5", "1")) == ["only the target has conv1 (conv2d 4->4 k5x5)"]


def test_a_norm_that_was_folded() -> None:
    (line,) = told(chain("5", "3", "norm"), chain("5", "3"))
    assert line == "only the source has norm2 (batch_norm 4)"


def test_layers_in_place_of_others() -> None:
    (line,) = told(chain("1", "3", "1"), chain("1", "5", "1"))
    assert line == "the source has conv1 (conv2d 4->4 k3x3) where the target has conv1 (conv2d 4->4 k5x5)"


def test_blocks_are_counted() -> None:
    (line,) = told(chain("1", *["3", "norm"] * 5), chain("1"))
    assert line.startswith("only the source has 5 blocks of 2 layers, the first conv1 (conv2d 4->4 k3x3), norm2")
    (line,) = told(chain("1"), chain("1", *["3"] * 4))
    assert line == "only the target has 4 times conv1 (conv2d 4->4 k3x3)"


def residual(own: bool, times: int = 9) -> Graph:
    s = Spec("residual")
    x = s.input("image", channels=4)
    block = Spec("block")
    y = block.input("x", channels=4)
    for number in range(2):
        y = block.conv2d(f"conv{number}", y, 4, kernel=3, padding=1)
    block.output(y=y)
    roles = [s.role(f"block{number}", block) for number in range(times if own else 1)]
    for number in range(times):
        (x,) = s.call(f"run{number}", roles[number % len(roles)], x)
    s.output(y=x)
    return graph_of_spec(s)


def test_nine_blocks_against_one_shared_block() -> None:
    (line,) = told(residual(own=True), residual(own=False))
    assert line == (
        "the block of block0.conv0, block0.conv1 runs 9 times in the target, with one set of weights; "
        "the source has 9 sets (block0.conv0, block1.conv0, block2.conv0, ...)"
    )
    (line,) = told(residual(own=False), residual(own=True))
    assert "runs 9 times in the source" in line


def test_a_packed_layer_against_its_parts() -> None:
    source = layers_of({"q.weight": (4, 4), "k.weight": (4, 4), "v.weight": (4, 4), "out.weight": (4, 8)})
    target = layers_of({"qkv.weight": (12, 4), "out.weight": (4, 8)})
    assert differences(source, target) == ["the source has q, k, v apart, which the target has packed in qkv"]
    assert differences(target, source) == ["the target has q, k, v apart, which the source has packed in qkv"]


def test_keys_alone_tell_differences_too() -> None:
    source = layers_of({f"{name}.weight": (4, 4, 3, 3) for name in "abc"})
    target = layers_of({f"{name}.weight": (4, 4, 3, 3) for name in "xy"})
    assert differences(source, target) == ["only the source has c (conv2d 4->4 k3x3)"]


@pytest.mark.parametrize(
    ("model", "layer", "words"),
    [
        ("unet", "down2_conv", "conv2d 64->128 k4x4"),
        ("unet", "up1_conv", "conv_transpose2d 128->3 k4x4"),
        ("unet", "down2_norm", "batch_norm 128"),
        ("vgg16", "fc6", "linear 25088->4096"),
    ],
)
def test_layers_in_a_few_words(model: str, layer: str, words: str) -> None:
    assert describe(graph_of_spec(registry.spec(model)).layers[layer]) == words
