"""One scrambled pair, converted and judged: right, refused, or wrong without a word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

import twinzoo as tz
from parity_tests.scramble import naming
from parity_tests.scramble.plan import SIZE, Plan, random_plan
from twinzoo.converters.live import live
from twinzoo.zoo.errors import TwinzooError

Verdict = Literal["right", "refused", "wrong"]
FRAMEWORKS = ("torch", "mindspore")


@dataclass(frozen=True)
class Outcome:
    """What became of a seed.

    Attributes:
        how: what decided, with the numbers of tensors.
        detail: the refusal, or what went wrong.
    """

    seed: int
    verdict: Verdict
    layers: int
    how: str = ""
    detail: str = ""


@dataclass(frozen=True)
class Scramble:
    """A plan and the two ways in which it is written."""

    plan: Plan
    frameworks: tuple[str, str]
    paths: tuple[list[str], list[str]]
    orders: tuple[list[int], list[int]]
    flipped: set[int]
    through_file: bool


def scramble(seed: int) -> Scramble:
    """The pair of a seed: other names, other nesting, other order of definition; sums written the other way round."""
    rng = np.random.default_rng([seed, 1])
    plan = random_plan(seed)
    count = len(plan.layers)
    ours = naming.random_paths(count, rng) if rng.random() < 0.7 else naming.plain_paths(count)
    theirs = naming.random_paths(count, rng)
    if ours[0] == "layer0" and rng.random() < 0.3:
        theirs = naming.exchanged_paths(list(plan.layers), rng)
    orders = tuple([int(i) for i in rng.permutation(count)] if rng.random() < 0.8 else list(range(count)) for _ in "ab")
    flipped = {i for i, step in enumerate(plan.steps) if step.op in ("add", "mul") and rng.random() < 0.5}
    frameworks = tuple(str(name) for name in rng.choice(FRAMEWORKS, 2))
    through_file = bool(rng.random() < 0.3)
    return Scramble(plan, frameworks, (ours, theirs), orders, flipped, through_file)  # type: ignore[arg-type]


def networks(case: Scramble) -> tuple[Any, Any]:
    """The source with well-scaled random weights, and the target to be filled."""
    source = _network(case, 0, set())
    target = _network(case, 1, case.flipped)
    for model, seed in ((source, 0), (target, 1)):
        live(model).assign(model, _weights(live(model).arrays_of(model), seed))
    return source, target


def _network(case: Scramble, side: int, flipped: set[int]) -> Any:
    if case.frameworks[side] == "torch":
        from parity_tests.scramble.torch_network import network
    else:
        from parity_tests.scramble.mindspore_network import network
    return network(case.plan, case.paths[side], case.orders[side], flipped)


def _weights(state: dict[str, Any], seed: int) -> dict[str, Any]:
    rng = np.random.default_rng([seed, 2])
    made = {}
    for key, value in state.items():
        word = key.rpartition(".")[2]
        if word in ("running_var", "moving_variance"):
            made[key] = rng.uniform(0.5, 1.5, value.shape).astype(np.float32)
        elif value.ndim > 1:
            made[key] = rng.normal(0, 1.2 / np.sqrt(value[0].size), value.shape).astype(np.float32)
        elif value.ndim == 1:
            made[key] = rng.normal(0.5 if word in ("weight", "gamma") else 0, 0.3, value.shape).astype(np.float32)
    return made


def run(seed: int) -> Outcome:
    """Convert the pair of a seed and judge the result by what both networks compute."""
    case = scramble(seed)
    source, target = networks(case)
    given: Any = source
    model: Any = None
    if case.through_file:
        given, model = live(source).arrays_of(source), source
    before = live(target).arrays_of(target)
    layers = len(case.plan.layers)
    try:
        result = tz.convert(given, target, source_model=model)
    except TwinzooError as error:
        after = live(target).arrays_of(target)
        untouched = all(np.array_equal(before[key], after[key]) for key in before)
        detail = f"{error}\n{error.table}"
        return Outcome(seed, "refused" if untouched else "wrong", layers, detail=detail)
    off = difference(case, source, target)
    how = ", ".join(sorted({pair.how for pair in result.pairs}))
    verdict: Verdict = "right" if off < 1e-3 else "wrong"
    return Outcome(seed, verdict, layers, how, "" if verdict == "right" else f"outputs are {off:.2g} apart")


def difference(case: Scramble, source: Any, target: Any) -> float:
    """The largest difference of the outputs on a fresh input, of the largest value."""
    rng = np.random.default_rng(99)
    inputs = tuple(rng.normal(size=(2, channels, SIZE, SIZE)).astype(np.float32) for channels in case.plan.inputs)
    ours = live(source).trace(source, inputs).outputs
    theirs = live(target).trace(target, inputs).outputs
    return max(
        float(np.max(np.abs(a - b)) / np.max(np.abs(a))) for a, b in zip(ours.values(), theirs.values(), strict=True)
    )
