"""`twinzoo check`: the twins of one registered model, loss or training step, or of all of them."""

from __future__ import annotations

from pathlib import Path

import click

from twinzoo.commands.options import ALL_LAYERS, GRAD, HTML, JSON, TRAIN, show_report, show_steps


@click.command()
@click.argument("name", metavar="NAME[,OPTION=VALUE...]", required=False)
@click.option("--all", "every", is_flag=True, help="Check every model and loss, at its small test size.")
@click.option("--ports", "names", default="torch,mindspore", show_default=True, help="The two sides, comma-separated.")
@click.option("--weights", type=click.Path(path_type=Path), help="A checkpoint, rather than seeded initial weights.")
@click.option("--size", type=click.IntRange(min=1), help="Height and width of the random inputs.")
@GRAD
@TRAIN
@click.option("--steps", default=0, help="Train both for so many steps too; 3 for a training step.")
@click.option("--seed", default=0, show_default=True, help="Seed of weights and inputs.")
@ALL_LAYERS
@JSON
@HTML
def check(
    name: str | None,
    every: bool,
    names: str,
    weights: Path | None,
    size: int | None,
    grad: bool,
    train: bool,
    steps: int,
    seed: int,
    all_layers: bool,
    json_path: Path | None,
    html_path: Path | None,
) -> None:
    """Compare a model's twins layer by layer, or a training step's step by step.

    Both ports run the same weights and inputs; each layer of each is held against float64. With --all that is each
    model's and loss's forward pass, a pass in training mode with all gradients, and one step of each training step.
    """
    from twinzoo.parity.check import check_all, check_one
    from twinzoo.parity.steps.check import check_step
    from twinzoo.zoo.registry import is_step

    if bool(name) == every:
        raise click.UsageError("give a NAME or --all")
    sides = tuple(names.split(","))
    if len(sides) != 2:
        raise click.UsageError(f"--ports {names}: give two ports, as in torch,mindspore")
    if every and (weights or size or grad or train or steps or all_layers or json_path or html_path):
        raise click.UsageError("--all takes --ports and --seed alone")
    if every:
        ok = check_all((sides[0], sides[1]), seed, click.echo)
        raise SystemExit(0 if ok else 1)
    pair = sides[0], sides[1]
    if is_step(str(name).partition(",")[0]):
        show_steps(check_step(str(name), pair, steps or 3, seed), json_path, html_path)
    report = check_one(str(name), pair, weights, size, seed, grad=grad, train=train, steps=steps)
    show_report(report, all_layers, json_path, html_path)
