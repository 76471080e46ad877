"""Planted bugs and what the comparison makes of them: caught, named, or called something else; and clean pairs accused.

    python benchmarks/diagnosis.py [--seeds 5] [--json FILE]

The confusion table has a row for each cause that was planted. The exit status is 1 if a bug was not caught, if fewer
than 95 % were named, or if a clean pair was accused.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import twinzoo as tz
from parity_tests.planted.cases import CASES, IMAGE
from parity_tests.planted.network import network, twin_of

ENOUGH = 0.95
NORMS = ("batch", "instance", "group")
SCALES = (1e-3, 1.0, 1e3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5, help="of the clean pairs")
    parser.add_argument("--json", type=Path, help="write the table to this file too")
    arguments = parser.parse_args()
    table: dict[str, Counter[str]] = {}
    caught = named = 0
    for case in CASES:
        report = tz.compare(*case.plant(), IMAGE)
        causes = [finding.cause for finding in report.findings]
        caught += not report.ok
        named += case.cause in causes
        said = case.cause if case.cause in causes else (causes[0] if causes else "nothing")
        table.setdefault(case.cause, Counter())[said] += 1
    for cause, counts in sorted(table.items()):
        print(f"{cause:18} " + ", ".join(f"{name} {count}" for name, count in counts.most_common()))
    accused = clean = 0
    for seed in range(arguments.seeds):
        for norm in NORMS:
            model = network(seed, norm=norm)
            for scale in SCALES:
                accused += not tz.compare(model, twin_of(model), IMAGE * np.float32(scale)).ok
                clean += 1
    print(f"{len(CASES)} planted: {caught} caught, {named} named; {clean} clean pairs: {accused} accused")
    if arguments.json:
        arguments.json.write_text(json.dumps({cause: dict(said) for cause, said in table.items()}, indent=1))
    if caught < len(CASES) or named < ENOUGH * len(CASES) or accused:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
