"""`twinzoo differences`: what differs between PyTorch and MindSpore, measured on the installed versions."""

from __future__ import annotations

from pathlib import Path

import click

from twinzoo.commands.options import JSON, write_json


@click.command()
@click.option("--only", metavar="TOPIC", default="", help="The topics or sections with this in their name.")
@click.option("--markdown", "page", type=click.Path(path_type=Path), help="Write the table as a Markdown page too.")
@JSON
def differences(only: str, page: Path | None, json_path: Path | None) -> None:
    """Show where PyTorch and MindSpore differ.

    Every form of the table is run in both frameworks as they are installed here, with the same inputs and weights,
    forward and backward; beside it stands what to write in MindSpore instead, measured too.
    """
    from twinzoo.parity.differences.measure import measure
    from twinzoo.parity.differences.show import markdown, terminal, to_json
    from twinzoo.zoo.files import write_text

    table = measure(only)
    click.echo(terminal(table))
    write_json(json_path, to_json(table))
    if page:
        write_text(page, markdown(table))
