"""`twinzoo models`: everything that is registered, with its size and its source."""

from __future__ import annotations

import click


@click.command()
@click.argument("pattern", default="*")
@click.option("--task", default="", help="Those for one task: colorization, dehazing, translation ...")
@click.option("--family", default="", help="Those of one family, which is a file of the zoo: unet, vgg, cyclegan ...")
def models(pattern: str, task: str, family: str) -> None:
    """List the models, losses and training steps whose names a shell PATTERN fits; presets are NAME.PRESET."""
    from twinzoo.zoo import registry
    from twinzoo.zoo.listing import HEAD, cells, rows
    from twinzoo.zoo.spec.show import columns

    problems = registry.load()
    listed = [cells(row) for row in rows(pattern, task, family)]
    click.echo("\n".join(columns([HEAD, *listed], right=(4, 5))))
    for problem in problems:
        click.echo(f"twinzoo: {problem}", err=True)
