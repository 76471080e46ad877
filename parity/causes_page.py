"""The causes as a Markdown page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from twinzoo.parity.causes import Cause

_HEAD = """\
# Causes

Every finding of a comparison names one of these causes. The ids are stable: scripts may rely on them. Not written by
hand: `twinzoo causes --markdown docs/causes.md` writes this page from the table that the reports use, and a test holds
the default values in it to the frameworks that are installed. What they do differently, measured, is in
[differences.md](differences.md); the way through a port is [porting.md](porting.md).

In the code below `c` stands for channels, `i` and `o` for channels in and out, `k` for a kernel's size; `nn` is the
framework's own, and `F` is `torch.nn.functional`.
"""


def markdown(table: Mapping[str, Cause]) -> str:
    """A page with a list of all ids and a section for each."""
    listed = "\n".join(f"- [`{name}`](#{name}): {cause.meaning}" for name, cause in table.items())
    sections = "\n".join(line for name, cause in table.items() for line in _section(name, cause))
    return f"{_HEAD}\n{listed}\n\n{sections}\n"


def _section(name: str, cause: Cause) -> Iterator[str]:
    yield f"## {name}"
    yield f"\n{cause.meaning[0].upper()}{cause.meaning[1:]}.\n"
    yield "| | where it comes from | how to put it right |"
    yield "| --- | --- | --- |"
    yield f"| PyTorch | {cause.torch} | {cause.torch_fix} |"
    yield f"| MindSpore | {cause.mindspore} | {cause.mindspore_fix} |\n"
