"""`twinzoo inspect`: what is in a checkpoint, and what two of them differ in."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import click

from twinzoo.commands.options import JSON, write_json


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.argument("other", required=False, type=click.Path(path_type=Path))
@click.option("--keys", is_flag=True, help="Every tensor in a flat table, rather than the tree of layers.")
@click.option(
    "--all", "every", is_flag=True, help="Every line: of blocks that are alike, of long lists, of equal tensors."
)
@click.option("--no-stats", is_flag=True, help="Names, shapes and types alone: no values are read.")
@click.option("--select", metavar="NAME", default="", help="Of several networks in one file, the one to look at.")
@JSON
def inspect(
    checkpoint: Path,
    other: Path | None,
    keys: bool,
    every: bool,
    no_stats: bool,
    select: str,
    json_path: Path | None,
) -> None:
    """Show what is in a CHECKPOINT: layers, sizes, statistics, and what looks wrong.

    With OTHER, show what the two differ in, and end with 1 if they do. Tensors are paired by name, and where names
    differ as a conversion would pair them: a .pth and the .ckpt that was made of it are the same.
    """
    from twinzoo.converters.inspect import diff, diff_text, text_of
    from twinzoo.converters.inspect import inspect as look
    from twinzoo.progress import progress

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    if other is None:
        found = look(checkpoint, select=select, stats=not no_stats, progress=progress)
        _show(text_of(found, width=width, keys=keys, every=every))
        write_json(json_path, json.dumps(found.to_dict(), indent=1))
        return
    if keys:
        raise click.UsageError("--keys: goes with one checkpoint")
    difference = diff(checkpoint, other, select=select, stats=not no_stats, progress=progress)
    _show(diff_text(difference, width=width, every=every))
    write_json(json_path, json.dumps(difference.to_dict(), indent=1))
    raise SystemExit(0 if difference.same else 1)


def _show(text: str) -> None:
    """Print, with warnings and verdicts in colour on a terminal."""
    colours = {"warning": "yellow", "same": "green", "differs": "red"}
    for line in text.splitlines():
        word, colon, rest = line.partition(":")
        click.echo(click.style(word, fg=colours[word]) + colon + rest if word in colours else line)
