"""Checkpoint files: reading any of them lazily and without running what is inside, and writing them without a gap."""

from twinzoo.converters.files.checkpoint import Checkpoint, Entry
from twinzoo.converters.files.formats import Format, formats, plugin_problems, read
from twinzoo.converters.files.writing import write

__all__ = ["Checkpoint", "Entry", "Format", "formats", "plugin_problems", "read", "write"]
