"""What a docstring of the zoo must say: shapes, every option, and where it comes from."""

from __future__ import annotations

import re

import pytest

from twinzoo.zoo import registry
from twinzoo.zoo.registry import Entry

registry.load()
ENTRIES = registry.MODELS | registry.LOSSES | registry.STEPS


def missing(entry: Entry) -> list[str]:
    """What its docstring leaves out; options may be said to be those of another one."""
    doc = entry.doc
    found = [] if "->" in doc else ["shapes"]
    authors = re.findall(r"([A-Z][a-z]+)(?: et al\.| and |, [A-Z][a-z]+ and | \d{4})", entry.paper)
    if not any(word in doc for word in (*authors, "project", "CIE")):
        found.append("source")
    shared = re.search(r"options are those of|with its options|as in `\w+`, whose", doc)
    if not shared and entry.kind != "step":
        found += [option for option in entry.options if not re.search(rf"\b{option}\b", doc)]
    return found


@pytest.mark.parametrize("name", ENTRIES)
def test_a_docstring_is_complete(name: str) -> None:
    assert missing(ENTRIES[name]) == []


def test_what_is_left_out_is_seen() -> None:
    def draw(s: object, *, depth: int = 1) -> None:
        """A network of somebody's."""

    assert missing(Entry("net", "model", draw, "Doe et al. 2020", "torch")) == ["shapes", "source", "depth"]
