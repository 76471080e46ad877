"""`twinzoo show`: one model, loss or training step as a table, as JSON or as a picture; the docs' pictures."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("name", metavar="NAME[,OPTION=VALUE...]", required=False)
@click.option("--as-json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--svg", "svg_path", type=click.Path(path_type=Path), help="Draw it as a picture into this file instead.")
@click.option(
    "--pictures",
    "folder",
    type=click.Path(path_type=Path),
    help="Write the pictures of all training steps, and a page of them, into this folder.",
)
def show(name: str | None, as_json: bool, svg_path: Path | None, folder: Path | None) -> None:
    """Print a model, loss or training step as a table.

    Of a training step: its graph with the updates in their places (what each moves, by which loss, and which networks
    it goes through without moving them), its networks, and its optimizers with their schedules. A picture has every
    network that is called, too.
    """
    from twinzoo.zoo.files import write_text
    from twinzoo.zoo.pictures import picture
    from twinzoo.zoo.pictures.page import pages
    from twinzoo.zoo.spec import to_json
    from twinzoo.zoo.steps.serial import step_to_json
    from twinzoo.zoo.steps.step import Step
    from twinzoo.zoo.text import any_from_text

    if folder:
        for file, text in pages().items():
            write_text(folder / file, text)
        click.echo(f"wrote {folder}")
    if name is None:
        if not folder:
            raise click.UsageError("NAME is missing: `twinzoo models` lists the names")
        return
    drawn = any_from_text(name)
    if svg_path:
        write_text(svg_path, picture(drawn))
        click.echo(f"wrote {svg_path}")
    elif as_json:
        click.echo(step_to_json(drawn) if isinstance(drawn, Step) else to_json(drawn))
    else:
        click.echo(str(drawn))
