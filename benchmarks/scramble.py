"""Scrambled networks converted by the hundred: how many are right, refused, or wrong without a word.

    python benchmarks/scramble.py [--seeds 500] [--json FILE]

Each seed draws a random network and writes it twice, under other names, in another nesting and order of definition, in
PyTorch or MindSpore. Right means that the filled target computes what the source computes on a fresh input; where
layers may be exchanged without changing that, either way is right. The exit status is 1 if any was wrong, or if fewer
than 97 % were right.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from parity_tests.scramble.case import run

ENOUGH = 0.97


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=500)
    parser.add_argument("--json", type=Path, help="write every outcome to this file")
    arguments = parser.parse_args()
    outcomes = []
    start = time.perf_counter()
    for seed in range(arguments.seeds):
        outcomes.append(run(seed))
        if outcomes[-1].verdict != "right":
            print(f"seed {seed}: {outcomes[-1].verdict}: {outcomes[-1].detail}")
    counts = Counter(outcome.verdict for outcome in outcomes)
    ways = Counter(outcome.how for outcome in outcomes if outcome.verdict == "right")
    layers = sum(outcome.layers for outcome in outcomes)
    print(f"{len(outcomes)} networks, {layers} layers, {time.perf_counter() - start:.0f} s")
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.most_common()))
    print("decided by: " + ", ".join(f"{how} {count}" for how, count in ways.most_common()))
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))
    if counts["wrong"] or counts["right"] < ENOUGH * len(outcomes):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
