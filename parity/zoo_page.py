"""docs/zoo.md: everything that is registered on every port, beside PyTorch, and the page with the figures."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from twinzoo.parity.check import PASSES, Outcome, Sides, check_all
from twinzoo.parity.steps.text import GROUPS
from twinzoo.ports.registry import ports
from twinzoo.zoo import registry
from twinzoo.zoo.errors import ParityError
from twinzoo.zoo.listing import Measured, markdown

PAIRS = {
    "PyTorch, MindSpore": Sides("torch", "mindspore"),
    "PyTorch, MindSpore graph": Sides("torch", "mindspore", graph=True),
    "PyTorch, reference": Sides("torch", "reference"),
}
"""The columns of the page."""

NONE = "-"
"""What stands for a ratio of something that is not there."""

_ABOUT = """\
The last columns are parity: the largest error over what rounding explains ([rounding.md](rounding.md)), of each pair of
ports at the small test size of the model; above 1 would be wrong. Of a model or loss: `forward / gradient / buffers`,
each operation of both sides held against float64, the last two in training mode; the reference, which is that float64,
runs forward alone. Of a training step: `losses / parameters / buffers / optimizer` over {steps} steps from the same
seed and draws, against the envelope of the same training with its roundings moved; {none} is what it has not.
Measured on {date} with {versions}, Python {python}, on {cpu}."""


def write_page(path: Path, seed: int, steps: int, say: Callable[[str], None]) -> bool:
    """Check everything on every pair of PAIRS, a line each, and write the page.

    Args:
        steps: of every training step.

    Returns:
        Whether all of them agree.

    Raises:
        TwinzooError: the page cannot be written.
    """
    from twinzoo.zoo.files import write_text

    if not path.parent.is_dir():  # told before the measuring, which takes long
        raise ParityError(f"{path}: cannot be written: there is no folder {path.parent}")
    columns = []
    for title, sides in PAIRS.items():
        say(f"{title}:")
        columns.append({outcome.name: outcome for outcome in check_all(sides, seed, steps, say)})
    write_text(path, markdown(Measured(_about(steps), tuple(PAIRS), _rows(columns))))
    return all(outcome.ok for column in columns for outcome in column.values())


def _rows(columns: list[dict[str, Outcome]]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(shown(column[name]) for column in columns) for name in columns[0]}


def shown(outcome: Outcome) -> str:
    """The ratios of an outcome to two digits; bold where the sides do not agree."""
    kinds = GROUPS if registry.is_step(outcome.name) else PASSES
    text = " / ".join(_number(outcome.ratios, kind) for kind in kinds)
    return text if outcome.ok else f"**{text}**"


def _number(ratios: Mapping[str, float], kind: str) -> str:
    return f"{ratios[kind]:.2g}" if kind in ratios else NONE


def _about(steps: int) -> str:
    frameworks = [f"{info.framework} {info.version}" for info in ports()]
    return _ABOUT.format(
        steps=steps,
        none=f"`{NONE}`",
        date=datetime.now(UTC).date(),
        versions=", ".join(frameworks),
        python=platform.python_version(),
        cpu=_cpu(),
    )


def _cpu() -> str:
    """The kind of processor, as Linux says; elsewhere its architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(errors="replace").splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
