"""The pictures of the documentation: one of each training step with its networks, and a page that shows them."""

from __future__ import annotations

from twinzoo.zoo import registry
from twinzoo.zoo.pictures.svg import picture

_HEAD = """\
# Pictures of the systems

Each training step of twinzoo with the networks that it calls. Not written by hand: `twinzoo show --pictures
docs/pictures` writes this folder from the registry. `twinzoo show NAME --svg FILE` draws any other model, loss or
preset, with any options.

A box is a layer with its padding, norm and activation; under it are its name in the spec and the shape of its output.
Blue is a convolution, green what makes images larger and yellow what makes them smaller, violet a linear layer or a
matrix product, orange a call of a network or loss, red an update. No gradient goes back along a dashed line. Networks
that halve their images and then double them go down on the left and up on the right.
"""


def pages() -> dict[str, str]:
    """File name -> text, of what twinzoo itself brings: an SVG for each training step, and README.md."""
    registry.load()
    steps = [entry for entry in registry.STEPS.values() if entry.draw.__module__.startswith("twinzoo.zoo.")]
    files = {}
    sections = [_HEAD]
    for entry in sorted(steps, key=lambda entry: entry.name):
        files[f"{entry.name}.svg"] = picture(registry.training_step(entry.name))
        first = entry.doc.partition("\n")[0]
        sections.append(f"## {entry.name}\n\n{first} {entry.paper}.\n\n![{entry.name}]({entry.name}.svg)\n")
    return files | {"README.md": "\n".join(sections)}
