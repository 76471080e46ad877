"""Which calls write to the memory of a tensor that they are given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

_RESHAPING = frozenset(
    ["requires_grad_", "detach_", "squeeze_", "unsqueeze_", "t_", "transpose_", "swapaxes_", "swapdims_", "rename_"]
)
"""In place, but of the description alone."""

_OPERATORS = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor", "lshift", "rshift")
_IN_PLACE = frozenset(["__setitem__", *(f"__i{name}__" for name in _OPERATORS)])

_ON_THE_SIDE = frozenset(["batch_norm", "instance_norm", "embedding", "embedding_bag"])
"""Functions that update running statistics, or rows that have grown too large."""

_EXPOSING = frozenset(["numpy", "__array__", "__dlpack__", "data_ptr", "storage", "untyped_storage", "share_memory_"])
"""What hands out the memory itself."""


def writes(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call sets elements of a tensor that it is given, or may: its `inplace` is known by no position."""
    name = getattr(func, "__name__", "")
    named_so = name.endswith("_") and not name.endswith("__") and name not in _RESHAPING
    asked = bool(kwargs.get("inplace")) or kwargs.get("out") is not None or any(value is True for value in args)
    return named_so or asked or name in _IN_PLACE or (name == "__set__" and _is_data(func))


def may_write(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether the elements of a tensor that a call is given may be others after it, or any time later."""
    name = getattr(func, "__name__", "")
    custom = type(func).__name__ in ("OpOverload", "OpOverloadPacket")
    return custom or writes(func, args, kwargs) or name in _ON_THE_SIDE or name in _EXPOSING


def _is_data(func: Any) -> bool:
    return getattr(func.__self__, "__name__", "") == "data"
