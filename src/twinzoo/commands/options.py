"""What several commands read in the same way."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    import numpy as np

    from twinzoo.parity.report import ParityReport
    from twinzoo.parity.steps.report import StepsReport

JSON = click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the result as JSON too.")
HTML = click.option("--html", "html_path", type=click.Path(path_type=Path), help="Write the report as a web page too.")
GRAD = click.option("--grad", is_flag=True, help="The gradients of all values and parameters too.")
TRAIN = click.option("--train", is_flag=True, help="In training mode, with the running statistics after it.")
ALL_LAYERS = click.option("--all-layers", is_flag=True, help="Show every row of a long table.")


def write_json(path: Path | None, text: str) -> None:
    """Write the file that `--json` names, if it was given."""
    from twinzoo.zoo.files import write_text

    if path:
        write_text(path, text + "\n")


def factory(option: str, reference: str) -> Any:
    """Call `pkg.mod:factory`, looked for in the working directory too; it must make a live model.

    Raises:
        TwinzooError: it cannot be called, or makes something else.
    """
    from twinzoo.converters.live import framework_of
    from twinzoo.zoo.errors import TwinzooError

    module, colon, name = reference.partition(":")
    if not colon:
        raise click.UsageError(f"{option} {reference}: must be of the form pkg.mod:factory")
    sys.path.insert(0, "")
    try:
        made = getattr(importlib.import_module(module), name)()
    except Exception as error:  # a stranger's module may raise anything; the user needs the cause in one line
        raise TwinzooError(f"{option} {reference}: {type(error).__name__}: {error}") from error
    if not framework_of(made):
        raise TwinzooError(f"{option} {reference}: made a {type(made).__name__}, must be an nn.Module or an nn.Cell")
    return made


def random_inputs(given: tuple[str, ...]) -> tuple[np.ndarray[Any, Any], ...] | None:
    """`image=1x3x64x64` as seeded normal noise of that shape; None where nothing was given.

    In the order given, since two frameworks' layers have other names for one argument.
    """
    import numpy as np

    rng = np.random.default_rng(0)
    inputs = []
    for text in given:
        _, equals, sizes = text.partition("=")
        numbers = sizes.lower().split("x")
        if not equals or not all(number.isdigit() and int(number) for number in numbers):
            raise click.UsageError(f"--input {text}: must be of the form name=1x3x64x64")
        inputs.append(rng.standard_normal([int(number) for number in numbers]).astype(np.float32))
    return tuple(inputs) or None


def show_steps(report: StepsReport, json_path: Path | None, html_path: Path | None) -> None:
    """Print a comparison of training steps, write what was asked for, and end with 1 where the sides differ."""
    click.echo(str(report))
    if json_path:
        report.to_json(json_path)
    if html_path:
        report.to_html(html_path)
    raise SystemExit(0 if report.ok else 1)


def show_report(report: ParityReport, all_layers: bool, json_path: Path | None, html_path: Path | None) -> None:
    """Print a comparison, write what was asked for, and end with 1 where the sides differ.

    It has colours on a terminal alone, and nowhere where NO_COLOR is set (no-color.org).
    """
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    click.echo(report.text(all_layers=all_layers, colour=colour))
    if json_path:
        report.to_json(json_path)
    if html_path:
        report.to_html(html_path)
    raise SystemExit(0 if report.ok else 1)
