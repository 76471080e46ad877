"""`twinzoo compare` and `twinzoo record`: any two models side by side, or one written down for later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from twinzoo.commands.options import ALL_LAYERS, GRAD, HTML, JSON, TRAIN, factory, random_inputs, show_report

_INPUT = click.option(
    "--input", "shapes", multiple=True, metavar="NAME=1x3x64x64", help="The shape of an input; seeded noise is fed."
)


@click.command()
@click.option("--a", required=True, metavar="PKG.MOD:FACTORY|RECORD", help="What is right.")
@click.option("--b", required=True, metavar="PKG.MOD:FACTORY|RECORD", help="What is compared with it.")
@_INPUT
@GRAD
@TRAIN
@click.option("--steps", default=0, help="Train both for so many steps of Adam too.")
@ALL_LAYERS
@JSON
@HTML
def compare(
    a: str,
    b: str,
    shapes: tuple[str, ...],
    grad: bool,
    train: bool,
    steps: int,
    all_layers: bool,
    json_path: Path | None,
    html_path: Path | None,
) -> None:
    """Compare two models of anybody's, operation by operation.

    Each side is a function that makes an nn.Module or an nn.Cell, or the path of a record.
    """
    import twinzoo

    sides = _side("--a", a), _side("--b", b)
    report = twinzoo.compare(*sides, random_inputs(shapes), grad=grad, train=train, steps=steps)
    show_report(report, all_layers, json_path, html_path)


@click.command()
@click.argument("model", metavar="PKG.MOD:FACTORY")
@click.argument("path", type=click.Path(path_type=Path))
@_INPUT
@GRAD
@TRAIN
def record(model: str, path: Path, shapes: tuple[str, ...], grad: bool, train: bool) -> None:
    """Run a model once and write down what each operation gave.

    The record can be compared on another machine, where neither framework needs to be.
    """
    import twinzoo

    twinzoo.record(factory("MODEL", model), random_inputs(shapes), path, grad=grad, train=train)
    click.echo(f"wrote {path}")


def _side(option: str, given: str) -> Any:
    return given if Path(given).suffix == ".safetensors" else factory(option, given)
