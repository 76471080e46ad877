"""Graphs of live cells: networks of several styles, shared cells, several inputs and outputs, the zoo's own twins."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import twinzoo as tz
from twinzoo.converters.graph import Graph
from twinzoo.converters.spec_graph import graph_of_spec
from twinzoo.ports.mindspore.runtime import prepare
from twinzoo.zoo import registry

prepare()
ms = pytest.importorskip("mindspore")

from mindspore import Parameter, Tensor, nn, ops  # noqa: E402

from twinzoo.converters.live.mindspore.calls import Call  # noqa: E402
from twinzoo.converters.live.mindspore.layering import Layers  # noqa: E402
from twinzoo.converters.live.mindspore.model import arrays_of, trace  # noqa: E402
from twinzoo.converters.live.mindspore.parameters import entries  # noqa: E402
from twinzoo.converters.live.mindspore.recording import Recording  # noqa: E402

IMAGE = np.random.default_rng(0).standard_normal((1, 3, 16, 16)).astype(np.float32)


def without_names(graph: Graph) -> list[Any]:
    """The operations with their layers' kinds and signatures in place of all names."""
    order = {name: place for place, name in enumerate(dict.fromkeys(op.layer for op in graph.operations if op.layer))}
    return [
        (
            op.kind,
            op.operands,
            dict(op.attrs),
            (order[op.layer], graph.layers[op.layer].kind, graph.layers[op.layer].signature) if op.layer else None,
        )
        for op in graph.operations
    ]


def vgg_in_a_row() -> Any:
    """A VGG-like network as one SequentialCell."""
    return nn.SequentialCell(
        nn.Conv2d(3, 4, 3, pad_mode="pad", padding=1, has_bias=True),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2, 2),
        nn.Conv2d(4, 4, 3, pad_mode="pad", padding=1, has_bias=True),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Dense(16, 5),
        nn.Dropout(p=0.5),
        nn.LeakyReLU(0.1),
    )


class Block(nn.Cell):  # type: ignore[misc]
    """A part of the network below."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.rectify = ops.ReLU()
        self.standard = nn.BatchNorm2d(channels)
        self.mix = nn.Conv2d(channels_in, channels, 3, has_bias=True)

    def construct(self, image: Any) -> Any:
        """One convolution."""
        return self.rectify(self.standard(self.mix(image)))


class Nested(nn.Cell):  # type: ignore[misc]
    """The same in nested classes, defined in another order, under other names."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Dense(16, 5)
        self.late = Block(4, 4)
        self.early = Block(3, 4)
        self.pool = nn.MaxPool2d(2, 2)

    def construct(self, image: Any) -> Any:
        """Features, then the head."""
        x = self.late(self.pool(self.early(image)))
        x = ops.adaptive_avg_pool2d(x, (2, 2))
        return ops.leaky_relu(ops.dropout(self.head(x.reshape(x.shape[0], -1)), training=self.training), 0.1)


class Functional(nn.Cell):  # type: ignore[misc]
    """The same with parameters and functions alone."""

    def __init__(self) -> None:
        super().__init__()
        shapes = {"w1": (4, 3, 3, 3), "w2": (4, 4, 3, 3), "w3": (5, 16), "o3": (5,)}
        shapes |= {f"{word}{place}": (4,) for word in ("o", "g", "b", "m", "v") for place in (1, 2)}
        for name, shape in shapes.items():
            setattr(self, name, Parameter(Tensor(np.ones(shape, np.float32)), name=f"own_{name}"))

    def construct(self, x: Any) -> Any:
        """The same steps."""
        x = ops.bias_add(ops.conv2d(x, self.w1, pad_mode="pad", padding=1), self.o1)
        x = ops.relu(ops.batch_norm(x, self.m1, self.v1, self.g1, self.b1))
        x = ops.max_pool2d(x, 2, 2)
        x = ops.conv2d(x, self.w2, self.o2, pad_mode="same")
        x = ops.relu(ops.batch_norm(x, self.m2, self.v2, self.g2, self.b2))
        x = ops.flatten(ops.adaptive_avg_pool2d(x, 2))
        return ops.leaky_relu(ops.dense(x, self.w3, self.o3), alpha=0.1)


@pytest.mark.parametrize("other", [Nested, Functional])
def test_style_names_and_nesting_make_no_difference(other: Any) -> None:
    graph = trace(vgg_in_a_row(), (IMAGE,)).graph
    assert without_names(trace(other(), (IMAGE,)).graph) == without_names(graph)
    assert [op.kind for op in graph.operations][1:4] == ["conv2d", "batch_norm", "relu"]


def test_layers_are_named_as_in_a_checkpoint_and_listed_as_defined() -> None:
    graph = trace(Nested(), (IMAGE,)).graph
    expected = {
        "head": "linear",
        "late.standard": "batch_norm",
        "late.mix": "conv2d",
        "early.standard": "batch_norm",
        "early.mix": "conv2d",
    }
    assert {name: layer.kind for name, layer in graph.layers.items()} == expected
    assert list(graph.layers) == list(expected)
    assert graph.layers["early.standard"].tensors["running_var"].key == "early.standard.moving_variance"


def test_an_operation_has_the_path_that_the_users_code_has() -> None:
    names = [op.name for op in trace(Nested(), (IMAGE,)).graph.operations]
    assert names[:5] == ["image", "early.mix", "early.standard", "early.relu", "pool"]
    assert [op.name for op in trace(vgg_in_a_row(), (IMAGE,)).graph.operations][3:5] == ["2", "3"]


def test_layers_of_a_function_are_its_own_parameters() -> None:
    graph = trace(Functional(), (IMAGE,)).graph
    layer = graph.layers["own_w1+own_o1"]
    assert {role: tensor.key for role, tensor in layer.tensors.items()} == {"weight": "own_w1", "bias": "own_o1"}
    assert sorted(tensor.key for layer in graph.layers.values() for tensor in layer.tensors.values()) == sorted(
        arrays_of(Functional())
    )


class Skips(nn.Cell):  # type: ignore[misc]
    """A U-Net of two levels."""

    def __init__(self) -> None:
        super().__init__()
        self.down1 = nn.Conv2d(3, 4, 4, stride=2, pad_mode="pad", padding=1)
        self.down2 = nn.Conv2d(4, 6, 4, stride=2, pad_mode="pad", padding=1)
        self.up2 = nn.Conv2dTranspose(6, 4, 4, stride=2, pad_mode="pad", padding=1)
        self.up1 = nn.Conv2dTranspose(8, 3, 4, stride=2, pad_mode="pad", padding=1)

    def construct(self, x: Any) -> Any:
        """Down, up, and the skip."""
        low = self.down1(x)
        up = self.up2(ops.relu(self.down2(ops.leaky_relu(low, 0.2))))
        return self.up1(ops.relu(ops.cat([up, low], axis=1)))


def test_a_skip_joins_in_its_order() -> None:
    graph = trace(Skips(), (IMAGE,)).graph
    (join,) = [op for op in graph.operations if op.kind == "concat"]
    assert [graph.operations[source].name for source, _ in join.operands] == ["up2", "down1"]
    assert dict(join.attrs) == {"axis": 1}


class Shared(nn.Cell):  # type: ignore[misc]
    """Residual blocks: one block four times, once by another name."""

    def __init__(self) -> None:
        super().__init__()
        self.block = nn.SequentialCell(nn.Conv2d(3, 3, 3), nn.ReLU())
        self.again = self.block
        self.row = nn.SequentialCell([nn.Conv2d(3, 3, 1)] * 2)

    def construct(self, x: Any) -> Any:
        """x + f(x), with the same f."""
        for _ in range(3):
            x = x + self.block(x)
        return self.row(self.again(x))


def test_a_shared_cell_is_several_operations_of_one_layer() -> None:
    graph = trace(Shared(), (IMAGE,)).graph
    used = [op.layer for op in graph.operations if op.kind == "conv2d"]
    assert used == ["again.0"] * 4 + ["row.0"] * 2
    assert list(graph.layers) == ["again.0", "row.0"]


class Tied(nn.Cell):  # type: ignore[misc]
    """A table of features that is also the weight of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(5, 3)
        self.last = nn.Dense(3, 5)
        self.other = nn.Dense(3, 5)
        self.last.weight = self.other.weight = self.table.embedding_table

    def construct(self, indices: Any) -> Any:
        """Scores of each row."""
        features = self.table(indices)
        return self.last(features), self.other(features)


def test_a_tensor_that_layers_share_is_an_operand_of_those_after_the_first() -> None:
    done = trace(Tied(), values=True)
    graph = done.graph
    owned = {name: set(layer.tensors) for name, layer in graph.layers.items()}
    assert owned == {"table": {"weight"}, "last": {"bias"}, "other": {"bias"}}
    linear, other = [op for op in graph.operations if op.kind == "linear"]
    assert linear.operands == other.operands
    assert [op.kind for op in graph.operations].count("parameter") == 1
    places = [source for source, _ in linear.operands]
    assert [graph.operations[place].kind for place in places] == ["embedding", "parameter"]
    assert graph.operations[places[1]].layer == "table" and linear.layer == "last"
    assert done.values[places[1]].shape == (5, 3)


class Siamese(nn.Cell):  # type: ignore[misc]
    """One tower for two images, another argument that is optional, and outputs in several forms."""

    def __init__(self) -> None:
        super().__init__()
        self.tower = nn.Conv2d(3, 4, 3)

    def construct(self, left: Any, right: Any, scale: Any = None) -> Any:
        """Distances."""
        a, b = self.tower(left), self.tower(right)
        if scale is not None:
            b = b * scale
        return {"distance": ops.abs(a - b), "features": (a, [b])}


def test_several_inputs_and_outputs() -> None:
    done = trace(Siamese(), {"right": IMAGE + 1, "left": IMAGE})
    begin = [(op.name, dict(op.attrs)) for op in done.graph.operations if op.kind == "input"]
    assert begin == [("left", {"index": 0}), ("right", {"index": 1})]
    end = [(op.name, dict(op.attrs), op.operands) for op in done.graph.operations if op.kind == "output"]
    assert end == [
        ("distance", {"index": 0}, ((5, 0),)),
        ("features.0", {"index": 1}, ((2, 0),)),
        ("features.1.0", {"index": 2}, ((3, 0),)),
    ]
    assert list(done.outputs) == ["distance", "features.0", "features.1.0"]
    assert [op.layer for op in done.graph.operations[2:4]] == ["tower", "tower"]
    (left, right) = done.graph.operations[4].operands
    assert (left, right) == ((2, 0), (3, 0))
    np.testing.assert_array_equal(done.inputs["left"], IMAGE)


def test_an_optional_input_that_is_given() -> None:
    done = trace(Siamese(), (IMAGE, IMAGE, np.full((1,), 2.0, np.float32)))
    assert [op.name for op in done.graph.operations if op.kind == "input"] == ["left", "right", "scale"]
    assert "mul" in [op.kind for op in done.graph.operations]


def test_inputs_are_guessed_for_all_that_must_be_given() -> None:
    done = trace(Siamese())
    assert {name: value.shape for name, value in done.inputs.items()} == {
        "left": (1, 3, 16, 16),
        "right": (1, 3, 16, 16),
    }


class InTheOpen(nn.Cell):  # type: ignore[misc]
    """Parameters used between layers, a constant, and one that goes through NumPy."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = Parameter(Tensor(np.full((3, 1, 1), 2.0, np.float32)))
        self.weight = Parameter(Tensor(np.ones((4, 3, 1, 1), np.float32)))
        self.offset = Tensor(np.ones((1, 1, 1, 1), np.float32))
        self.unused = nn.Dense(2, 2)

    def construct(self, x: Any) -> Any:
        """A weight that is computed."""
        x = self.gain * x * self.gain + self.offset
        x = ops.conv2d(x, self.weight / ops.sqrt(ops.sum(ops.square(self.weight))))
        return x + Tensor(x.asnumpy())


def test_parameters_and_tensors_from_elsewhere() -> None:
    graph = trace(InTheOpen(), (IMAGE,)).graph
    kinds = [op.kind for op in graph.operations]
    assert kinds.count("parameter") == 1 and kinds.count("unseen") == 2 and not any(k[:9] == "mindspore" for k in kinds)
    first = graph.operations[kinds.index("mul")]
    assert [graph.operations[source].kind for source, _ in first.operands] == ["parameter", "input"]
    (conv,) = [op for op in graph.operations if op.kind == "conv2d"]
    assert [graph.operations[source].kind for source, _ in conv.operands] == ["add"] and conv.layer == "weight"
    steps: Any = conv.attrs["weight_from"]
    assert [step[0] for step in steps] == ["square", "sum", "sqrt", "div"]
    assert {name: layer.kind for name, layer in graph.layers.items()} == {
        "gain": "parameter",
        "weight": "conv2d",
        "unused": "linear",
    }


def test_elements_set_in_place_are_set_under_all_names() -> None:
    class Sets(nn.Cell):  # type: ignore[misc]
        def construct(self, x: Any) -> Any:
            y = x * 1.5
            alias = y
            y[:, 0] = 0
            return ops.relu(alias)

    found = [(op.kind, op.operands) for op in trace(Sets(), (IMAGE,)).graph.operations]
    assert found[2:] == [("mindspore.setitem", ((1, 0),)), ("relu", ((2, 0),)), ("output", ((3, 0),))]


@pytest.mark.parametrize("add", [lambda y: y.__iadd__(1), lambda y: y.add_(1)])
def test_what_is_written_as_in_place_is_followed_as_the_device_does_it(add: Any) -> None:
    class Adds(nn.Cell):  # type: ignore[misc]
        def construct(self, x: Any) -> Any:
            y = ops.relu(x)
            return add(y), y

    done = trace(Adds(), (IMAGE,), values=True)
    for place, op in enumerate(done.graph.operations[-2:]):
        ((source, _),) = op.operands
        np.testing.assert_array_equal(done.values[source], done.outputs[str(place)])


def test_what_a_device_does_in_place_is_done_to_all_names() -> None:
    model = nn.Dense(2, 2)
    recording = Recording(Layers(model, entries(model)), values=False)
    x = Tensor(np.ones((2, 2), np.float32))
    recording.add_input("x", 0, x)
    made = ops.relu(x)
    recording.add_call(Call("relu", (x,), {}, results=(made,)))
    recording.add_call(Call("add_", (made, 1), {}, results=(made[:],)))
    recording.add_output("0", 0, made)
    graph, *_ = recording.graph("by hand")
    assert [(op.kind, op.operands) for op in graph.operations[1:]] == [
        ("relu", ((0, 0),)),
        ("affine", ((1, 0),)),
        ("output", ((2, 0),)),
    ]


def test_constants_made_on_the_fly_are_told_apart() -> None:
    class Adds(nn.Cell):  # type: ignore[misc]
        def construct(self, x: Any) -> Any:
            for number in range(40):
                x = x + Tensor(np.full((1,), number, np.float32))
            return x

    kinds = [op.kind for op in trace(Adds(), (IMAGE,)).graph.operations]
    assert kinds.count("unseen") == kinds.count("add") == 40


def test_what_is_used_elsewhere_too_is_not_folded_away() -> None:
    class Both(nn.Cell):  # type: ignore[misc]
        def construct(self, x: Any) -> Any:
            y = x * 2
            return y + 1, y

    found = [(op.kind, op.operands) for op in trace(Both(), (IMAGE,)).graph.operations]
    assert found[1:] == [
        ("affine", ((0, 0),)),
        ("affine", ((1, 0),)),
        ("output", ((2, 0),)),
        ("output", ((1, 0),)),
    ]


def test_values_of_every_operation() -> None:
    model = vgg_in_a_row()
    done = trace(model, (IMAGE,), values=True)
    kinds = [op.kind for op in done.graph.operations]
    assert sorted(done.values) == list(range(len(kinds) - 1))
    np.testing.assert_array_equal(done.values[0], IMAGE)
    np.testing.assert_array_equal(done.values[kinds.index("relu")], np.maximum(done.values[kinds.index("relu") - 1], 0))
    np.testing.assert_array_equal(done.values[len(kinds) - 2], done.outputs["0"])
    assert not trace(model, (IMAGE,)).values


def test_a_values_copy_outlives_a_change_in_place() -> None:
    class Adds(nn.Cell):  # type: ignore[misc]
        def construct(self, x: Any) -> Any:
            y = ops.relu(x)
            y += 1
            return y

    done = trace(Adds(), (IMAGE,), values=True)
    np.testing.assert_array_equal(done.values[1], np.maximum(IMAGE, 0))


@pytest.mark.parametrize(
    "build", [lambda: nn.Dense(4, 2), lambda: nn.BatchNorm2d(3), lambda: nn.MultiheadAttention(4, 2)]
)
def test_a_single_cell_is_a_model_too(build: Any) -> None:
    model = build()
    inputs = (np.ones((3, 1, 4), np.float32),) * 3 if isinstance(model, nn.MultiheadAttention) else None
    graph = trace(model, inputs).graph
    ((name, layer),) = graph.layers.items()
    (used,) = [op.layer for op in graph.operations if op.layer]
    assert used == name == type(model).__name__
    assert [tensor.key for tensor in layer.tensors.values()] == list(arrays_of(model))


registry.load()


@pytest.mark.parametrize("name", sorted({**registry.MODELS, **registry.LOSSES}))
def test_a_twin_has_the_graph_of_its_spec(name: str) -> None:
    spec = registry.spec(name, **registry.entry(name).small)
    sizes = {symbol: min(size, 64) for symbol, size in spec.example_sizes.items()}
    random = np.random.default_rng(0)
    inputs = {
        key: random.standard_normal(spec.concrete(item.value, sizes)).astype(np.float32)
        for key, item in spec.inputs.items()
    }
    inputs |= {k: np.zeros(inputs[k].shape, np.int64) for k, i in spec.inputs.items() if i.value.dtype == "int"}
    found, wanted = trace(tz.build(spec, "mindspore"), inputs).graph, graph_of_spec(spec)
    assert without_names(found) == without_names(wanted)
    own = {layer for layer in wanted.layers if "." not in layer}
    if spec.roles and own:  # the spec has its own layers first, the twin those of the networks that it calls
        assert set(found.layers) == set(wanted.layers)
    else:
        assert list(found.layers) == list(wanted.layers)
