"""`twinzoo causes`: the causes that a finding may name, and how to put each right."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option("--markdown", "page", type=click.Path(path_type=Path), help="Write the table as a Markdown page too.")
def causes(page: Path | None) -> None:
    """List the causes that a finding may name."""
    from twinzoo.parity.causes import TABLE
    from twinzoo.parity.causes_page import markdown
    from twinzoo.zoo.files import write_text
    from twinzoo.zoo.spec.show import columns

    rows = [("cause", "meaning"), *((name, cause.meaning) for name, cause in TABLE.items())]
    click.echo("\n".join(columns(rows)))
    if page:
        write_text(page, markdown(TABLE))
