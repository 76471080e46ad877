"""The command line. Every command imports what it needs when it runs, so that help is quick and needs no framework."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from twinzoo import __version__
from twinzoo.commands.causes import causes
from twinzoo.commands.check import check
from twinzoo.commands.compare import compare, record
from twinzoo.commands.convert import convert
from twinzoo.commands.differences import differences
from twinzoo.commands.inspect import inspect
from twinzoo.commands.models import models
from twinzoo.commands.show import show


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="twinzoo")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """Image-to-image models as PyTorch and MindSpore twins: convert checkpoints, and prove that nothing was lost."""


@cli.command()
def ports() -> None:
    """List the frameworks and their devices here."""
    from twinzoo.ports.registry import ports as all_ports
    from twinzoo.zoo.spec.show import columns

    rows = [("port", "framework", "version", "device", "usable", "detail")]
    for info in all_ports():
        head = (info.name, info.framework, info.version)
        if info.problem:
            rows.append((*head, "", "no", info.problem))
        rows += [(*head, device.name, "yes" if device.available else "no", device.detail) for device in info.devices]
    click.echo("\n".join(columns(rows)))


@cli.command()
@click.argument("name", metavar="NAME[,OPTION=VALUE...]")
@click.option("--as", "kind", type=click.Choice(["source"]), default="source", show_default=True)
@click.option("--port", required=True, help="torch or mindspore.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="The file to write; printed where not given.")
def export(name: str, kind: str, port: str, output: Path | None) -> None:
    """Write a model as stand-alone source."""
    from twinzoo.ports.registry import port as find_port
    from twinzoo.zoo.files import write_text
    from twinzoo.zoo.text import spec_from_text

    text = find_port(port, installed=False).source(spec_from_text(name))
    if output is None:
        click.echo(text, nl=False)
        return
    write_text(output, text)
    click.echo(f"wrote {output}")


@cli.command()
@click.option("--weights-dir", type=click.Path(path_type=Path), help="A folder with real checkpoints to use.")
@click.option("--output", type=click.Path(path_type=Path), default=Path("twinzoo-demo"), show_default=True)
@click.option("--tamper", is_flag=True, help="Change one weight of one converted checkpoint, to see it caught.")
def demo(weights_dir: Path | None, output: Path, tamper: bool) -> None:
    """Show conversion and parity on photographs.

    Four PyTorch checkpoints become MindSpore models, and the twins are compared layer by layer.
    """
    from twinzoo.recipes.demo.run import run

    ok = run(output, weights_dir, tamper, click.echo)
    raise SystemExit(0 if ok else 1)


cli.add_command(causes)
cli.add_command(check)
cli.add_command(convert)
cli.add_command(differences)
cli.add_command(compare)
cli.add_command(record)
cli.add_command(inspect)
cli.add_command(models)
cli.add_command(show)


def main() -> None:
    """Run the command line; an error of the user's is one line on stderr and status 2, an honest no is status 1."""
    debug = "--debug" in sys.argv
    try:
        cli.main(standalone_mode=False)
    except click.ClickException as error:
        _fail(error.format_message(), "", 2)
    except click.Abort:
        _fail("interrupted", "", 130)
    except Exception as error:
        from twinzoo.zoo.errors import TwinzooError

        if debug:
            raise
        if not isinstance(error, TwinzooError):
            _fail(f"{type(error).__name__}: {error}: this is a bug; run `twinzoo --debug ...` and report it", "", 2)
        else:
            _fail(str(error), error.table, error.exit_status)


def _fail(message: str, table: str, status: int) -> None:
    click.echo(f"twinzoo: {message}", err=True)
    if table:
        click.echo(table, err=True)
    raise SystemExit(status)
