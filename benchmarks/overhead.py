"""What a twin costs: against the same network written by hand, and MindSpore under twinzoo against MindSpore alone.

    python benchmarks/overhead.py [--frameworks torch mindspore] [--rounds 7] [--processes 4] [--json FILE]

A twin and its hand-written counterpart (handwritten_torch.py, handwritten_mindspore.py) take turns, A B, B A, ..., on
the same image with the same weights, forward in eval mode and forward + backward in training mode. Each round gives one
ratio; the table shows their median and quartiles. How a process happens to lay out its memory moves a ratio by a few
per cent for as long as it lives, so the rounds are spread over several processes, which build the two in either order.
The ratio of processor seconds is steadier where other work runs beside. PyTorch runs eagerly, MindSpore as one compiled
graph.

The second table runs in two fresh processes, with and without what twinzoo sets before MindSpore's first operation.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from twinzoo.ports.build import build
from twinzoo.zoo.registry import spec

NETWORKS = {"unet": "UNet256", "resnet_generator": "ResNet9"}
Step = Callable[[], object]
Times = tuple[float, float]
Round = tuple[Times, Times]
"""(wall-clock, processor) seconds of the twin, and of its counterpart."""


@dataclass(frozen=True)
class Result:
    """A twin against its counterpart: milliseconds, and quartiles of twin / by hand per round."""

    framework: str
    network: str
    work: str
    twin_ms: float
    hand_ms: float
    wall: tuple[float, float, float]
    cpu: tuple[float, float, float]


def timed(step: Step) -> Times:
    """Wall-clock and processor seconds of one step."""
    wall, cpu = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - wall, time.process_time() - cpu


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """The lower quartile, the median and the upper quartile."""
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def take_turns(twin: Step, hand: Step, rounds: int) -> list[Round]:
    """Run both in turns, after two rounds that warm up and compile."""
    pairs = []
    for i in range(rounds + 2):
        if i % 2:
            first, second = timed(twin), timed(hand)
        else:
            second, first = timed(hand), timed(twin)
        pairs.append((first, second))
    return pairs[2:]


def summary(framework: str, network: str, work: str, rounds: list[Round]) -> Result:
    """The rounds of all processes as one line of the table."""
    wall = quartiles([twin[0] / hand[0] for twin, hand in rounds])
    cpu = quartiles([twin[1] / hand[1] for twin, hand in rounds])
    twin_ms, hand_ms = (1e3 * statistics.median(pair[i][0] for pair in rounds) for i in (0, 1))
    return Result(framework, network, work, twin_ms, hand_ms, wall, cpu)


def image(size: int) -> Any:
    """One image in [-1, 1], NCHW."""
    return np.random.default_rng(0).uniform(-1, 1, (1, 3, size, size)).astype(np.float32)


def torch_steps(model: Any, x: Any) -> dict[str, Step]:
    """Forward in eval mode, and forward + backward in training mode."""
    import torch

    x = torch.from_numpy(x)

    def forward() -> None:
        model.eval()
        with torch.no_grad():
            model(x)

    def backward() -> None:
        model.train()
        model.zero_grad()
        model(x).mean().backward()

    return {"forward": forward, "forward + backward": backward}


def mindspore_steps(model: Any, x: Any) -> dict[str, Step]:
    """The same as one compiled graph each. The mode is part of the graph, so it is set once, before compiling."""
    import mindspore as ms

    x = ms.Tensor(x)

    def run(image: Any) -> Any:
        return model(image)

    def loss(image: Any) -> Any:
        return model(image).mean()

    compiled = ms.jit(run)
    differentiated = ms.jit(ms.value_and_grad(loss, None, ms.ParameterTuple(model.trainable_params())))

    def forward() -> None:
        model.set_train(False)
        compiled(x).asnumpy()

    def backward() -> None:
        model.set_train(True)
        differentiated(x)[0].asnumpy()

    return {"forward": forward, "forward + backward": backward}


STEPS = {"torch": torch_steps, "mindspore": mindspore_steps}


def same_weights(framework: str, twin: Any, hand: Any) -> None:
    """Give the hand-written network the twin's weights: both define their layers in the order of execution.

    Small numbers can be slow to compute with, so equal work needs equal numbers.
    """
    if framework == "torch":
        for own, other in zip(twin.parameters(), hand.parameters(), strict=True):
            other.data.copy_(own.data)
    else:
        for own, other in zip(twin.trainable_params(), hand.trainable_params(), strict=True):
            assert own.shape == other.shape
            other.set_data(own.value())


def measure(framework: str, network: str, rounds: int, size: int, hand_first: bool) -> dict[str, list[Round]]:
    """The rounds of one network in this process, by kind of work."""
    makers = {
        "twin": lambda: build(spec(network), framework),
        "hand": lambda: getattr(import_module(f"handwritten_{framework}"), NETWORKS[network])(),
    }
    models = {name: makers[name]() for name in sorted(makers, reverse=not hand_first)}
    same_weights(framework, models["twin"], models["hand"])
    steps = {name: STEPS[framework](model, image(size)) for name, model in models.items()}
    return {work: take_turns(steps["twin"][work], steps["hand"][work], rounds) for work in steps["twin"]}


def overhead(framework: str, rounds: int, processes: int, size: int) -> list[Result]:
    """Every network of one framework, each measured in several processes."""
    results = []
    for network in NETWORKS:
        pooled: dict[str, list[Round]] = {}
        for i in range(processes):
            for work, found in in_a_process("--measure", framework, network, rounds, size, i % 2).items():
                pooled.setdefault(work, []).extend(found)
        for work, pairs in pooled.items():
            results.append(summary(framework, network, work, pairs))
            print(row(results[-1]), flush=True)
    return results


def in_a_process(*arguments: object) -> dict[str, Any]:
    """What this script prints as JSON when it is run with these arguments."""
    command = [sys.executable, __file__, *map(str, arguments)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | {"GLOG_v": "3"})
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def row(result: Result) -> str:
    """A line of the first table."""
    name = f"{result.framework:<10}{result.network:<18}{result.work:<20}"
    shares = (f"{middle:6.3f} [{low:.3f}, {high:.3f}]" for low, middle, high in (result.wall, result.cpu))
    return f"{name}{result.twin_ms:9.1f}{result.hand_ms:9.1f}  " + "  ".join(shares)


def kernels() -> dict[str, float]:
    """Milliseconds of a convolution and a transposed one, and tanh's error, in this process as it is set up."""
    import mindspore as ms
    from mindspore import nn, ops

    def best(cell: Any, x: Any) -> float:
        cell(x).asnumpy()
        return 1e3 * min(timed(lambda: cell(x).asnumpy())[0] for _ in range(5))

    generator = np.random.default_rng(0)
    x = ms.Tensor(generator.standard_normal((1, 64, 64, 64), dtype=np.float32))
    wide = np.linspace(-12, 12, 100001, dtype=np.float32)
    exact = np.tanh(wide.astype(np.float64))
    form = 2 * ops.sigmoid(2 * ms.Tensor(wide)) - 1
    return {
        "conv2d 64->64 3x3 at 64 px, ms": best(nn.Conv2d(64, 64, 3, pad_mode="pad", padding=1), x),
        "conv_transpose2d 64->64 4x4/2 at 64 px, ms": best(
            nn.Conv2dTranspose(64, 64, 4, stride=2, pad_mode="pad", padding=1), x
        ),
        "largest error of ops.tanh": float(np.abs(ops.tanh(ms.Tensor(wide)).asnumpy() - exact).max()),
        "largest error of the twin's tanh": float(np.abs(form.asnumpy() - exact).max()),
    }


def part(options: argparse.Namespace) -> dict[str, Any]:
    """What one of the processes measures."""
    if options.measure:
        framework, network, *numbers = options.measure
        rounds, size, hand_first = map(int, numbers)
        return measure(framework, network, rounds, size, bool(hand_first))
    if options.kernels == "prepared":
        from twinzoo.ports.mindspore.runtime import prepare

        prepare()
    return kernels()


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frameworks", nargs="*", default=["torch", "mindspore"], choices=["torch", "mindspore"])
    parser.add_argument("--rounds", type=int, default=7, help="rounds in each process (default: 7)")
    parser.add_argument("--processes", type=int, default=4, help="processes for each network (default: 4)")
    parser.add_argument("--size", type=int, default=256, help="height and width, a multiple of 256 (default: 256)")
    parser.add_argument("--json", type=Path, help="write the results there as well")
    parser.add_argument("--kernels", choices=["prepared", "bare"], help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.kernels or options.measure:
        print(json.dumps(part(options)))
        return
    print(f"{'':<48}{'twin ms':>9}{'hand ms':>9}  {'wall ratio':<22}  cpu ratio (median [quartiles])")
    given = (options.rounds, options.processes, options.size)
    results = [result for name in options.frameworks for result in overhead(name, *given)]
    paths = {}
    if "mindspore" in options.frameworks:
        paths = {how: in_a_process("--kernels", how) for how in ("prepared", "bare")}
    if paths:
        print(f"\n{'MindSpore':<48}{'twinzoo':>12}{'bare':>12}")
        for key, value in paths["prepared"].items():
            print(f"{key:<48}{value:12.3g}{paths['bare'][key]:12.3g}")
    if options.json:
        options.json.write_text(json.dumps({"overhead": [asdict(r) for r in results], "mindspore": paths}, indent=1))


if __name__ == "__main__":
    main()
