"""The spec: a graph of named operations, drawn by calling ops as methods; shapes are inferred as it is drawn."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import twinzoo.zoo.spec.ops  # noqa: F401  (fills the op table)
from twinzoo.zoo.errors import SpecError
from twinzoo.zoo.spec.dims import Dim, Shape, Size, concrete, shape_text, substitute, symbol, symbols_of
from twinzoo.zoo.spec.schema import OPS, Attrs, Draw, OpSchema, Param, ShapeMismatch

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_RESERVED = frozenset(keyword.kwlist) | {"self", "torch", "nn", "ops", "ms", "np", "mint", "math"}


@dataclass(frozen=True)
class Value:
    """A tensor in the graph: output `index` of the node or input called `node`."""

    node: str
    index: int
    shape: Shape
    dtype: str = "float"

    @property
    def ref(self) -> str:
        """How other nodes name it: `node`, or `node:1` for a second output."""
        return self.node if self.index == 0 else f"{self.node}:{self.index}"


@dataclass(frozen=True)
class Input:
    """An input of the spec, with the size to try it at by default and the range of values it is made for."""

    value: Value
    example: Mapping[str, int]
    span: tuple[float, float]


@dataclass(frozen=True)
class Node:
    """One operation. `call` of a role is an operation too, with the role's name as its attribute."""

    name: str
    op: str
    inputs: tuple[Value, ...]
    attrs: Attrs
    outputs: tuple[Value, ...]
    params: Mapping[str, Param] = field(default_factory=dict)
    draws: Mapping[str, Draw] = field(default_factory=dict)


@dataclass(frozen=True)
class Role:
    """A network that a loss or a training step calls by role (generator, discriminator, features)."""

    name: str
    spec: Spec


class Spec:
    """A model, loss or step in no framework's terms.

    Ops of the table are its methods: `s.conv2d(name, x, 64, kernel=4, stride=2, padding=1)` adds a node and returns its
    value (the first, where it has several: `values` gives all); `dir(s)` lists them.

    Attributes:
        name, doc: the registered name and the docstring of the function that drew it.
        options: the options it was drawn with.
        init: the named rule of initialisation (twinzoo.zoo.init).
        inputs, nodes, outputs, roles: by name, in the order drawn, which is the order of execution.
    """

    def __init__(
        self, name: str, *, doc: str = "", init: str = "torch", options: Mapping[str, Any] | None = None
    ) -> None:
        self.name = name
        self.doc = doc
        self.init = init
        self.options = dict(options or {})
        self.inputs: dict[str, Input] = {}
        self.nodes: dict[str, Node] = {}
        self.outputs: dict[str, Value] = {}
        self.roles: dict[str, Role] = {}

    def input(
        self,
        name: str,
        *,
        channels: int | None = None,
        shape: Iterable[str | int] = (),
        multiple_of: int = 1,
        example: int | Mapping[str, int] = 64,
        span: tuple[float, float] = (-1.0, 1.0),
        dtype: str = "float",
    ) -> Value:
        """Declare an input: images (N, channels, H, W), or any `shape` of numbers and symbols.

        Args:
            multiple_of: what H and W (every symbol but N) must be multiples of.
            example: the size of H and W (or of each symbol) to try it at; N is 1.
            span: the smallest and the largest value it is made for.
            dtype: `float`, or `int` for indices.
        """
        where = f"{self.name}: input {name}"
        sizes = ("N", channels, "H", "W") if channels is not None else tuple(shape)
        if not sizes:
            raise SpecError(f"{where}: give channels or shape")
        if dtype not in ("float", "int"):
            raise SpecError(f"{where}: dtype={dtype!r}: must be float or int")
        if not span[0] < span[1]:
            raise SpecError(f"{where}: span={span!r}: must be a smaller and a larger number")
        made = tuple(self._declared_size(where, size, multiple_of) for size in sizes)
        names = [size for size in sizes if isinstance(size, str)]
        tried = dict(example) if isinstance(example, Mapping) else {n: example for n in names if n != "N"}
        value = Value(self._claim(name, "input"), 0, made, dtype)
        self.inputs[name] = Input(value, {"N": 1} | tried, (float(span[0]), float(span[1])))
        return value

    def _declared_size(self, where: str, size: str | int, multiple_of: int) -> Size:
        if isinstance(size, int):
            if size < 1:
                raise SpecError(f"{where}: size {size}: must be an integer >= 1")
            return size
        multiple = 1 if size == "N" else multiple_of
        declared = self.symbols.get(size, multiple)
        if multiple < 1 or declared != multiple:
            also = f", as in the input before: {declared}" if declared != multiple else ""
            raise SpecError(f"{where}: multiple_of={multiple}: must be an integer >= 1{also}")
        return symbol(size, multiple)

    def role(self, name: str, spec: Spec) -> Role:
        """Declare a network to be called; the same role called twice shares its weights."""
        if name in self.roles or name in self.nodes or name in self.inputs:
            raise SpecError(f"{self.name}: role {name}: the name is already taken")
        self._check_name(name, "role")
        self.roles[name] = Role(name, spec)
        return self.roles[name]

    def call(self, name: str, role: Role, *inputs: Value) -> tuple[Value, ...]:
        """Call a network; returns its outputs."""
        where = f"{self.name}: {name} (call of {role.name})"
        if self.roles.get(role.name) is not role:
            raise SpecError(f"{where}: not a role of this spec")
        wanted = list(role.spec.inputs.values())
        if len(inputs) != len(wanted):
            raise SpecError(f"{where}: takes {len(wanted)} inputs ({', '.join(role.spec.inputs)}), got {len(inputs)}")
        sizes: dict[str, Size] = {}
        for given, declared in zip(inputs, wanted, strict=True):
            self._bind(where, given, declared.value, sizes)
        shapes = [tuple(substitute(d, sizes) for d in v.shape) for v in role.spec.outputs.values()]
        outputs = tuple(
            Value(name, i, shape, v.dtype)
            for i, (shape, v) in enumerate(zip(shapes, role.spec.outputs.values(), strict=True))
        )
        return self._add(Node(name, "call", inputs, {"role": role.name}, outputs))

    def values(self, name: str) -> tuple[Value, ...]:
        """Every output of a node, for ops that have several."""
        return self.nodes[name].outputs

    def _bind(self, where: str, given: Value, declared: Value, sizes: dict[str, Size]) -> None:
        """Match a given shape with a declared one, symbol by symbol."""
        fits = len(given.shape) == len(declared.shape)
        for have, want in zip(given.shape, declared.shape, strict=False):
            if not isinstance(want, Dim):
                fits = fits and have == want
                continue
            (atom,) = symbols_of(want)
            fits = fits and sizes.setdefault(atom.name, have) == have
        if not fits:
            raise SpecError(
                f"{where}: {declared.node} must be {shape_text(declared.shape)}, got {shape_text(given.shape)}"
            )
        try:
            for size in declared.shape:
                substitute(size, sizes)
        except SpecError as error:
            raise SpecError(f"{where}: {declared.node}: {error}") from None

    def output(self, **values: Value) -> None:
        """Declare the outputs, by name and in order."""
        for name, value in values.items():
            if not isinstance(value, Value) or not self._owns(value):
                raise SpecError(f"{self.name}: output {name}: must be a value of this spec, got {value!r}")
        self.outputs = dict(values)

    def __getattr__(self, op: str) -> Callable[..., Value]:
        schema = OPS.get(op)
        if schema is None:
            raise AttributeError(f"Spec has no op or attribute {op!r}")

        def draw(name: str, *args: Any, **attrs: Any) -> Value:
            return self._draw(schema, name, args, attrs)

        return draw

    def __dir__(self) -> Iterable[str]:
        return [*super().__dir__(), *OPS]

    def _draw(self, schema: OpSchema, name: str, args: tuple[Any, ...], given: dict[str, Any]) -> Value:
        where = f"{self.name}: {name} ({schema.name})"
        count = next((i for i, a in enumerate(args) if not isinstance(a, Value)), len(args))
        inputs, rest = args[:count], args[count:]
        enough = len(inputs) >= 1 if schema.variadic else len(inputs) == len(schema.inputs)
        if not enough:
            raise SpecError(f"{where}: takes values {', '.join(schema.inputs)}, got {len(inputs)}")
        if len(rest) > len(schema.positional):
            raise SpecError(f"{where}: takes {len(schema.positional)} attributes by place, got {len(rest)}: name them")
        for attr, value in zip(schema.positional, rest, strict=False):
            if attr in given:
                raise SpecError(f"{where}: {attr} is given twice")
            given[attr] = value
        attrs = normal_attrs(where, schema, given)
        self._check_inputs(where, schema, inputs)
        shapes = [v.shape for v in inputs]
        try:
            made = schema.infer(attrs, *shapes)
            params = schema.params(attrs, *shapes) if schema.params else {}
        except ShapeMismatch as error:
            raise SpecError(f"{where}: {error}; input {', '.join(map(shape_text, shapes))}") from None
        all_shapes = made if len(schema.outputs) > 1 else (made,)
        outputs = tuple(
            Value(name, i, shape, "int" if out in schema.integer_outputs else self._dtype(schema, inputs))
            for i, (out, shape) in enumerate(zip(schema.outputs, all_shapes, strict=True))
        )
        draws = schema.draws(attrs, *shapes) if schema.draws else {}
        return self._add(Node(name, schema.name, inputs, attrs, outputs, params, draws))[0]

    @staticmethod
    def _dtype(schema: OpSchema, inputs: tuple[Value, ...]) -> str:
        return "float" if schema.integer_inputs else inputs[0].dtype

    def _check_inputs(self, where: str, schema: OpSchema, inputs: tuple[Value, ...]) -> None:
        names = schema.inputs + (schema.inputs[-1:] * (len(inputs) - len(schema.inputs)))
        for name, value in zip(names, inputs, strict=True):
            if not self._owns(value):
                raise SpecError(f"{where}: input {value.ref} is not a value of this spec")
            integer = name in schema.integer_inputs
            if integer != (value.dtype == "int") and (integer or schema.name not in _ANY_DTYPE):
                raise SpecError(
                    f"{where}: {name} must be {'integers' if integer else 'floating point'}, got {value.dtype}"
                )

    def _owns(self, value: Value) -> bool:
        if value.node in self.inputs:
            return self.inputs[value.node].value == value
        return value.node in self.nodes and value in self.nodes[value.node].outputs

    def _add(self, node: Node) -> tuple[Value, ...]:
        self._claim(node.name, node.op)
        self.nodes[node.name] = node
        return node.outputs

    def _check_name(self, name: str, what: str) -> None:
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name in _RESERVED:
            raise SpecError(f"{self.name}: {what} {name!r}: a name is lower-case letters, digits and _, and no keyword")

    def _claim(self, name: str, what: str) -> str:
        self._check_name(name, what)
        if name in self.nodes or name in self.inputs or name in self.roles:
            raise SpecError(f"{self.name}: {name} ({what}): the name is already taken")
        return name

    @property
    def params(self) -> dict[str, Param]:
        """Every tensor of the state, buffers too, by spec name: `node.role`; `role.node.role` in a called network."""
        own = {f"{node.name}.{role}": p for node in self.nodes.values() for role, p in node.params.items()}
        called = {f"{r.name}.{name}": p for r in self.roles.values() for name, p in r.spec.params.items()}
        return own | called

    @property
    def draws(self) -> dict[str, Draw]:
        """The random tensors that may be fed, by the name of their optional input, `node_suffix`."""
        return {f"{n.name}_{suffix}": d for n in self.nodes.values() for suffix, d in n.draws.items()}

    @property
    def symbols(self) -> dict[str, int]:
        """The size symbols of the inputs and what each must be a multiple of."""
        return {s.name: s.multiple for i in self.inputs.values() for d in i.value.shape for s in symbols_of(d)}

    @property
    def example_sizes(self) -> dict[str, int]:
        """The sizes to try it at by default."""
        return {name: size for i in self.inputs.values() for name, size in i.example.items() if name in self.symbols}

    def sizes_of(self, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
        """The value of each symbol, from the shapes of actual inputs.

        Raises:
            SpecError: an input is missing or unknown, or a shape does not fit.
        """
        unknown = set(shapes) - set(self.inputs) - set(self.draws)
        missing = set(self.inputs) - set(shapes)
        if unknown or missing:
            listed = ", ".join(self.inputs)
            raise SpecError(f"{self.name}: takes inputs {listed}; got {', '.join(shapes) or 'none'}")
        sizes: dict[str, Size] = {}
        for name, item in self.inputs.items():
            given = Value(name, 0, tuple(shapes[name]), item.value.dtype)
            self._bind(f"{self.name}: input", given, item.value, sizes)
        return {name: size for name, size in sizes.items() if isinstance(size, int)}

    def tapped(self) -> Spec:
        """The same graph with every value an output, under its reference with `:` written `__`: what traces run."""
        copy = Spec(self.name, doc=self.doc, init=self.init, options=self.options)
        copy.inputs, copy.nodes, copy.roles = self.inputs, self.nodes, self.roles
        copy.outputs = {v.ref.replace(":", "__"): v for n in self.nodes.values() for v in n.outputs}
        return copy

    def concrete(self, value: Value, sizes: Mapping[str, int] | None = None) -> tuple[int, ...]:
        """A value's shape in numbers, at the example sizes unless others are given."""
        return concrete(value.shape, {**self.example_sizes, **(sizes or {})})

    def __str__(self) -> str:
        from twinzoo.zoo.spec.show import table

        return table(self)

    def __repr__(self) -> str:
        options = "".join(f", {k}={v!r}" for k, v in self.options.items())
        return f"Spec({self.name!r}{options})"


_ANY_DTYPE = frozenset(
    {"concat", "stack", "slice", "reshape", "flatten", "transpose", "flip", "gather", "stop_gradient"}
)


def normal_attrs(where: str, schema: OpSchema, given: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of an op in their one form, defaults filled in.

    Raises:
        SpecError: one is unknown, missing, or has a value that is not allowed.
    """
    unknown = [name for name in given if name not in schema.attrs]
    if unknown:
        raise SpecError(f"{where}: unknown attribute {unknown[0]}: takes {', '.join(schema.attrs) or 'none'}")
    attrs = {}
    for name, attr in schema.attrs.items():
        if name not in given:
            if attr.required:
                raise SpecError(f"{where}: attribute {name} is missing: must be {attr.allowed}")
            attrs[name] = attr.default
            continue
        try:
            attrs[name] = attr.normal(given[name])
        except ValueError:
            raise SpecError(f"{where}: {name}={given[name]!r}: must be {attr.allowed}") from None
    return attrs
