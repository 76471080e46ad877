"""Planted bugs and what the comparison makes of them: caught, named, or called something else; and clean pairs accused.

    python -m benchmarks.diagnosis [--seeds 3] [--framework torch mindspore] [--json FILE]
    python -m benchmarks.diagnosis --calibrate 1000 [--half]

The confusion table has a row for each cause that was planted, in networks and losses, in gradients and in training
loops: the right side is in PyTorch (loops: in NumPy), the wrong one in either framework. Clean pairs are the planted
networks without a bug and every model of the zoo. The exit status is 1 if a bug was not caught, if fewer than 95 % were
named, or if a clean pair was accused.

Calibration draws random networks, clean twins of them in either framework and inputs of any size; then one weight of
one twin is changed by a thousandth; in half precision gradients are compared too, and one of them is made a fifth
larger. The exit status is 1 after any false alarm or miss.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain, product
from pathlib import Path
from typing import Any

os.environ.setdefault("GLOG_v", "3")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
from numpy.typing import NDArray

import twinzoo as tz
from parity_tests.parity.steps.test_planted import PLANTED, planted_steps
from parity_tests.planted.backward_cases import CASES as BACKWARD
from parity_tests.planted.backward_torch import learner
from parity_tests.planted.calibration import Trial, half_trial, trial
from parity_tests.planted.cases import CASES, IMAGE, network_in
from parity_tests.planted.plan import weights
from parity_tests.planted.test_backward import IMAGE as PICTURES
from parity_tests.planted.test_backward import other
from twinzoo.parity.check import small_inputs
from twinzoo.ports.mindspore.modes import graph_mode
from twinzoo.zoo import registry

ENOUGH = 0.95
NORMS = ("batch", "instance", "group")
SCALES = (1e-3, 1.0, 1e3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3, help="of the clean pairs")
    parser.add_argument("--framework", nargs="+", choices=["torch", "mindspore"], default=["torch", "mindspore"])
    parser.add_argument("--calibrate", type=int, metavar="N", help="draw so many random networks instead")
    parser.add_argument("--half", action="store_true", help="draw them in half precision, with gradients")
    parser.add_argument("--first", type=int, default=0, help="seed of the first of them")
    parser.add_argument("--json", type=Path, help="write the table, or the false alarms and misses, to this file too")
    arguments = parser.parse_args()
    if arguments.calibrate:
        seeds = range(arguments.first, arguments.first + arguments.calibrate)
        failed, written = calibrated(seeds, arguments.framework, half_trial if arguments.half else trial)
    else:
        failed, written = confusion(arguments.seeds, arguments.framework)
    if arguments.json:
        arguments.json.write_text(json.dumps(written, indent=1))
    if failed:
        raise SystemExit(1)


Outcome = tuple[str, bool, list[str]]
"""The cause that was planted, whether the sides were said to agree, and the causes that were found."""


def confusion(seeds: int, frameworks: list[str]) -> tuple[bool, object]:
    """Print the table; whether it is not good enough, and the table."""
    table: dict[str, Counter[str]] = {}
    planted = caught = named = 0
    for cause, ok, causes in chain(_forward(frameworks), _backward(frameworks), _training(frameworks)):
        planted += 1
        caught += not ok
        named += cause in causes
        said = cause if cause in causes else (causes[0] if causes else "nothing")
        table.setdefault(cause, Counter())[said] += 1
    for cause, counts in sorted(table.items()):
        print(f"{cause:18} " + ", ".join(f"{name} {count}" for name, count in counts.most_common()))
    outcomes = [*_clean_pairs(seeds, frameworks), *_clean_zoo(seeds, frameworks)]
    accused = [name for name, ok in outcomes if not ok]
    print(f"{planted} planted: {caught} caught, {named} named")
    print(f"{len(outcomes)} clean pairs: {len(accused)} accused {', '.join(accused)}".rstrip())
    failed = caught < planted or named < ENOUGH * planted or bool(accused)
    return failed, {cause: dict(said) for cause, said in table.items()}


def _forward(frameworks: list[str]) -> Iterator[Outcome]:
    """Bugs in a network and its loss."""
    for framework in frameworks:
        for case in CASES:
            if case.only in ("", framework):
                report = tz.compare(*case.plant(framework), IMAGE)
                yield case.cause, report.ok, [finding.cause for finding in report.findings]


def _backward(frameworks: list[str]) -> Iterator[Outcome]:
    """Bugs in gradients, running statistics and dropout."""
    for framework in frameworks:
        for case in BACKWARD:
            if case.both or framework == "torch":
                report = tz.compare(learner(), other(framework, case.bug), PICTURES, grad=True, train=case.train)
                yield case.cause, report.ok, [finding.cause for finding in report.findings]


def _training(frameworks: list[str]) -> Iterator[Outcome]:
    """Bugs in loops: losses, optimizers, schedules, what is fed."""
    for what, (_, _, causes, _, _) in PLANTED.items():
        report = planted_steps(what)
        yield causes[0], report.ok, [finding.cause for finding in report.findings]


def _clean_pairs(seeds: int, frameworks: list[str]) -> Iterator[tuple[str, bool]]:
    for seed in range(seeds):
        for norm in NORMS:
            right = network_in("torch", weights(seed), norm=norm)
            for framework in frameworks:
                twin = network_in(framework, weights(seed), norm=norm)
                for scale in SCALES:
                    yield f"{framework} {norm} {scale}", tz.compare(right, twin, IMAGE * np.float32(scale)).ok


def _clean_zoo(seeds: int, frameworks: list[str]) -> Iterator[tuple[str, bool]]:
    """Every model of the zoo at its small size, as a stranger's, in training mode with all gradients and inputs of
    several sizes; once in MindSpore's graph mode too, compiled beside plain."""
    tz.models()
    for entry, seed in product(registry.MODELS.values(), range(seeds)):
        spec = registry.spec(entry.name, **entry.small)
        right, scale = tz.build(spec, "torch", seed=seed), SCALES[(seed + 1) % len(SCALES)]
        inputs = tuple(_of_size(x, scale) for x in small_inputs(spec, seed).values())
        for framework in frameworks:
            twin = tz.build(spec, framework, seed=seed)
            name = f"{entry.name} {framework} {seed} x {scale:g}"
            yield name, tz.compare(right, twin, inputs, grad=True, train=True).ok
        if seed == 0 and "mindspore" in frameworks:
            with graph_mode():
                twin = tz.build(spec, "mindspore", seed=seed)
                yield f"{entry.name} in graph mode", tz.compare(right, twin, inputs, train=True).ok


def _of_size(x: NDArray[Any], scale: float) -> NDArray[Any]:
    """Numbers times a scale; indices as they are."""
    return x * np.float32(scale) if x.dtype.kind == "f" else x


def calibrated(seeds: range, frameworks: list[str], draw: Callable[..., Trial]) -> tuple[bool, object]:
    """Print how many clean twins were accused and how many planted changes were missed; whether any, and which."""
    start = time.perf_counter()
    done: list[Trial] = [draw(seed, frameworks) for seed in seeds]
    for kind in ("false alarm", "miss"):
        for one in done:
            if text := one.alarm if kind == "false alarm" else one.miss:
                print(f"seed {one.seed}, {one.layers} layers, {one.frameworks}, scale {one.scale:.0e}: {kind}: {text}")
    alarms, misses = [one for one in done if one.alarm], [one for one in done if one.miss]
    depths = [one.layers for one in done]
    shown = sum(one.shows for one in done)
    print(
        f"{len(done)} networks of {min(depths)} to {max(depths)} layers, {time.perf_counter() - start:.0f} s: "
        f"{len(alarms)} false alarms; {len(misses)} misses of what was planted, of which {shown} show in the "
        f"layer's own output"
    )
    return bool(alarms or misses), [vars(one) for one in alarms + misses]


if __name__ == "__main__":
    main()
