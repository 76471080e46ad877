"""A spec as the source file that a careful engineer would have written for it; each port brings its table of ops.

The file runs alone, is stable under `ruff format` at 120 columns, and names its layers as the spec does.
"""

from __future__ import annotations

import ast
import inspect
import keyword
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
    """unet_256 -> Unet256, the name of a class; what could be none gets `Model` in front."""
    made = "".join(part[:1].upper() + part[1:] for part in re.split(r"[^0-9a-zA-Z]+", name))
    return made if made.isidentifier() and not keyword.iskeyword(made) else f"Model{made}"


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
    if len(lines) == 1 and len(lines[0]) + len(comment) + 4 <= WIDTH:
        return [f"{lines[0]}  # {comment}"]
    return [*textwrap.wrap(comment, WIDTH, initial_indent=pad + "# ", subsequent_indent=pad + "# "), *lines]


def _split(indent: int, text: str) -> list[str]:
    pad = " " * indent
    comma = "," if text.endswith(",") else ""
    body = text.removesuffix(",")
    if len(pad + text) <= WIDTH:
        return [pad + text]
    opening = None if _CONDITIONAL.search(body) else _matching(body)
    unpacked = _UNPACKED.match(body)
    if unpacked and opening is not None and len(pad + body[: opening + 1]) > WIDTH:
        names = [f"{pad}    {name}," for name in unpacked[1].split(", ")]
        first, *rest = _split(indent, f"_{unpacked[2]}")  # as if there were one name, as wide as the bracket
        return [f"{pad}(", *names, first.replace("_", ")", 1), *rest]
    if opening is not None:
        inner = [line for item in _items(body[opening + 1 : -1]) for line in _split(indent + 4, item + ",")]
        return [pad + body[: opening + 1], *inner, pad + body[-1] + comma]
    statement = re.match(r"(return |[\w, ]+ = )(.+)", body)
    if statement is None:
        return [pad + text]
    return [f"{pad}{statement[1]}(", *_expression(indent + 4, statement[2]), f"{pad})"]


_CONDITIONAL = re.compile(r" if .+ else ")
_UNPACKED = re.compile(r"(\w+(?:, \w+)+)( = .+)")


def _expression(indent: int, text: str) -> list[str]:
    """An expression between brackets of its own, a conditional in three lines where it does not fit in one."""
    pad = " " * indent
    if len(pad + text) <= WIDTH:
        return [pad + text]
    return [pad + part for part in re.split(r" (?=if |else )", text)]


def _matching(text: str) -> int | None:
    """Where the call, list or tuple opens that the text ends with; None where it ends with none of them."""
    depth = 0
    if not text or text[-1] not in ")]":
        return None
    for i in range(len(text) - 1, -1, -1):
        depth += (text[i] in ")]") - (text[i] in "([")
        if depth == 0:
            called = i > 0 and (text[i - 1].isalnum() or text[i - 1] == "_")
            return i if called or text[i] == "[" or "," in text[i:] else None
    return None


def _items(text: str) -> Iterator[str]:
    """The parts between top-level commas."""
    depth, start = 0, 0
    for i, character in enumerate(text):
        depth += (character in "([") - (character in ")]")
        if character == "," and depth == 0:
            yield text[start:i].strip()
            start = i + 1
    if text[start:].strip():
        yield text[start:].strip()


def _names(code: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}


def _imports(code: str, language: Language) -> str:
    used = _names(code)
    lines = []
    for line, brought in language.imports.items():
        wanted = [name for name in brought if name in used]
        if wanted:
            lines.append(f"{line} {', '.join(wanted)}" if line.startswith("from ") else line)
    return "\n".join(lines)


def _helpers(code: str, language: Language) -> set[str]:
    """The helpers that the code uses, and those that they use."""
    used = _names(code) & set(language.helpers)
    return used.union(*(_helpers(language.helpers[name], language) for name in used))


def _collect(spec: Spec, language: Language, classes: dict[str, tuple[str, str]], wanted: str) -> str:
    """Add the class of a spec after those of its roles; a spec met again has its class already. Returns the name."""
    digest = spec_hash(spec)
    for name, (known, _) in classes.items():
        if known == digest:
            return name
    roles = {role.name: _collect(role.spec, language, classes, camel(role.spec.name)) for role in spec.roles.values()}
    imported = [brought for line in language.imports.values() for brought in line]
    name = wanted
    count = 1
    while name in {*classes, *language.helpers, *imported}:
        count += 1
        name = f"{wanted}{count}"
    classes[name] = digest, _class(spec, language, name, roles)
    return name


def _class(spec: Spec, language: Language, name: str, roles: Mapping[str, str]) -> str:
    lines = [f"class {name}({language.base}):", *_docstring(4, spec.doc or f"{spec.name}.")]
    init = _init(spec, language, roles)
    if init:
        lines += ["", *init]
    lines += ["", *_method(spec, language)]
    return "\n".join(lines)


def _init(spec: Spec, language: Language, roles: Mapping[str, str]) -> list[str]:
    codes = {name: _code(spec, node, language, [v.node for v in node.inputs]) for name, node in spec.nodes.items()}
    layers = {name: code.layer for name, code in codes.items() if code.layer}
    if not layers and not roles:
        return []
    given = "".join(f", {role}: {language.base} | None = None" for role in roles)
    lines = [*_signature(f"self{given}", "__init__", "None"), "        super().__init__()"]
    for role, made in roles.items():
        lines += fit(8, f"self.{role} = {made}() if {role} is None else {role}")
    for layer, text in layers.items():
        lines += fit(8, f"self.{layer} = {text}")
    return lines


def _signature(arguments: str, method: str, returns: str) -> list[str]:
    line = f"    def {method}({arguments}) -> {returns}:"
    if len(line) <= WIDTH:
        return [line]
    return [f"    def {method}(", *(f"        {item}," for item in _items(arguments)), f"    ) -> {returns}:"]


def _method(spec: Spec, language: Language) -> list[str]:
    arguments = "".join(f", {name}: Tensor" for name in spec.inputs)
    arguments += "".join(f", {name}: Tensor | None = None" for name in spec.draws)
    lines = _signature(f"self{arguments}", language.method, _returned(len(spec.outputs)))
    lines += _docstring(8, _shapes(spec))
    nodes = needed(spec)
    names = Variables(spec, nodes).names
    outputs = list(spec.outputs.values())
    for node in nodes:
        code = _code(spec, node, language, [names[value.ref] for value in node.inputs])
        comment = ", ".join(shape_text(v.shape) for v in node.outputs) + ("" if code.layer else f" {node.name}")
        last = node is nodes[-1] and outputs == list(node.outputs)
        target = "return " if last else ", ".join(names[value.ref] for value in node.outputs) + " = "
        lines += fit(8, target + code.call, comment)
        if last:
            return lines
    text = ", ".join(names[value.ref] for value in outputs)
    return lines + fit(8, f"return {text}" if len(text) + 15 <= WIDTH else f"return ({text})")


def _returned(count: int) -> str:
    if count == 1:
        return "Tensor"
    return f"tuple[{', '.join(['Tensor'] * count)}]" if count <= 4 else "tuple[Tensor, ...]"


def _code(spec: Spec, node: Node, language: Language, inputs: Sequence[str]) -> Code:
    if node.op == "call":
        return Code(call(f"self.{node.attrs['role']}", *inputs))
    return language.rows[node.op](node, [*inputs, *(f"{node.name}_{suffix}" for suffix in node.draws)])


def _shapes(spec: Spec) -> str:
    def listed(values: Mapping[str, Value]) -> str:
        return ", ".join(f"{name} {shape_text(value.shape)}" for name, value in values.items())

    text = f"{listed({name: item.value for name, item in spec.inputs.items()})} -> {listed(spec.outputs)}"
    for multiple in sorted(set(spec.symbols.values()) - {1}):
        symbols = [name for name, own in spec.symbols.items() if own == multiple]
        text += f", {' and '.join(symbols)} {'a multiple' if len(symbols) == 1 else 'multiples'} of {multiple}"
    return text + "." + (f"\n\nOptional draws: {', '.join(spec.draws)}." if spec.draws else "")


def _module_docstring(spec: Spec, language: Language) -> str:
    options = ", ".join(f"{name}={value!r}" for name, value in spec.options.items())
    lines = [f"{spec.name} for {language.title}, written by twinzoo.", ""]
    lines += [f"options: {options}"] if options else []
    lines += [f"spec: {spec_hash(spec)}"]
    return "\n".join(_docstring(0, "\n".join(lines)))


def _docstring(indent: int, text: str) -> list[str]:
    """A docstring as lines; what would end it or be read as an escape is made harmless."""
    pad = " " * indent
    safe = inspect.cleandoc(text.replace("\\", "\\\\").replace('"""', "'''")) or "No description."
    lines: list[str] = []
    for line in safe.splitlines():
        inner = " " * (len(line) - len(line.lstrip()))
        width = WIDTH - indent - (0 if lines else 7)  # the first line, alone, has quotes at both ends
        lines += textwrap.wrap(line, width, subsequent_indent=inner, break_on_hyphens=False) or [""]
    end = " " if lines[-1].endswith('"') else ""
    if len(lines) == 1:
        return [f'{pad}"""{lines[0]}{end}"""']
    return [f'{pad}"""{lines[0]}', *((pad + line).rstrip() for line in lines[1:]), f'{pad}"""']
