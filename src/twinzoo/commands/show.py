"""`twinzoo show`: one model, loss or training step as a table or as JSON."""

from __future__ import annotations

import click


@click.command()
@click.argument("name", metavar="NAME[,OPTION=VALUE...]")
@click.option("--as-json", is_flag=True, help="Print JSON instead of a table.")
def show(name: str, as_json: bool) -> None:
    """Print a model, loss or training step as a table.

    Of a training step: its graph with the updates in their places (what each moves, by which loss, and which networks
    it goes through without moving them), its networks, and its optimizers with their schedules.
    """
    from twinzoo.zoo.registry import is_step
    from twinzoo.zoo.spec import to_json
    from twinzoo.zoo.steps.serial import step_to_json
    from twinzoo.zoo.text import spec_from_text, step_from_text

    if is_step(name.partition(",")[0]):
        step = step_from_text(name)
        click.echo(step_to_json(step) if as_json else str(step))
        return
    drawn = spec_from_text(name)
    click.echo(to_json(drawn) if as_json else str(drawn))
