"""The language that models and losses are written in: a graph of named operations with inferred shapes."""

from twinzoo.zoo.spec.dims import Dim, Shape, Size, shape_text
from twinzoo.zoo.spec.graph import Input, Node, Role, Spec, Value
from twinzoo.zoo.spec.schema import OPS, Draw, OpSchema, Param
from twinzoo.zoo.spec.serial import from_json, spec_hash, to_json

__all__ = [
    "OPS",
    "Dim",
    "Draw",
    "Input",
    "Node",
    "OpSchema",
    "Param",
    "Role",
    "Shape",
    "Size",
    "Spec",
    "Value",
    "from_json",
    "shape_text",
    "spec_hash",
    "to_json",
]
