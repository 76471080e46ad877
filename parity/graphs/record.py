"""A run as a file: recorded where one framework is, compared where the other is, or neither.

A safetensors file. Its tensors are the values (`value.12` of operation 12), the state (`state.conv.weight`) and the
outputs (`output.0`); its metadata has, under `twinzoo.record`, a JSON object with the graph and what stood on the side.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from twinzoo.converters import files
from twinzoo.converters.graph import Graph, Operation
from twinzoo.converters.layers import Layer, Tensor
from twinzoo.converters.live import framework_of
from twinzoo.parity.graphs.run import Array, Run, run
from twinzoo.parity.results import SideInfo
from twinzoo.zoo.errors import ParityError

SCHEMA = 1
_KEY = "twinzoo.record"


def record(model: Any, inputs: Any, path: str | PathLike[str], *, grad: bool = False) -> None:
    """Run a live model once and write down all that a comparison needs.

    Args:
        inputs: arrays by argument, or in order.
        path: ends in .safetensors.
        grad: not there yet; only the default is.

    Raises:
        ParityError: the model does not run on the inputs, or the file has another suffix.
        CheckpointError: the file cannot be written.
    """
    if grad:
        raise ParityError("record: grad is not there yet in 0.1: leave it out to record the forward pass")
    if not framework_of(model):
        raise ParityError(f"record: got a {type(model).__name__}: must be an nn.Module or an nn.Cell")
    if Path(path).suffix != ".safetensors":
        raise ParityError(f"record: {path}: a record is a .safetensors file: name it so")
    write_record(run("model", model, inputs), Path(path))


def write_record(done: Run, path: Path) -> None:
    """Write a run."""
    tensors: dict[str, Array] = {f"value.{position}": value for position, value in done.values.items()}
    tensors |= {f"state.{key}": value for key, value in done.state.items()}
    tensors |= {f"output.{name}": value for name, value in done.outputs.items()}
    plain = {"schema": SCHEMA, "info": asdict(done.info), "graph": _graph_to_plain(done.graph)}
    files.write(path, tensors, {_KEY: json.dumps(plain)})


def read_record(path: Path) -> Run:
    """Read a run, each tensor when it is asked for.

    Raises:
        ParityError: the file is no record of this version.
        CheckpointError: it cannot be read.
    """
    found = files.read(path)
    try:
        plain = json.loads(found.metadata[_KEY])
        if plain["schema"] != SCHEMA:
            raise ValueError(f"schema must be {SCHEMA}")
        graph, info = _graph_from_plain(plain["graph"]), SideInfo(**plain["info"])
    except (KeyError, ValueError, TypeError, IndexError) as error:
        raise ParityError(
            f"{path}: not a record: {type(error).__name__}: {error}: make it with twinzoo.record"
        ) from None
    values = {int(name): array for name, array in _part(found, "value").items()}
    return Run(info, graph, values, _part(found, "state"), _part(found, "output"))


def _part(found: files.Checkpoint, what: str) -> dict[str, Array]:
    prefix = f"{what}."
    return {name.removeprefix(prefix): np.asarray(found[name]) for name in found if name.startswith(prefix)}


def _graph_to_plain(graph: Graph) -> dict[str, Any]:
    layers = [
        [name, layer.prefix, layer.kind, [[t.key, t.role, t.shape] for t in layer.tensors.values()]]
        for name, layer in graph.layers.items()
    ]
    operations = [[op.name, op.kind, op.operands, dict(op.attrs), op.layer] for op in graph.operations]
    return {"title": graph.title, "layers": layers, "operations": operations}


def _graph_from_plain(plain: Mapping[str, Any]) -> Graph:
    layers = {}
    for name, prefix, kind, tensors in plain["layers"]:
        layers[name] = Layer(prefix, {role: Tensor(key, role, tuple(shape)) for key, role, shape in tensors}, kind)
    operations = tuple(
        Operation(name, kind, tuple((int(p), int(out)) for p, out in operands), _hashable(attrs), layer)
        for name, kind, operands, attrs, layer in plain["operations"]
    )
    if any(p >= i for i, op in enumerate(operations) for p, _ in op.operands):
        raise ValueError("an operation uses what comes after it")
    return Graph(plain["title"], layers, operations)


def _hashable(value: Any) -> Any:
    """Lists, which is what JSON makes of tuples, as tuples again."""
    if isinstance(value, list):
        return tuple(_hashable(item) for item in value)
    if isinstance(value, dict):
        return {name: _hashable(item) for name, item in value.items()}
    return value
