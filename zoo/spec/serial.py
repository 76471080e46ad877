"""A spec as JSON and back, and the hash that names it."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.spec.dims import Symbol, symbols_of
from twinzoo.zoo.spec.graph import Input, Node, Spec, Value
from twinzoo.zoo.spec.schema import OPS

_VERSION = 1


def to_json(spec: Spec) -> str:
    """The spec as JSON text: what was drawn, not what follows from it (shapes are inferred again on reading)."""
    return json.dumps(_plain(spec), indent=1)


def spec_hash(spec: Spec) -> str:
    """64 hexadecimal digits, equal where everything that `to_json` writes is: a port's source follows from it."""
    plain = _plain(spec)
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def from_json(text: str) -> Spec:
    """Draw a spec again from its JSON.

    Raises:
        SpecError: the text is not a spec, or one that cannot be drawn.
    """
    try:
        return _draw(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise SpecError(f"this JSON is not a spec: {type(error).__name__}: {error}") from None


def _plain(spec: Spec) -> dict[str, Any]:
    return {
        "twinzoo_spec": _VERSION,
        "name": spec.name,
        "doc": spec.doc,
        "init": spec.init,
        "options": spec.options,
        "inputs": [_plain_input(name, item) for name, item in spec.inputs.items()],
        "roles": {role.name: _plain(role.spec) for role in spec.roles.values()},
        "nodes": [_plain_node(node) for node in spec.nodes.values()],
        "outputs": {name: value.ref for name, value in spec.outputs.items()},
    }


def _plain_input(name: str, item: Input) -> dict[str, Any]:
    symbols = [s for size in item.value.shape for s in symbols_of(size)]
    return {
        "name": name,
        "shape": [_symbol(size).name if not isinstance(size, int) else size for size in item.value.shape],
        "multiple_of": max((s.multiple for s in symbols if s.name != "N"), default=1),
        "example": dict(item.example),
        "span": list(item.span),
        "dtype": item.value.dtype,
    }


def _symbol(size: Any) -> Symbol:
    (only,) = symbols_of(size)
    return only


def _plain_node(node: Node) -> dict[str, Any]:
    return {"name": node.name, "op": node.op, "inputs": [v.ref for v in node.inputs], "attrs": dict(node.attrs)}


def _draw(plain: dict[str, Any]) -> Spec:
    if plain.get("twinzoo_spec") != _VERSION:
        raise SpecError(f"this JSON is not a spec of version {_VERSION}: twinzoo_spec={plain.get('twinzoo_spec')!r}")
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in plain["options"].items()}
    spec = Spec(plain["name"], doc=plain["doc"], init=plain["init"], options=options)
    values: dict[str, Value] = {}
    for item in plain["inputs"]:
        keywords = {k: item[k] for k in ("shape", "multiple_of", "example", "span", "dtype")}
        values[item["name"]] = spec.input(item["name"], **keywords)
    roles = {name: spec.role(name, _draw(inner)) for name, inner in plain["roles"].items()}
    for node in plain["nodes"]:
        inputs = [values[ref] for ref in node["inputs"]]
        if node["op"] == "call":
            spec.call(node["name"], roles[node["attrs"]["role"]], *inputs)
        elif node["op"] in OPS:
            getattr(spec, node["op"])(node["name"], *inputs, **node["attrs"])
        else:
            raise SpecError(f"{spec.name}: {node['name']}: there is no op {node['op']!r}")
        values |= {value.ref: value for value in spec.nodes[node["name"]].outputs}
    spec.output(**{name: values[ref] for name, ref in plain["outputs"].items()})
    return spec
