"""What converting a checkpoint costs, against copying it and against doing it with the frameworks.

    python benchmarks/convert.py [--rounds 5] [--folder DIR] [--json FILE]

A state of VGG16's size and shapes (553 MB, 411 MB of it in one tensor) is written to a temporary folder. Every job runs
in a fresh process, all jobs in turns, several rounds; the tables show medians. Writing jobs end with the new file on
the disk (fsync); the page cache is warm for all. The wall-clock ratio is taken round by round against `cp` and fsync.
twinzoo reads what it wrote back and compares it bit for bit, which no other job here does. Its processes fail if
torch or mindspore were imported in them.

Peak memory is what the kernel counts as resident at most (ru_maxrss), pages of mapped files included. What the process
that starts another holds is counted for that one too, so this one stays small: the files are made in one of their own.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

CHANNELS = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
DENSE = ((4096, 25088), (4096, 4096), (1000, 4096))
OURS = """
import sys, twinzoo
twinzoo.convert({!r}, None, {!r})
sys.exit(bool({{"torch", "mindspore"}} & set(sys.modules)))
"""
SCRIPT = """
import mindspore, torch
state = torch.load({!r}, weights_only=True)
saved = [{{"name": key, "data": mindspore.Tensor(value.numpy())}} for key, value in state.items()]
mindspore.save_checkpoint(saved, {!r})
"""


@dataclass(frozen=True)
class Job:
    """A command, the file that it writes if it writes one, and what it needs."""

    name: str
    command: list[str]
    output: str = ""
    needs: tuple[str, ...] = ()
    fsync: bool = False
    """Whether the output has still to be put on the disk, as part of what is measured."""


@dataclass(frozen=True)
class Cost:
    """Seconds of the wall clock and of the processor, and peak memory in MB."""

    wall: float
    cpu: float
    memory: float


@dataclass(frozen=True)
class Result:
    """Medians of a job's rounds; `ratio` is its wall-clock time in those of cp and fsync."""

    name: str
    wall: float
    ratio: float
    cpu: float
    memory: float


def make() -> None:
    """Write the files that are converted."""
    from twinzoo.converters.files import read, write

    write("vgg16.pth", vgg16())
    write("vgg16.ckpt", read("vgg16.pth"))


def vgg16() -> dict[str, Any]:
    """Random values in the shapes of VGG16 with its classifier."""
    import numpy as np

    generator = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {}
    for index, (inputs, outputs) in enumerate(zip((3, *CHANNELS), CHANNELS, strict=False)):
        shapes |= {f"features.{index}.weight": (outputs, inputs, 3, 3), f"features.{index}.bias": (outputs,)}
    for index, (outputs, inputs) in enumerate(DENSE):
        shapes |= {f"classifier.{index}.weight": (outputs, inputs), f"classifier.{index}.bias": (outputs,)}
    return {key: generator.standard_normal(shape, np.float32) for key, shape in shapes.items()}


def jobs() -> list[Job]:
    """Everything that is measured; the files are in the working directory."""
    python, twinzoo = sys.executable, str(Path(sys.executable).with_name("twinzoo"))

    def ours(source: str, output: str) -> list[Job]:
        name = f"{Path(source).suffix} -> {Path(output).suffix}"
        return [
            Job(f"twinzoo.convert {name}", [python, "-c", OURS.format(source, output)], output),
            Job(f"twinzoo convert {name}", [twinzoo, "convert", source, output], output),
        ]

    plain = "torch.load + mindspore.save_checkpoint"
    return [
        Job("cp", ["cp", "vgg16.pth", "copy.pth"], "copy.pth", fsync=True),
        *ours("vgg16.pth", "out.ckpt"),
        *ours("vgg16.pth", "out.safetensors"),
        *ours("vgg16.ckpt", "out.pth"),
        Job(plain, [python, "-c", SCRIPT.format("vgg16.pth", "out.ckpt")], "out.ckpt", ("torch", "mindspore"), True),
        Job("torch.load", [python, "-c", "import torch; torch.load('vgg16.pth', weights_only=True)"], "", ("torch",)),
        Job(
            "mindspore.load_checkpoint",
            [python, "-c", "import mindspore; mindspore.load_checkpoint('vgg16.ckpt')"],
            "",
            ("mindspore",),
        ),
        Job("Python and NumPy alone", [python, "-c", "import numpy"]),
    ]


def measured(job: Job) -> Cost:
    """One run of a job in a fresh process, from no output file to one on the disk."""
    if job.output:
        Path(job.output).unlink(missing_ok=True)
    os.sync()
    begin = time.perf_counter()
    process = subprocess.Popen(job.command, stdout=subprocess.DEVNULL, env=os.environ | {"GLOG_v": "3"})
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{job.name}: failed with {os.waitstatus_to_exitcode(status)}")
    if job.fsync:
        with open(job.output, "r+b") as stream:
            os.fsync(stream.fileno())
    wall = time.perf_counter() - begin
    return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3))


def compare(rounds: int) -> list[Result]:
    """All jobs in turns; each round begins with the copy that it is held against."""
    chosen = [job for job in jobs() if all(find_spec(name) for name in job.needs)]
    costs: dict[str, list[Cost]] = {job.name: [] for job in chosen}
    for _ in range(rounds):
        for job in chosen:
            costs[job.name].append(measured(job))
    copies = costs["cp"]
    return [
        Result(
            name,
            statistics.median(cost.wall for cost in found),
            statistics.median(cost.wall / copy.wall for cost, copy in zip(found, copies, strict=True)),
            statistics.median(cost.cpu for cost in found),
            statistics.median(cost.memory for cost in found),
        )
        for name, found in costs.items()
    ]


def table(results: list[Result]) -> str:
    """The results as text."""
    lines = [f"{'':<42}{'wall s':>8}{'x cp':>7}{'cpu s':>8}{'peak MB':>9}"]
    lines += [f"{r.name:<42}{r.wall:8.2f}{r.ratio:7.2f}{r.cpu:8.2f}{r.memory:9.0f}" for r in results]
    return "\n".join(lines)


def main() -> None:
    """Make the files, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="runs of every job (default: 5)")
    parser.add_argument("--folder", type=Path, help="where to make the 2.2 GB of files (default: the temporary folder)")
    parser.add_argument("--make", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", type=Path, help="write the results there as well")
    options = parser.parse_args()
    if options.make:
        make()
        return
    report = options.json.resolve() if options.json else None
    folder = tempfile.mkdtemp(prefix="twinzoo-convert-", dir=options.folder)
    try:
        os.chdir(folder)
        subprocess.run([sys.executable, str(Path(__file__).resolve()), "--make"], check=True)
        results = compare(options.rounds)
    finally:
        os.chdir("/")
        shutil.rmtree(folder)
    print(table(results))
    if report:
        report.write_text(json.dumps([asdict(result) for result in results], indent=1))


if __name__ == "__main__":
    main()
