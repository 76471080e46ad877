"""`twinzoo check`: the twins of one registered model, loss or training step, or of all of them."""

from __future__ import annotations

from pathlib import Path

import click

from twinzoo.commands.options import ALL_LAYERS, GRAD, HTML, JSON, TRAIN, show_report, show_steps


@click.command()
@click.argument("name", metavar="NAME[,OPTION=VALUE...]", required=False)
@click.option("--all", "every", is_flag=True, help="Check everything that is registered, at its small test size.")
@click.option("--ports", "names", default="torch,mindspore", show_default=True, help="The two sides, comma-separated.")
@click.option("--graph", is_flag=True, help="MindSpore in graph mode, not in PyNative mode.")
@click.option("--weights", type=click.Path(path_type=Path), help="A checkpoint, rather than seeded initial weights.")
@click.option("--size", type=click.IntRange(min=1), help="Height and width of the random inputs.")
@GRAD
@TRAIN
@click.option(
    "--steps",
    type=click.IntRange(min=0),
    help="Train both for so many steps too; a training step 3 without it, with --all 1, for the page 10.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of weights and inputs.")
@ALL_LAYERS
@JSON
@HTML
@click.option(
    "--markdown", "page", type=click.Path(path_type=Path), help="With --all: on every port, written as docs/zoo.md is."
)
def check(
    name: str | None,
    every: bool,
    names: str,
    graph: bool,
    weights: Path | None,
    size: int | None,
    grad: bool,
    train: bool,
    steps: int | None,
    seed: int,
    all_layers: bool,
    json_path: Path | None,
    html_path: Path | None,
    page: Path | None,
) -> None:
    """Compare a model's twins layer by layer, or a training step's step by step.

    Both ports run the same weights and inputs; each layer of each is held against float64. With --all that is each
    model's and loss's forward pass, a pass in training mode with all gradients, and each training step.
    """
    from twinzoo.parity.check import Sides, check_all, check_one
    from twinzoo.parity.steps.check import check_step
    from twinzoo.parity.zoo_page import write_page
    from twinzoo.zoo.registry import any_entry
    from twinzoo.zoo.text import step_from_text

    if bool(name) == every:
        raise click.UsageError("give a NAME or --all")
    pair = names.split(",")
    if len(pair) != 2:
        raise click.UsageError(f"--ports {names}: give two ports, as in torch,mindspore")
    if every and (weights or size or grad or train or all_layers or json_path or html_path):
        raise click.UsageError("--all takes --ports, --graph, --steps, --seed and --markdown alone")
    if page and not every:
        raise click.UsageError("--markdown is for --all: give both")
    sides = Sides(pair[0], pair[1], graph)
    if page:
        raise SystemExit(0 if write_page(page, seed, steps or 10, click.echo) else 1)
    if every:
        outcomes = check_all(sides, seed, steps or 1, click.echo)
        raise SystemExit(0 if all(outcome.ok for outcome in outcomes) else 1)
    if any_entry(str(name).partition(",")[0]).kind == "step":
        with sides.mode():
            stepped = check_step(step_from_text(str(name)), (sides.a, sides.b), steps or 3, seed)
        show_steps(stepped, json_path, html_path)
    report = check_one(str(name), sides, weights, size, seed, grad=grad, train=train, steps=steps or 0)
    show_report(report, all_layers, json_path, html_path)
