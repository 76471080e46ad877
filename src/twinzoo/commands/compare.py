"""`twinzoo compare` and `twinzoo record`: any two models side by side, or one written down for later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from twinzoo.commands.options import JSON, factory, random_inputs, show_report

_INPUT = click.option(
    "--input", "shapes", multiple=True, metavar="NAME=1x3x64x64", help="The shape of an input; seeded noise is fed."
)


@click.command()
@click.option("--a", required=True, metavar="PKG.MOD:FACTORY|RECORD", help="What is right.")
@click.option("--b", required=True, metavar="PKG.MOD:FACTORY|RECORD", help="What is compared with it.")
@_INPUT
@JSON
@click.option("--html", "html_path", type=click.Path(path_type=Path), help="Write the report as a web page too.")
def compare(a: str, b: str, shapes: tuple[str, ...], json_path: Path | None, html_path: Path | None) -> None:
    """Compare two models of anybody's, operation by operation.

    Each side is a function that makes an nn.Module or an nn.Cell, or the path of a record.
    """
    import twinzoo

    report = twinzoo.compare(_side("--a", a), _side("--b", b), random_inputs(shapes))
    show_report(report, json_path, html_path)


@click.command()
@click.argument("model", metavar="PKG.MOD:FACTORY")
@click.argument("path", type=click.Path(path_type=Path))
@_INPUT
def record(model: str, path: Path, shapes: tuple[str, ...]) -> None:
    """Run a model once and write down what each operation gave.

    The record can be compared on another machine, where neither framework needs to be.
    """
    import twinzoo

    twinzoo.record(factory("MODEL", model), random_inputs(shapes), path)
    click.echo(f"wrote {path}")


def _side(option: str, given: str) -> Any:
    return given if Path(given).suffix == ".safetensors" else factory(option, given)
