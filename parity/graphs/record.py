"""A run as a file: recorded where one framework is, compared where the other is, or neither.

A safetensors file. Its tensors are the parts of the run: `value.12` of operation 12, `state.conv.weight`, `output.0`,
`gradient.12`, `parameter.conv.weight` (its gradient), `after.bn.running_mean`, and `whole.*` of a compiled model. Its
metadata has, under `twinzoo.record`, a JSON object: the graph, the mode, what stood on the side and where, and hashes.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from twinzoo.converters import files
from twinzoo.converters.graph import Graph, Operation
from twinzoo.converters.layers import Layer, Tensor
from twinzoo.converters.live import Idle, Loss, Whole, framework_of
from twinzoo.converters.live.spool import Loaded
from twinzoo.parity.graphs.computed import Made
from twinzoo.parity.graphs.run import Array, Gradients, How, Run, run
from twinzoo.parity.results import SideInfo
from twinzoo.ports.reference.port import ReferenceModel
from twinzoo.zoo.errors import ParityError

SCHEMA = 3
_KEY = "twinzoo.record"


def record(
    model: Any,
    inputs: Any,
    path: str | PathLike[str],
    *,
    grad: bool = False,
    train: bool = False,
    loss: Loss | None = None,
) -> None:
    """Run a live model once and write down all that a comparison needs.

    Args:
        model: an nn.Module, an nn.Cell, or what the reference port builds.
        inputs: arrays by argument, or in order.
        path: ends in .safetensors.
        grad, train, loss: as for compare; both sides of a comparison must have them alike.

    Raises:
        ParityError: the model does not run on the inputs, or the file has another suffix.
        CheckpointError: the file cannot be written.
    """
    if not framework_of(model) and not isinstance(model, ReferenceModel):
        raise ParityError(f"record: got a {type(model).__name__}: must be an nn.Module or an nn.Cell")
    if Path(path).suffix != ".safetensors":
        raise ParityError(f"record: {path}: a record is a .safetensors file: name it so")
    write_record(run("model", model, inputs, How(train, grad, loss is not None), loss), Path(path))


def write_record(done: Run, path: Path) -> None:
    """Write a run."""
    tensors = {f"{part}.{name}": _deferred(values, name) for part, values in _parts(done).items() for name in values}
    plain = {
        "schema": SCHEMA,
        "info": asdict(done.info),
        "how": asdict(done.how),
        "frozen": sorted(done.frozen),
        "training": dict(done.training),
        "compiled": done.whole is not None,
        "products": done.products,
        "idle": [asdict(dropout) for dropout in done.idle],
        "computed": [
            [position, one.key, one.role, one.sources, _layer_to_plain(one.layer)]
            for position, ones in done.made.items()
            for one in ones
        ],
        "made": {"python": platform.python_version(), "numpy": np.__version__, "machine": platform.machine()},
        "sha256": {"inputs": _digest(done.inputs), "state": _digest(done.state)},
        "graph": _graph_to_plain(done.graph),
    }
    files.write(path, files.Lazy(tensors), {_KEY: json.dumps(plain)})


def _deferred(values: Mapping[Any, Array], name: Any) -> files.Deferred:
    """A tensor that is read from where it waits when it is written."""
    kept = values.kept[name] if isinstance(values, Loaded) else values[name]
    return files.made(files.Entry(kept.shape, kept.dtype), partial(values.__getitem__, name))


def _parts(done: Run) -> dict[str, Mapping[Any, Array]]:
    parts: dict[str, Mapping[Any, Array]] = {
        "value": done.values,
        "state": done.state,
        "output": done.outputs,
        "gradient": done.gradients.values,
        "parameter": done.gradients.parameters,
        "after": done.after,
    }
    if done.whole is not None:
        parts |= {f"whole.{name}": part for name, part in vars(done.whole).items()}
    return parts


def _digest(arrays: Mapping[str, Array]) -> str:
    found = hashlib.sha256()
    for name, array in arrays.items():
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).view(np.uint8).data)
    return found.hexdigest()


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
        how, training = How(**plain["how"]), {str(path): bool(flag) for path, flag in plain["training"].items()}
        frozen, compiled = frozenset(map(str, plain["frozen"])), bool(plain["compiled"])
        products, idle = str(plain["products"]), tuple(Idle(**dropout) for dropout in plain["idle"])
        made = _made_from_plain(plain["computed"])
    except (KeyError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise ParityError(
            f"{path}: not a record: {type(error).__name__}: {error}: make it with twinzoo.record"
        ) from None
    whole = [_Part(found, f"whole.{name}") for name in Whole.__dataclass_fields__]
    return Run(
        info,
        graph,
        _Places(found, "value"),
        _Part(found, "state"),
        _Part(found, "output"),
        how,
        Gradients(_Places(found, "gradient"), _Part(found, "parameter")),
        _Part(found, "after"),
        frozen,
        training,
        Whole(*whole) if compiled else None,
        products,
        idle,
        made,
    )


class _Part(Mapping[str, Array]):
    """The tensors of a file whose names start with a word; each is read when it is asked for, and not kept."""

    def __init__(self, found: files.Checkpoint, word: str) -> None:
        self._found, self._prefix = found, f"{word}."
        names = (name.removeprefix(self._prefix) for name in found if name.startswith(self._prefix))
        self._names = dict.fromkeys(names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def __getitem__(self, name: str) -> Array:
        return np.asarray(self._found[self._prefix + name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class _Places(Mapping[int, Array]):
    """The same by position."""

    def __init__(self, found: files.Checkpoint, word: str) -> None:
        self._part = _Part(found, word)

    def __contains__(self, position: object) -> bool:
        return str(position) in self._part

    def __getitem__(self, position: int) -> Array:
        return self._part[str(position)]

    def __iter__(self) -> Iterator[int]:
        return map(int, self._part)

    def __len__(self) -> int:
        return len(self._part)


def _graph_to_plain(graph: Graph) -> dict[str, Any]:
    layers = [[name, *_layer_to_plain(layer)] for name, layer in graph.layers.items()]
    operations = [[op.name, op.kind, op.operands, dict(op.attrs), op.layer, op.source] for op in graph.operations]
    return {"title": graph.title, "layers": layers, "operations": operations}


def _layer_to_plain(layer: Layer) -> list[Any]:
    return [layer.prefix, layer.kind, [[t.key, t.role, t.shape] for t in layer.tensors.values()]]


def _layer_from_plain(prefix: str, kind: str, tensors: Any) -> Layer:
    return Layer(prefix, {role: Tensor(key, role, tuple(shape)) for key, role, shape in tensors}, kind)


def _made_from_plain(plain: Any) -> dict[int, tuple[Made, ...]]:
    found: dict[int, tuple[Made, ...]] = {}
    for position, key, role, sources, layer in plain:
        made = Made(str(key), str(role), _layer_from_plain(*layer), tuple(map(str, sources)))
        found[int(position)] = (*found.get(int(position), ()), made)
    return found


def _graph_from_plain(plain: Mapping[str, Any]) -> Graph:
    layers = {name: _layer_from_plain(*layer) for name, *layer in plain["layers"]}
    operations = tuple(
        Operation(name, kind, tuple((int(p), int(out)) for p, out in operands), _hashable(attrs), layer, str(source))
        for name, kind, operands, attrs, layer, source in plain["operations"]
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
