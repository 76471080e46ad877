"""The random draws of a step from a seed: the same numbers on every port and in every run from one state."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence

import numpy as np

from twinzoo.ports.port import Array
from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.spec import Spec
from twinzoo.zoo.spec.dims import concrete
from twinzoo.zoo.steps.step import Carried, Pool, Step


def _generator(seed: int, done: int, name: str) -> np.random.Generator:
    return np.random.default_rng([seed, done, zlib.crc32(name.encode())])


def draw_masks(step: Step, sizes: Mapping[str, int], seed: int, done: int) -> dict[str, Array]:
    """The dropout masks (0 or 1) of the step that follows `done` steps, by the names of its draws.

    Raises:
        SpecError: a draw is of another kind.
    """
    rates = _dropout_rates(step)
    masks = {}
    for name, draw in step.draws.items():
        if name not in rates:
            raise SpecError(f"{step.name}: {name}: no rule draws a {draw.distribution}: feed it with every batch")
        uniform = _generator(seed, done, name).random(concrete(draw.shape, sizes))
        masks[name] = (uniform >= rates[name]).astype(np.float32)
    return masks


def _dropout_rates(spec: Spec) -> dict[str, float]:
    rates: dict[str, float] = {}
    for node in spec.nodes.values():
        if node.op == "dropout":
            rates[f"{node.name}_mask"] = node.attrs["p"]
        elif node.op == "call":
            called = _dropout_rates(spec.roles[node.attrs["role"]].spec)
            rates |= {f"{node.name}_{name}": rate for name, rate in called.items()}
    return rates


def draw_choices(pool: Pool, count: int, seed: int, done: int) -> Array:
    """A choice for each of `count` new images: half of them -1, half a slot, all alike."""
    generator = _generator(seed, done, pool.choices)
    slots = generator.integers(0, pool.size, count)
    return np.where(generator.random(count) > 0.5, slots, -1)


def draw_start(carried: Carried, seed: int) -> Array:
    """What is carried into the first step, float64."""
    shape = concrete(carried.next.shape, {})
    random = _generator(seed, 0, carried.name).random(shape)
    if carried.start == "zeros":
        return np.zeros(shape)
    if carried.start == "shares":
        return np.asarray(random / random.sum(-1, keepdims=True))
    return np.asarray((random - 0.5) / np.linalg.norm(random - 0.5, axis=-1, keepdims=True))


def enter(pool: Pool, filled: int, choices: Sequence[int]) -> tuple[list[int], list[int], int]:
    """What a pool's choices mean, as indices into its `size` stored images followed by the new ones.

    Args:
        filled: how many slots hold an image already.
        choices: one for each new image; those that meet a free slot do not count.

    Returns:
        which image is passed on for each new one, which is stored next in each slot, how many slots are filled then.
    """
    slots = list(range(pool.size))
    picks = []
    for i, choice in enumerate(choices):
        new = pool.size + i
        if filled < pool.size:
            slots[filled], filled = new, filled + 1
            picks.append(new)
        elif choice >= 0:
            picks.append(slots[choice])
            slots[choice] = new
        else:
            picks.append(new)
    return picks, slots, filled
