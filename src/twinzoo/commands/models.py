"""`twinzoo models`: everything that is registered, with its size and its source."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("pattern", default="*")
@click.option("--task", default="", help="Those for one task: colorization, dehazing, translation ...")
@click.option("--family", default="", help="Those of one family, which is a file of the zoo: unet, vgg, cyclegan ...")
@click.option(
    "--markdown", "page", type=click.Path(path_type=Path), help="Write all of the zoo as a Markdown page too."
)
def models(pattern: str, task: str, family: str, page: Path | None) -> None:
    """List the models, losses and training steps whose names a shell PATTERN fits; presets are NAME.PRESET."""
    from twinzoo.zoo import registry
    from twinzoo.zoo.files import write_text
    from twinzoo.zoo.listing import HEAD, cells, markdown, rows
    from twinzoo.zoo.spec.show import columns

    problems = registry.load()
    listed = [cells(row) for row in rows(pattern, task, family)]
    click.echo("\n".join(columns([HEAD, *listed], right=(4, 5))))
    if page:
        write_text(page, markdown())
    for problem in problems:
        click.echo(f"twinzoo: {problem}", err=True)
