"""How long matching takes against the number of layers: by names, by order, by graph, with and without symmetries.

    python benchmarks/matching.py [--json FILE]

Seconds for 100 to 10,000 layers, and the growth from each size to the next over the growth of the size: near-linear
means that this ratio stays near 1.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from twinzoo.converters.graph import INPUT, OUTPUT, Graph, Operation
from twinzoo.converters.layers import Layer, Tensor
from twinzoo.converters.matching.find import Finder
from twinzoo.converters.matching.graphs import match_graphs
from twinzoo.converters.sides import Side

SIZES = (100, 300, 1000, 3000, 10000)
_CHANNELS = (16, 16, 16, 32)


def residual(layers: int, branches: int = 1, seed: int = 0) -> Graph:
    """A network of convolutions, norms and sums; with several `branches`, symmetric ones in each block."""
    rng = np.random.default_rng(seed)
    made: dict[str, Layer] = {}
    operations = [Operation("image", INPUT, attrs={"index": 0})]

    def add(kind: str, *operands: int, channels: int = 0) -> int:
        name = ""
        if channels:
            name = f"layer{len(made)}"
            shape = (channels, channels, 3, 3) if kind == "conv2d" else (channels,)
            made[name] = Layer(name, {"weight": Tensor(f"{name}.weight", "weight", shape)}, kind)
        operations.append(Operation(name, kind, tuple((operand, 0) for operand in operands), {}, name))
        return len(operations) - 1

    value = 0
    while len(made) < layers:
        channels = int(rng.choice(_CHANNELS))
        ends = [
            add("relu", add("batch_norm", add("conv2d", value, channels=channels), channels=channels))
            for _ in range(branches)
        ]
        for end in ends:
            value = add("add", value, end)
    add(OUTPUT, value)
    return Graph("residual", made, tuple(operations))


def shuffled(graph: Graph, seed: int = 1) -> Graph:
    """The same under other names, in another order of definition."""
    order = np.random.default_rng(seed).permutation(len(graph.layers))
    names = {name: f"x{number}" for name, number in zip(graph.layers, order, strict=True)}
    layers = {names[name]: _renamed(layer, names[name]) for name, layer in graph.layers.items()}
    operations = tuple(replace(op, layer=names.get(op.layer, "")) for op in graph.operations)
    return Graph("shuffled", dict(sorted(layers.items())), operations)


def _renamed(layer: Layer, name: str) -> Layer:
    tensors = {role: replace(tensor, key=f"{name}.{role}") for role, tensor in layer.tensors.items()}
    return Layer(name, tensors, layer.kind)


def side(graph: Graph) -> Side:
    """The keys of a graph alone."""
    keys = {t.key: np.dtype(np.float32) for layer in graph.layers.values() for t in layer.tensors.values()}
    return Side("keys", graph.layers, keys, namings={"target": {name: name for name in graph.layers}})


def by_names(size: int) -> Callable[[], bool]:
    ours, theirs = side(residual(size)), side(residual(size))
    return lambda: Finder(ours, theirs).find().complete()


def by_order(size: int) -> Callable[[], bool]:
    graph = residual(size)
    other = {f"m.{i}": _renamed(layer, f"m.{i}") for i, layer in enumerate(graph.layers.values())}
    ours, theirs = side(graph), side(Graph("other", other))
    return lambda: Finder(ours, theirs).find().complete()


def by_graph(size: int) -> Callable[[], bool]:
    graph = residual(size)
    other = shuffled(graph)
    return lambda: match_graphs(graph, other).whole


def by_symmetric_graph(size: int) -> Callable[[], bool]:
    graph = residual(size, branches=3)
    other = shuffled(graph)
    return lambda: match_graphs(graph, other).whole


WAYS = {"names": by_names, "order": by_order, "graph": by_graph, "graph, symmetric branches": by_symmetric_graph}


def measure(way: str, size: int) -> float:
    """The best of three, in seconds."""
    run = WAYS[way](size)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        if not run():
            raise SystemExit(f"{way}, {size} layers: not matched")
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the seconds to this file too")
    arguments = parser.parse_args()
    found: dict[str, dict[int, float]] = {}
    print(f"{'seconds':28}" + "".join(f"{size:>10,}" for size in SIZES) + "   growth over the size's, last three")
    for way in WAYS:
        seconds = found[way] = {size: measure(way, size) for size in SIZES}
        growth = [seconds[b] / seconds[a] / (b / a) for a, b in zip(SIZES[1:], SIZES[2:], strict=False)]
        print(
            f"{way:28}" + "".join(f"{s:10.3f}" for s in seconds.values()) + "   " + " ".join(f"{g:.2f}" for g in growth)
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
