"""A spec as the source file that a careful engineer would have written for it; each port brings its table of ops.

The file runs alone, is stable under `ruff format` at 120 columns, and names its layers as the spec does.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twinzoo.ports.variables import Variables, needed
from twinzoo.zoo.spec import Node, Spec, Value, shape_text, spec_hash

WIDTH = 120


@dataclass(frozen=True)
class Code:
    """What a port writes for a node: the expression that computes it, and the layer `self.<node>` where it has one."""

    call: str
    layer: str = ""


Row = Callable[[Node, Sequence[str]], Code]
"""(node, expressions of its inputs, then names of its draws) -> code."""


@dataclass(frozen=True)
class Language:
    """A framework as the writer needs to know it.

    Attributes:
        title: the framework's name in the file's docstring.
        base, method: the class that a model extends, and the method that computes it.
        rows: op -> code.
        imports: the import lines in order, each with the names that it brings; of a `from` line, those that are used.
        helpers: classes and functions of the framework's table, by name, written into the files that use them.
    """

    title: str
    base: str
    method: str
    rows: Mapping[str, Row]
    imports: Mapping[str, tuple[str, ...]]
    helpers: Mapping[str, str]


def write(spec: Spec, language: Language) -> tuple[str, str]:
    """The source file of a spec, and the name of its class in it, the last one."""
    classes: dict[str, tuple[str, str]] = {}
    name = _collect(spec, language, classes, camel(spec.name))
    body = [text for _, text in classes.values()]
    used = _helpers("\n".join(body), language)
    blocks = [*(text.strip("\n") for helper, text in language.helpers.items() if helper in used), *body]
    code = "\n\n\n".join(blocks)
    return f"{_module_docstring(spec, language)}\n\n{_imports(code, language)}\n\n\n{code}\n", name


def camel(name: str) -> str:
    """unet_256 -> Unet256"""
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[^0-9a-zA-Z]+", name)) or "Model"


def call(function: str, *args: object, **keywords: object) -> str:
    """A call as source: strings in `args` are expressions, strings in `keywords` are literals."""
    shown = [arg if isinstance(arg, str) else literal(arg) for arg in args]
    shown += [f"{name}={literal(value)}" for name, value in keywords.items()]
    return f"{function}({', '.join(shown)})"


def differing(**pairs: tuple[Any, Any]) -> dict[str, Any]:
    """Keywords whose value is not the framework's default: name=(value, default)."""
    return {name: value for name, (value, default) in pairs.items() if value != default}


def literal(value: object) -> str:
    """A constant as one would write it: a pair of equal sizes as one number, 1e-5 for 1e-05."""
    if isinstance(value, tuple):
        if len(value) == 2 and isinstance(value[0], int) and value[0] == value[1]:
            return str(value[0])
        return "(" + ", ".join(map(literal, value)) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, str):
        return f'"{value}"'
    return re.sub(r"e([+-])0+", r"e\1", repr(value)).replace("e+", "e")


def fit(indent: int, text: str, comment: str = "") -> list[str]:
    """A statement as lines of at most WIDTH columns, split as ruff splits calls, with its comment behind or above."""
    pad = " " * indent
    lines = _split(indent, text)
    if not comment:
        return lines
    end = " " if lines[-1].endswith('"') else ""
    if len(lines) == 1 and indent + len(lines[0] + end) + 6 <= WIDTH:
        return [f'{pad}"""{lines[0]}{end}"""']
    return [f'{pad}"""{lines[0]}', *((pad + line).rstrip() for line in lines[1:]), f'{pad}"""']
