"""What a full layer-wise comparison costs, against running both models once.

    python benchmarks/parity.py [--size 256] [--rounds 3] [--json FILE]

The pair is pix2pix's U-Net of 54 M parameters as PyTorch and MindSpore twins, compared as strangers' models: traced,
aligned by their graphs, and every operation of both held against float64. Each job runs in a process of its own:

- `forward`: both bare forward passes, warm, in inference mode; the median of the rounds.
- `compare`: `tz.compare` of the two live models, warm too (a pair of small ones is compared first); with `grad`, of
  their gradients too.
- `record`: `tz.record` of each, and `records`: comparing the two files, where no framework is imported.

The bound that is asked for is 3 times the two forward passes and 2 s. Peak memory is what the kernel counts as resident
at most (ru_maxrss), the models and the frameworks included.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

FACTOR, SPARE = 3.0, 2.0


def _image(size: int) -> Any:
    import numpy as np

    return np.random.default_rng(0).uniform(-1, 1, (1, 3, size, size)).astype(np.float32)


def _pair(name: str = "unet") -> tuple[Any, Any]:
    """A model on both frameworks, as strangers' models."""
    import twinzoo as tz

    pair = tz.build(name, "torch"), tz.build(name, "mindspore")
    for model in pair:
        del model.twinzoo_spec
    return pair


def _warm(a: Any, b: Any, size: int) -> float:
    """Seconds for one forward pass of each."""
    import mindspore
    import torch

    image = _image(size)
    began = time.perf_counter()
    with torch.inference_mode():
        a(torch.from_numpy(image))
    b(mindspore.Tensor(image)).asnumpy()
    return time.perf_counter() - began


def forward(size: int, rounds: int, folder: Path) -> dict[str, float]:
    a, b = _pair()
    _warm(a, b, size)
    return {"seconds": statistics.median(_warm(a, b, size) for _ in range(rounds))}


def compare(size: int, rounds: int, folder: Path, *, grad: bool = False) -> dict[str, float]:
    import twinzoo as tz

    tz.compare(*_pair("aodnet"), _image(16), grad=grad)
    a, b = _pair()
    _warm(a, b, size)
    began = time.perf_counter()
    report = tz.compare(a, b, _image(size), grad=grad)
    seconds = time.perf_counter() - began
    assert report.ok, str(report)
    return {"seconds": seconds, "rows": len(report.layers)}


def compare_grad(size: int, rounds: int, folder: Path) -> dict[str, float]:
    return compare(size, rounds, folder, grad=True)


def record(size: int, rounds: int, folder: Path) -> dict[str, float]:
    import twinzoo as tz

    model = tz.build("unet", "torch")
    began = time.perf_counter()
    tz.record(model, _image(size), folder / "a.safetensors")
    seconds = time.perf_counter() - began
    tz.record(tz.build("unet", "mindspore"), _image(size), folder / "b.safetensors")
    return {"seconds": seconds, "megabytes": (folder / "a.safetensors").stat().st_size / 1e6}


def records(size: int, rounds: int, folder: Path) -> dict[str, float]:
    import twinzoo as tz

    began = time.perf_counter()
    report = tz.compare(folder / "a.safetensors", folder / "b.safetensors")
    seconds = time.perf_counter() - began
    assert report.ok and not {"torch", "mindspore"} & set(sys.modules), str(report)
    return {"seconds": seconds, "rows": len(report.layers)}


JOBS = {job.__name__: job for job in (forward, compare, compare_grad, record, records)}


def _in_a_process(job: str, size: int, rounds: int, folder: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--job", job, "--size", str(size), "--rounds", str(rounds)]
    done = subprocess.run([*command, "--folder", str(folder)], check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=256, help="height and width of the image")
    parser.add_argument("--rounds", type=int, default=3, help="of the bare forward passes")
    parser.add_argument("--json", type=Path, help="write the table to this file too")
    parser.add_argument("--job", choices=JOBS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.job:
        made = JOBS[arguments.job](arguments.size, arguments.rounds, arguments.folder)
        made["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(made))
        return
    with tempfile.TemporaryDirectory() as folder:
        table = {job: _in_a_process(job, arguments.size, arguments.rounds, Path(folder)) for job in JOBS}
    for job, row in table.items():
        rest = ", ".join(f"{name} {value:,.0f}" for name, value in row.items() if name not in ("seconds", "memory"))
        print(f"{job:14} {row['seconds']:6.2f} s   peak {row['memory']:6,.0f} MB   {rest}")
    allowed = FACTOR * table["forward"]["seconds"] + SPARE
    print(f"asked for: at most {FACTOR:g} x both forwards + {SPARE:g} s = {allowed:.2f} s")
    if arguments.json:
        arguments.json.write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
