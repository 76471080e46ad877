"""`twinzoo convert`: checkpoints into models, formats and namings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from twinzoo.commands.options import JSON, factory, random_inputs, write_json


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...", type=click.Path(path_type=Path))
@click.argument("destination", type=click.Path(path_type=Path))
@click.option("--model", metavar="NAME[,OPTION=VALUE...]", help="The model of the zoo that the checkpoint belongs to.")
@click.option("--target", metavar="PKG.MOD:FACTORY", help="A function that makes the module or cell to fill.")
@click.option("--source", "origin", metavar="PKG.MOD:FACTORY|NAME", help="The network that the checkpoint is of.")
@click.option("--input", "shapes", multiple=True, metavar="NAME=1x3x64x64", help="What to run live models on.")
@click.option("--select", metavar="NAME", default="", help="Of several networks in one file, the one to convert.")
@click.option("--naming", help="Write the published naming of this name, rather than the spec's.")
@click.option("--allow", multiple=True, metavar="PATTERN", help="Keys that may be missing or unused; repeatable.")
@click.option("--map", "table", type=click.Path(path_type=Path), help="The mapping as a table to edit: read, or made.")
@click.option("--to", "suffix", metavar="SUFFIX", help="The format, where DESTINATION is a folder: ckpt, pth, ...")
@click.option("--dry-run", is_flag=True, help="Show what would be done and write nothing.")
@JSON
def convert(
    sources: tuple[Path, ...],
    destination: Path,
    model: str | None,
    target: str | None,
    origin: str | None,
    shapes: tuple[str, ...],
    select: str,
    naming: str | None,
    allow: tuple[str, ...],
    table: Path | None,
    suffix: str | None,
    dry_run: bool,
    json_path: Path | None,
) -> None:
    """Convert checkpoints.

    The suffix of DESTINATION picks the format: .pth .safetensors .ckpt .npz. Several sources go into a folder, in the
    format of --to. Without --model or --target the keys are kept and only the format changes.

    Layers are matched by name, and where names differ by the graph: that of --model or --target, and of --source or of
    the model of the zoo that the checkpoint's names belong to. What stays open makes the conversion fail with a table;
    --map FILE writes the mapping down, and reads it again after you have corrected it.
    """
    from twinzoo.converters.convert import convert as run
    from twinzoo.progress import progress
    from twinzoo.zoo.text import spec_from_text

    if model and target:
        raise click.UsageError("--model and --target: give one of them")
    outputs = _outputs(sources, destination, suffix)
    if len(sources) > 1 and (table or origin):
        raise click.UsageError("--map and --source: go with a single SOURCE")
    options: dict[str, Any] = {"inputs": random_inputs(shapes), "allow": allow, "select": select, "table": table}
    if origin:
        options["source_model"] = factory("--source", origin) if ":" in origin else spec_from_text(origin)
    results = []
    for source, output in outputs.items():
        goal = spec_from_text(model) if model else factory("--target", target) if target else None
        written: dict[str, Any] = {} if dry_run else {"output": output, "naming": naming, "progress": progress}
        result = run(source, goal, **written, **options)
        click.echo(str(result))
        click.echo(f"would write {output}" if dry_run else f"wrote {output}")
        results.append(result)
    texts = [json.loads(result.to_json()) for result in results]
    write_json(json_path, json.dumps(texts[0] if len(texts) == 1 else texts, indent=1))
    if any(result.agreement is not None and not result.agreement.ok for result in results):
        raise SystemExit(1)


def _outputs(sources: tuple[Path, ...], destination: Path, suffix: str | None) -> dict[Path, Path]:
    """Where each source goes.

    Raises:
        click.UsageError: the destination does not fit the sources.
    """
    if len(sources) == 1 and not destination.is_dir():
        if suffix:
            raise click.UsageError(f"--to {suffix}: goes with a folder as DESTINATION")
        return {sources[0]: destination}
    if not destination.is_dir():
        raise click.UsageError(f"{destination}: must be a folder, since there are {len(sources)} sources")
    if not suffix:
        raise click.UsageError(f"{destination} is a folder: say in which format, as in --to ckpt")
    outputs = {source: destination / f"{source.stem}.{suffix.lstrip('.')}" for source in sources}
    if len(set(outputs.values())) < len(sources):
        raise click.UsageError("two sources have the same name: convert them one by one")
    return outputs
