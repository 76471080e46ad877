"""Where a network keeps its layers: paths of attributes, random in words, nesting and order of definition."""

from __future__ import annotations

import numpy as np

WORDS = ("body", "stage", "head", "block", "enc", "dec", "left", "right", "conv", "norm", "layer", "main", "a", "b")


def plain_paths(count: int) -> list[str]:
    """`layer0`, `layer1`, ... in the order of the plan."""
    return [f"layer{number}" for number in range(count)]


def random_paths(count: int, rng: np.random.Generator) -> list[str]:
    """A path for each layer: up to two levels of nesting, no path inside another."""
    paths: list[str] = []
    used: set[str] = set()
    while len(paths) < count:
        depth = int(rng.integers(0, 3))
        outer = [f"{rng.choice(WORDS)}_{rng.integers(4)}" for _ in range(depth)]
        path = ".".join([*outer, f"{rng.choice(WORDS)}{rng.integers(1000)}"])
        if path not in used:
            used.add(path)
            paths.append(path)
    return paths


def exchanged_paths(kinds: list[object], rng: np.random.Generator) -> list[str]:
    """The plain paths, but each is handed to another layer of the same kind and shape: names that mislead."""
    paths = plain_paths(len(kinds))
    for kind in set(kinds):
        alike = [i for i, own in enumerate(kinds) if own == kind]
        for i, j in zip(alike, rng.permutation(alike), strict=True):
            paths[i] = f"layer{j}"
    return paths
