"""What a training step costs: against the same step written by hand, and in MindSpore against the published way.

    python benchmarks/steps.py [--cases NAME ...] [--rounds 9] [--processes 2] [--json FILE]

PyTorch: a stepper against a plain loop (handwritten_steps_torch.py). MindSpore: against the published step of
user-guided colorization, which runs the generator anew for every loss and every gradient, five times in all
(handwritten_steps_mindspore.py): both compiled, both in PyNative, and the compiled stepper against PyNative. Both sides
have the same networks, start from the same weights and take the same batch. Before anything is timed both make a step
with the same dropout masks, and their losses must agree to 1e-5; in PyTorch two steps, and all moves of parameters.

Each round times a step of both, in turns, and gives one ratio, stepper / by hand (0.4 is 2.5 times as fast); the table
shows medians and quartiles. The ratio of processor seconds is steadier where other work runs beside. `first` is the
seconds of each side's first step, which in MindSpore's graph mode are those of compiling it. PyTorch runs on one
thread. CycleGAN's histories are copied once a step, of which nothing is left to see at its published width.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from twinzoo.ports.steps import Stepper, stepper
from twinzoo.ports.steps.draws import draw_masks
from twinzoo.zoo.registry import training_step
from twinzoo.zoo.steps.step import Step

Array = NDArray[Any]
Batch = Mapping[str, Array]
Times = tuple[float, float]
"""Wall-clock and processor seconds."""


class Trains(Protocol):
    """A stepper, or a loop by hand."""

    def step(self, batch: Batch) -> dict[str, float]: ...


@dataclass(frozen=True)
class Case:
    """A step at a width, on images of a size, and where it runs: torch, or a mode of MindSpore for each side."""

    step: str
    options: dict[str, Any]
    size: int
    modes: tuple[str, str] = ("torch", "torch")

    @property
    def torch(self) -> bool:
        """Whether it runs in PyTorch."""
        return self.modes[0] == "torch"


_IMAGES = 2  # PyTorch refuses a batch norm of one value, which the preset repo has at its bottleneck
_MODES = {
    "compiled": ("graph", "graph"),
    "pynative": ("pynative", "pynative"),
    "compiled / pynative": ("graph", "pynative"),
}
_SMALL = {"width": 4, "depth": 5, "vgg_width": 2}
CASES = {
    "torch colorization.report": Case("colorization.report", {"width": 12, "vgg_width": 12}, 256),
    "torch colorization.repo": Case("colorization.repo", {"width": 12, "vgg_width": 12}, 256),
    "torch pix2pix": Case("pix2pix", {"width": 16}, 256),
    "torch cyclegan": Case("cyclegan", {"width": 32, "blocks": 6}, 64),
    "torch colorization.report, tiny": Case("colorization.report", _SMALL, 32),
    "torch pix2pix, tiny": Case("pix2pix", {"width": 4, "depth": 5, "layers": 2}, 32),
    "torch cyclegan, tiny": Case("cyclegan", {"width": 4, "blocks": 2, "layers": 2}, 32),
} | {
    f"mindspore {preset}, {how}": Case(f"colorization.{preset}", {"width": 12, "vgg_width": 12}, 256, modes)
    for preset in ("report", "repo")
    for how, modes in _MODES.items()
}
"""Widths at which a step takes 0.2 to 1 s, and tiny ones, where what a stepper does around the step would show."""


@dataclass(frozen=True)
class Result:
    """Milliseconds of both, quartiles of stepper / by hand, and seconds of both first steps."""

    case: str
    stepper_ms: float
    hand_ms: float
    wall: tuple[float, float, float]
    cpu: tuple[float, float, float]
    first: tuple[float, float]


def drawn(case: Case) -> Step:
    """The step of a case.

    In PyTorch its Adam has a larger eps, so that a gradient that is rounding alone moves nothing by a whole step.
    """
    step = training_step(case.step, **case.options)
    if case.torch:
        step.optimizers = {name: replace(optimizer, eps=1e-2) for name, optimizer in step.optimizers.items()}
    return step


def batch_of(step: Step, size: int, *, masks: int | None = None) -> dict[str, Array]:
    """A batch; with `masks`, every draw too, dropout's from that seed."""
    random = np.random.default_rng(0)
    made: dict[str, Array] = {}
    for name in step.batch:
        channels = step.inputs[name].value.shape[1]
        assert isinstance(channels, int)
        values = random.uniform(-0.5, 0.5, (_IMAGES, channels, size, size))
        made[name] = (values > 0.48 if name == "mask" else values).astype(np.float32)
    if masks is not None:
        made |= draw_masks(step, {"N": _IMAGES, "H": size, "W": size}, masks, 0)
        made |= {pool.choices: np.arange(_IMAGES) for pool in step.pools.values()}
    return made


def check(case: Case, step: Step, ours: Stepper, hand: Any) -> list[float]:
    """Both make the same steps, or this raises AssertionError; the seconds of the first of each."""
    start, seconds = ours.state(), []
    for seed in range(2 if case.torch else 1):
        batch = batch_of(step, case.size, masks=seed)
        (one, losses), (other, expected) = timed(ours, batch, case.modes[0]), timed(hand, batch, case.modes[1])
        seconds += [one[0], other[0]]
        losses["generator"] = sum(losses.values()) - losses.get("discriminator", 0.0)
        for name, loss in expected.items():
            assert abs(losses[name] - loss) <= 1e-5 * abs(loss), (name, losses[name], loss)
    if case.torch:
        mine, theirs = ours.state(), hand.state()
        for names in ours.trained.values():
            apart, moved = (max(np.abs(mine[n] - state[n]).max() for n in names) for state in (theirs, start))
            assert moved > 0 and apart <= 5e-2 * moved, (names[0], apart, moved)
    return seconds[:2]


def timed(side: Trains, batch: Batch, mode: str) -> tuple[Times, dict[str, float]]:
    """Seconds of one step in a mode, which is part of what MindSpore compiles, and its losses."""
    if mode != "torch":
        import mindspore as ms

        ms.set_context(mode=ms.GRAPH_MODE if mode == "graph" else ms.PYNATIVE_MODE)
    wall, cpu = time.perf_counter(), time.process_time()
    losses = side.step(batch)
    return (time.perf_counter() - wall, time.process_time() - cpu), losses


def measure(case: Case, rounds: int) -> dict[str, list[Any]]:
    """The rounds of one case in this process, after three that warm up, and the first step of each side."""
    if case.torch:
        import_module("torch").set_num_threads(1)
    else:
        import_module("twinzoo.ports.mindspore.runtime").prepare()
    port = "torch" if case.torch else "mindspore"
    step = drawn(case)
    ours = stepper(step, port)
    hand = import_module(f"handwritten_steps_{port}").by_hand(step, ours.state())
    first = check(case, step, ours, hand)
    batch = batch_of(step, case.size)
    pairs = []
    for i in range(rounds + 3):
        sides = [(ours, case.modes[0]), (hand, case.modes[1])]
        found = [timed(side, batch, mode)[0] for side, mode in (sides if i % 2 else sides[::-1])]
        pairs.append(found if i % 2 else found[::-1])
    return {"first": first, "rounds": pairs[3:]}


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """The lower quartile, the median and the upper quartile."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def result(name: str, rounds: int, processes: int) -> Result:
    """One case, measured in processes of its own."""
    command = [sys.executable, __file__, "--measure", name, "--rounds", str(rounds)]
    pairs, first = [], []
    for _ in range(processes):
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | {"GLOG_v": "3"})
        found = json.loads(done.stdout.splitlines()[-1])
        pairs += found["rounds"]
        first.append(found["first"])
    wall, cpu = (quartiles([ours[i] / hand[i] for ours, hand in pairs]) for i in (0, 1))
    ours_ms, hand_ms = (1e3 * statistics.median(pair[side][0] for pair in pairs) for side in (0, 1))
    ours_first, hand_first = (statistics.median(pair[side] for pair in first) for side in (0, 1))
    return Result(name, ours_ms, hand_ms, wall, cpu, (ours_first, hand_first))


def row(found: Result) -> str:
    """A line of the table."""
    shares = "  ".join(f"{middle:6.3f} [{low:.3f}, {high:.3f}]" for low, middle, high in (found.wall, found.cpu))
    first = "".join(f"{seconds:8.2f}" for seconds in found.first)
    return f"{found.case:<34}{found.stepper_ms:9.1f}{found.hand_ms:9.1f}  {shares}  {first}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", nargs="*", default=list(CASES), choices=CASES, metavar="NAME", help="(default: all)")
    parser.add_argument("--rounds", type=int, default=9, help="rounds in each process (default: 9)")
    parser.add_argument("--processes", type=int, default=2, help="processes for each case (default: 2)")
    parser.add_argument("--json", type=Path, help="write the results there as well")
    parser.add_argument("--measure", choices=CASES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message=".*space='lab'")
    if options.measure:
        print(json.dumps(measure(CASES[options.measure], options.rounds)))
        return
    print(f"{'':<34}{'stepper':>9}{'by hand':>9}  {'wall ratio':<22}  {'cpu ratio':<22}  first (s)")
    results = []
    for name in options.cases:
        results.append(result(name, options.rounds, options.processes))
        print(row(results[-1]), flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(found) for found in results], indent=1))


if __name__ == "__main__":
    main()
