"""Checkpoint files: reading any of them lazily and without running what is inside, and writing them without a gap."""

from twinzoo.converters.files.checkpoint import Checkpoint, Tensors
from twinzoo.converters.files.entries import Entry
from twinzoo.converters.files.format import Format
from twinzoo.converters.files.formats import formats, plugin_problems, read
from twinzoo.converters.files.lazy import Deferred, Lazy, carried, made
from twinzoo.converters.files.provenance import Digest, sha256
from twinzoo.converters.files.selection import groups, selected
from twinzoo.converters.files.writing import write

__all__ = [
    "Checkpoint",
    "Deferred",
    "Digest",
    "Entry",
    "Format",
    "Lazy",
    "Tensors",
    "carried",
    "formats",
    "groups",
    "made",
    "plugin_problems",
    "read",
    "selected",
    "sha256",
    "write",
]
