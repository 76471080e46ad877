"""A spec as a table for the terminal: node, op, inputs, output shape, parameters, FLOPs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twinzoo.zoo.spec.dims import shape_text
from twinzoo.zoo.spec.graph import Node, Spec
from twinzoo.zoo.spec.schema import OPS, volume


def parameter_count(spec: Spec, *, buffers: bool = False) -> int:
    """The number of trained scalars, and of those in buffers too where asked."""
    return sum(volume(p.shape) for p in spec.params.values() if buffers or not p.buffer)


def flops(spec: Spec, sizes: Mapping[str, int] | None = None) -> int:
    """Floating-point operations of one forward pass, a multiply-add counted as two, at the example sizes by default."""
    return sum(node_flops(spec, node, sizes) for node in spec.nodes.values())


def node_flops(spec: Spec, node: Node, sizes: Mapping[str, int] | None = None) -> int:
    """Floating-point operations of one node; 0 for one that only moves elements."""
    inputs = [spec.concrete(value, sizes) for value in node.inputs]
    if node.op == "call":
        called = spec.roles[node.attrs["role"]].spec
        return flops(called, called.sizes_of(dict(zip(called.inputs, inputs, strict=True))))
    cost = OPS[node.op].flops
    return cost(node.attrs, spec.concrete(node.outputs[0], sizes), *inputs) if cost else 0


def attrs_text(node: Node) -> str:
    """The attributes that differ from their defaults, as they would be written."""
    if node.op == "call":
        return str(node.attrs["role"])
    defaults = {name: attr.default for name, attr in OPS[node.op].attrs.items() if not attr.required}
    shown = {k: v for k, v in node.attrs.items() if k not in defaults or defaults[k] != v}
    return ", ".join(f"{name}={_short(value)}" for name, value in shown.items())


def _short(value: Any) -> str:
    if isinstance(value, tuple) and len(value) == 2 and value[0] == value[1]:
        return str(value[0])
    return str(value).replace(" ", "")


def table(spec: Spec, sizes: Mapping[str, int] | None = None) -> str:
    """The spec, one line a node, with totals; FLOPs at the example sizes unless others are given."""
    rows = [("node", "op", "inputs", "output", "parameters", "FLOPs")]
    rows += [(name, "input", "", shape_text(item.value.shape), "", "") for name, item in spec.inputs.items()]
    for node in spec.nodes.values():
        attrs = attrs_text(node)
        owned = sum(volume(p.shape) for p in node.params.values() if not p.buffer)
        rows.append(
            (
                node.name,
                node.op + (f"({attrs})" if attrs else ""),
                ", ".join(value.ref for value in node.inputs),
                ", ".join(shape_text(value.shape) for value in node.outputs),
                f"{owned:,}" if owned else "",
                f"{cost:,}" if (cost := node_flops(spec, node, sizes)) else "",
            )
        )
    used = {**spec.example_sizes, **(sizes or {})}
    at = " at " + ", ".join(f"{name}={size}" for name, size in used.items()) if used else ""
    needs = ", ".join(f"{name} a multiple of {multiple}" for name, multiple in spec.symbols.items() if multiple > 1)
    head = f"{spec.name}: {spec.doc.strip().splitlines()[0] if spec.doc.strip() else 'no description'}"
    lines = [head, *([f"needs {needs}"] if needs else []), *columns(rows, right=(4, 5))]
    lines.append(f"outputs: {', '.join(f'{n} = {v.ref}' for n, v in spec.outputs.items()) or 'none'}")
    lines.append(f"{parameter_count(spec):,} parameters, {flops(spec, sizes):,} FLOPs{at}")
    return "\n".join(lines)


def columns(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Rows of cells, the first one the header, as aligned lines."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = (c.rjust(w) if i in right else c.ljust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        return "  ".join(cells).rstrip()

    return [line(rows[0]), "  ".join("-" * width for width in widths), *map(line, rows[1:])]
