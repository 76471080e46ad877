"""Reading a pickle without running it: every opcode moves data, and a name becomes an inert stand-in or is refused.

Python's own unpickler calls what a pickle names. This one imports nothing and calls nothing of the file's: the only
functions it ever applies are the `Stub.call`s of the allow-list that it was given.
"""

import pickletools
import warnings
from collections.abc import Callable
from typing import IO, cast

from twinzoo.converters.files.entries import printable
from twinzoo.converters.files.pickle_machine import Machine, Refused, Stub
from twinzoo.converters.files.source import Source

MAX_BYTES = 256 * 2**20
MAX_OPERATIONS = 5_000_000
MAX_LINE = 65_536
MAX_COPIES = 4  # how often, on average, what a pickle holds may go into a call before that counts as an attack


class Reader:
    """The part of a file that a pickle may occupy, as the file object that `pickletools` wants."""

    def __init__(self, source: Source, start: int, end: int) -> None:
        self._data = source.data
        self._position = start
        self.end = min(end, start + MAX_BYTES, source.size)

    def read(self, count: int) -> bytes:
        start = self._position
        self._position = min(start + count, self.end)
        return self._data[start : self._position]

    def readline(self) -> bytes:
        limit = min(self._position + MAX_LINE, self.end)
        found = self._data.find(b"\n", self._position, limit)
        return self.read((found + 1 if found >= 0 else limit) - self._position)

    def tell(self) -> int:
        return self._position


def load(
    source: Source,
    start: int,
    end: int,
    find: Callable[[str, str], Stub],
    persistent: Callable[[object], object],
) -> tuple[object, int]:
    """The object that the pickle in `source[start:end]` describes, and the offset behind it.

    Args:
        find: gives the stand-in for a module and a name, or raises Refused
        persistent: gives the object for a persistent id, or raises ValueError
    """
    reader = Reader(source, start, end)
    machine = Machine(find, persistent)
    position = start
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pickletools warns of odd escapes in texts
            for count, (opcode, argument, offset) in enumerate(pickletools.genops(cast(IO[bytes], reader))):
                position = offset if offset is not None else position
                if count >= MAX_OPERATIONS:
                    raise ValueError(f"more than {MAX_OPERATIONS} operations")
                machine.allowance = MAX_COPIES * (position - start) + MAX_LINE
                machine.step(opcode.name, argument)
        if len(machine.stack) != 1 or machine.marks:
            raise ValueError("its end leaves other than one object")
        return machine.stack[0], reader.tell()
    except Refused as error:
        raise source.error(str(error), error.remedy) from error
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, MemoryError) as error:
        text = printable(str(error) or type(error).__name__)
        raise source.error(f"the pickle at offset {start} is damaged at offset {position} ({text})") from error
