"""Memory-augmented colorization: published keys and numbers, and the memory's rules by hand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import twinzoo as tz
from parity_tests.zoo import published_memory
from parity_tests.zoo.golden_arrays import weights
from parity_tests.zoo.published import file_keys, published_keys
from twinzoo.parity.inputs import default_inputs
from twinzoo.ports.reference.port import PORT
from twinzoo.zoo.errors import IncompleteConversionError
from twinzoo.zoo.models.memory import MEMOPAINTER
from twinzoo.zoo.registry import spec
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.show import parameter_count

Array = NDArray[Any]
Keys = Iterator[tuple[str, tuple[int, ...]]]
SMALL: dict[str, dict[str, Any]] = {
    "memory_generator": {"width": 4, "depth": 4, "colours": 5},
    "memory_discriminator": {"batch": 2, "colours": 5, "size": 64, "width": 2},
}


def conv(path: str, first: int, second: int, kernel: int = 4, *, bias: int = 0) -> Keys:
    """The tensors of a convolution; `bias` where its length is not the first size."""
    yield f"{path}.weight", (first, second, kernel, kernel)
    yield f"{path}.bias", (bias or first,)


def generator_keys() -> Keys:
    """unet_generator, without second names and unused statistics."""
    wide = [64, 128, 256, 512, 512, 512, 512, 512]
    yield from conv("e1", 64, 1)
    for i in range(2, 9):
        yield from conv(f"e{i}.conv", wide[i - 1], wide[i - 2])
    before = 512
    for i, after in enumerate([512, 512, 512, 512, 256, 128, 64, 2], 1):
        yield from conv(f"d{i}.deconv", before, after, bias=after)
        before = 2 * after
    for i, into in ((0, 313), (2, 9856), (4, 9856)):
        yield f"mlp.model.{i}.weight", (9856, into)
        yield f"mlp.model.{i}.bias", (9856,)


def discriminator_keys() -> Keys:
    """Discriminator."""
    wide = [316, 64, 128, 256, 512, 1024]
    for i in range(5):
        yield from conv(f"main.{2 * i}", wide[i + 1], wide[i])
    yield "conv1.weight", (1024, 1024, 3, 3)
    for role in ("weight", "bias", "running_mean", "running_var"):
        yield f"fc.0.{role}", (65536,)
    yield "fc.0.num_batches_tracked", ()
    yield "fc.1.weight", (1, 65536)
    yield "fc.1.bias", (1,)


KEYS = [
    ("memory_generator", generator_keys, 251_801_474),
    ("memory_discriminator", discriminator_keys, 21_100_481),
]


@pytest.mark.parametrize(("name", "keys", "parameters"), KEYS)
def test_keys_shapes_order_and_counts(name: str, keys: Any, parameters: int) -> None:
    drawn = spec(name)
    assert list(file_keys(drawn, MEMOPAINTER).items()) == list(keys())
    assert parameter_count(drawn) == parameters


def test_a_palette_makes_a_smaller_generator() -> None:
    assert parameter_count(spec("memory_generator", colours=30)) == 249_012_226


def test_resnet18_is_torchvisions() -> None:
    keys = list(file_keys(spec("resnet18"), "torchvision"))
    assert parameter_count(spec("resnet18")) == 11_689_512
    assert len(keys) == 122
    assert keys[:2] == ["conv1.weight", "bn1.weight"] and keys[-2:] == ["fc.weight", "fc.bias"]
    places = [key.removesuffix(".weight") for key in keys if key.startswith("layer2.0") and key.endswith("weight")]
    names = ("conv1", "bn1", "conv2", "bn2", "downsample.0", "downsample.1")
    assert places == [f"layer2.0.{name}" for name in names]
    assert parameter_count(spec("resnet18", blocks=(3, 4, 6, 3))) == 21_797_672


def network(name: str, state: dict[str, Array], drawn: Spec, options: dict[str, Any]) -> Any:
    """The published module with the spec's weights, in double and eval mode."""
    torch = pytest.importorskip("torch")
    made = getattr(published_memory, name)(**options).double().eval()
    keys = published_keys(drawn, MEMOPAINTER)
    missing = made.load_state_dict({keys[n]: torch.from_numpy(v).double() for n, v in state.items()}, strict=False)
    assert not missing.unexpected_keys
    assert all(".body." in key or key.endswith("batches_tracked") for key in missing.missing_keys)
    return made


@pytest.mark.parametrize("name", SMALL)
def test_same_numbers(name: str) -> None:
    torch = pytest.importorskip("torch")
    drawn = spec(name, **SMALL[name])
    state = weights(drawn)
    inputs = {
        n: x.astype(np.float64) for n, x in default_inputs(drawn, 0, {"N": 2} if "N" in drawn.symbols else {}).items()
    }
    model = PORT.build(drawn)
    PORT.load(model, state)
    made = PORT.run(model, inputs)["output"]
    options = {k: v for k, v in SMALL[name].items() if k != "batch"}
    with torch.no_grad():
        expected = network(name, state, drawn, options)(*(torch.from_numpy(x) for x in inputs.values())).numpy()
    np.testing.assert_allclose(made.reshape(expected.shape), expected, rtol=1e-9, atol=1e-12)


def test_a_published_generator_with_its_second_names_goes_in(tmp_path: Path) -> None:
    """94 keys: each convolution has two names, and norms have statistics that nothing uses; the report has them all."""
    torch = pytest.importorskip("torch")
    drawn = spec("memory_generator", width=2, colours=5)
    state = weights(drawn)
    theirs = network("memory_generator", state, drawn, {"width": 2, "depth": 8, "colours": 5}).float().state_dict()
    assert len(theirs) == 94
    torch.save(theirs, tmp_path / "generator.pth")
    made = tz.convert(tmp_path / "generator.pth", drawn)
    assert all(np.array_equal(made.state[name], value) for name, value in state.items())
    seconds = {key: why for key, why in made.dropped.items() if why.startswith("the same tensor as ")}
    assert seconds["e2.body.1.weight"] == "the same tensor as e2.conv.weight"
    statistics = {key for key, why in made.dropped.items() if why == "statistics of an instance norm, which uses none"}
    blocks = [f"e{i}" for i in range(2, 8)] + [f"d{i}" for i in range(1, 8)]
    assert statistics == {f"{block}.body.2.running_{word}" for block in blocks for word in ("mean", "var")}
    assert len(made.dropped) == len(seconds) + len(statistics) == 94 - len(state)


def test_what_is_written_fills_the_published_generator(tmp_path: Path) -> None:
    """Under first names alone: the published module has each tensor once, and lacks nothing but the second names."""
    torch = pytest.importorskip("torch")
    drawn = spec("memory_generator", width=2, colours=5)
    state = weights(drawn)
    wanted = network("memory_generator", state, drawn, {"width": 2, "depth": 8, "colours": 5}).float().state_dict()
    tz.convert(state, drawn, tmp_path / "spec.ckpt")
    tz.convert(tmp_path / "spec.ckpt", drawn, tmp_path / "file.pth", naming=MEMOPAINTER)
    theirs = published_memory.memory_generator(2, 8, 5)
    found = theirs.load_state_dict(torch.load(tmp_path / "file.pth"), strict=False)
    assert not found.unexpected_keys and all(".body." in key for key in found.missing_keys)
    filled = theirs.state_dict()
    assert filled.keys() == wanted.keys() and all(torch.equal(filled[key], wanted[key]) for key in wanted)


def test_a_second_name_with_other_numbers_is_not_dropped() -> None:
    """Only what is the same tensor goes without a word from the caller."""
    drawn = spec("memory_generator", width=2, colours=5)
    state, keys = weights(drawn), published_keys(drawn, MEMOPAINTER)
    file = {key: state[name] for name, key in keys.items()} | {"e2.body.1.bias": np.zeros(4, np.float32)}
    with pytest.raises(IncompleteConversionError, match="1 unused"):
        tz.convert(file, drawn)


def memory_of(random: np.random.Generator, slots: int, features: int, colours: int) -> dict[str, Array]:
    """Keys of length 1, values that are distributions, ages."""
    keys = random.normal(size=(slots, features))
    values = random.uniform(0.1, 1, (slots, colours))
    return {
        "keys": keys / np.linalg.norm(keys, axis=1, keepdims=True),
        "values": values / values.sum(1, keepdims=True),
        "ages": random.integers(0, 20, slots).astype(np.float64),
    }


def asked(random: np.random.Generator, memory: dict[str, Array], known: list[int | None]) -> tuple[Array, Array]:
    """Queries near a slot with its colours where `known` names one, with other colours where not."""
    features, colours = memory["keys"].shape[1], memory["values"].shape[1]
    queries, dyes = [], []
    for slot in known:
        dye = random.uniform(0.1, 1, colours) ** 8 if slot is None else memory["values"][slot] + 1e-3
        query = random.normal(size=features) if slot is None else memory["keys"][slot] + 0.05
        queries.append(query / np.linalg.norm(query))
        dyes.append(dye / dye.sum())
    return np.array(queries), np.array(dyes)


CASES: list[list[int | None]] = [[1, 4, 6], [None, None, None], [2, None, 5], [3, 3, None], [None, 0, None]]


@pytest.mark.parametrize("known", CASES)
def test_the_memory_is_updated_as_published(known: list[int | None]) -> None:
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(len(known) + sum(k or 0 for k in known))
    memory = memory_of(random, 8, 16, 5)
    query, colour = asked(random, memory, known)
    noise = random.uniform(-4, 4, 8)
    drawn = spec("memory_update", batch=3, slots=8, features=16, colours=5, threshold=0.01)
    made = PORT.run(PORT.build(drawn), {"query": query, **memory, "colour": colour, "noise": noise})
    held = {name: torch.from_numpy(value) for name, value in memory.items()}
    asking, dye, drawn_noise = (torch.from_numpy(value) for value in (query, colour, noise))
    wanted = published_memory.update(asking, dye, held, drawn_noise, 0.01)
    for name, value in wanted.items():
        np.testing.assert_allclose(made[f"next_{name}"], value.numpy(), rtol=1e-12, atol=1e-15, err_msg=name)
    moved = (made["next_ages"] == 0).sum()
    assert moved == len({k for k in known if k is not None}) + known.count(None)


def test_an_empty_bin_is_no_reason_to_forget() -> None:
    """The published divergence is NaN there, and so never below the threshold."""
    random = np.random.default_rng(5)
    memory = memory_of(random, 8, 16, 5)
    memory["values"][2] = [0.5, 0.5, 0, 0, 0]
    query, _ = asked(random, memory, [2, 2, 2])
    colour = np.array([[0.5, 0.5, 0, 0, 0]] * 3)
    drawn = spec("memory_update", batch=3, slots=8, features=16, colours=5, threshold=0.01)
    made = PORT.run(PORT.build(drawn), {"query": query, **memory, "colour": colour, "noise": np.zeros(8)})
    np.testing.assert_array_equal(made["next_values"], memory["values"])
    assert list(np.flatnonzero(made["next_ages"] == 0)) == [2]


def test_what_is_looked_up_is_the_nearest_keys_value() -> None:
    random = np.random.default_rng(6)
    memory = memory_of(random, 8, 16, 5)
    query, _ = asked(random, memory, [7, 0, 3])
    inputs = {"query": query, "keys": memory["keys"], "values": memory["values"]}
    made = PORT.run(PORT.build(spec("memory_lookup", slots=8, features=16, colours=5)), inputs)
    np.testing.assert_array_equal(made["output"], memory["values"][[7, 0, 3]])


@pytest.mark.parametrize("neighbours", [3, 8])
@pytest.mark.parametrize("threshold", [0.02, 0.05, 10.0])
def test_the_triplet_loss_is_the_published_one(neighbours: int, threshold: float) -> None:
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(7)
    memory = memory_of(random, 8, 16, 5)
    query, colour = asked(random, memory, [1, None, 6, 6])
    options = {"slots": 8, "features": 16, "colours": 5, "neighbours": neighbours, "threshold": threshold}
    inputs = {"query": query, "keys": memory["keys"], "values": memory["values"], "colour": colour}
    made = PORT.run(PORT.build(spec("threshold_triplet", **options)), inputs)["output"]
    query, keys, values, colour = (torch.from_numpy(value) for value in inputs.values())
    wanted = published_memory.triplet(query, keys, values, colour, neighbours, threshold)
    assert made == pytest.approx(float(wanted), rel=1e-12)
