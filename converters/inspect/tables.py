"""Tables that fit a terminal: long names are shortened in the middle, then columns that can be spared go."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from twinzoo.zoo.spec.show import columns

GAP = "..."
_SHORTEST = 12


def fitted(
    rows: Sequence[Sequence[str]],
    right: Sequence[str],
    spare: Sequence[Sequence[str]],
    width: int | None,
    share: float = 0.4,
) -> list[str]:
    """Rows of cells, the first one the header, as aligned lines no wider than `width` where that can be.

    The first column holds names, which are shortened where they are wide; columns without any cell are left out.

    Args:
        right: headers of columns that are aligned to the right.
        spare: groups of headers of columns that can be left out, the first to go first.
        width: None for any.
        share: of the width that names get before columns have to go.
    """
    header, names = rows[0], max(len(row[0]) for row in rows)
    kept = [name for i, name in enumerate(header) if i == 0 or any(row[i] for row in rows[1:])]
    if width is not None:
        for group in spare:
            if min(names, max(int(width * share), _SHORTEST)) + _width(rows, kept[1:]) <= width:
                break
            kept = [name for name in kept if name not in group]
        names = max(width - _width(rows, kept[1:]), _SHORTEST)
    index = [header.index(name) for name in kept[1:]]
    cells = [[shortened(row[0], names), *(row[i] for i in index)] for row in rows]
    return columns(cells, [i for i, name in enumerate(kept) if name in right])


def shortened(text: str, width: int) -> str:
    """The text with its middle left out where it is wider; its indentation stays."""
    if len(text) <= width:
        return text
    indent = min(len(text) - len(text.lstrip()), max(width - len(GAP) - 2, 0))
    room = max(width - len(GAP) - indent, 2)
    tail = (room + 1) // 2
    name = text.lstrip()
    return " " * indent + name[: room - tail] + GAP + name[-tail:]


def wrapped(line: str, width: int | None) -> list[str]:
    """A sentence in lines, all but the first indented by two more."""
    if width is None or len(line) <= width:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()) + 2)
    return textwrap.wrap(line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def clean(text: str) -> str:
    """Text out of a file without characters that do something to a terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def size_text(count: int) -> str:
    """A number of bytes with three digits: 512 B, 37.1 kB, 553 MB."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} B" if unit == "B" else f"{value:.{2 if value < 9.995 else 1 if value < 99.95 else 0}f} {unit}"


def counted(count: int, word: str) -> str:
    """`1 tensor`, `2 tensors`."""
    return f"{count:,} {word}" + ("" if count == 1 else "s")


def number_text(value: float | None) -> str:
    """Four significant digits, nothing for no number."""
    return "" if value is None else f"{value:.4g}"


def _width(rows: Sequence[Sequence[str]], kept: Sequence[str]) -> int:
    """The width of some columns, with the gap before each."""
    index = [rows[0].index(name) for name in kept]
    return sum(max(len(row[i]) for row in rows) + 2 for i in index)
