"""One output of one side, held against float64 within what rounding and its port's kernel allow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.bounds.precision import FORMATS, SINGLE
from twinzoo.parity.half_kernels import HALF_KERNELS
from twinzoo.parity.kernels import KERNELS, KernelAccuracy
from twinzoo.parity.measure import Judgement, drift, judge, side_result
from twinzoo.parity.results import KernelUse, SideResult
from twinzoo.zoo.spec import Value

Array = NDArray[Any]


@dataclass(frozen=True)
class Held:
    """The verdict, and what to go on with.

    Attributes:
        output: what the side returned; None for nothing, or for another shape.
        array: the same; what float64 has in its place where the side returned nothing that can be used.
        allowed: elementwise, the rounding bound with the allowance for the kernel.
        kernel: whether it passes only by the allowance.
    """

    result: SideResult
    output: Array | None
    array: Array
    allowed: Array
    kernel: bool

    def beside(self, chain: Array) -> SideResult:
        """The verdict, with how far the side has drifted from float64 of the whole chain from the model's inputs."""
        return self.result if self.output is None else replace(self.result, drift=drift(self.output, chain))


def kernel_of(port: str, op: str, dtype: str) -> KernelAccuracy | None:
    """What a kernel may be off by beyond rounding, None for no more than that.

    Args:
        dtype: the element type of its output, as NumPy names it.
    """
    return HALF_KERNELS.get((port, op, dtype)) if dtype in ("float16", "bfloat16") else KERNELS.get((port, op))


def kernel_use(port: str, op: str, known: KernelAccuracy, layers: tuple[str, ...]) -> KernelUse:
    """A row of a report."""
    return KernelUse(port, op, known.absolute, known.relative, known.note, layers)


def kernel_uses(used: Mapping[tuple[str, str, str], list[str]], named: Callable[[str], str] = str) -> list[KernelUse]:
    """The rows of a report.

    Args:
        used: (port, op, element type) -> the values that needed an allowance.
        named: a value as the report calls it.
    """
    found = [(port, op, kernel_of(port, op, dtype), values) for (port, op, dtype), values in used.items()]
    return [kernel_use(port, op, row, tuple(map(named, values))) for port, op, row, values in found if row is not None]


def hold(
    output: Array | None,
    value: Value,
    kernel: tuple[str, str],
    local: Array,
    rounding: Array,
    *,
    wanted: str = "float32",
) -> Held:
    """Judge one value.

    Args:
        output: what the side returned, in its own element type; None for nothing.
        kernel: (port, op).
        local: float64 of the side's own inputs.
        rounding: how far from `local` rounding may lead, in the element type that the side returned.
        wanted: the element type that is right for numbers; empty where float32, float16 and bfloat16 all are. The
            reference port returns float64.
    """
    dtype = "" if output is None else "int" if output.dtype.kind in "iu" else str(output.dtype)
    right = _right(value, kernel[0], wanted)
    known = kernel_of(*kernel, dtype)
    allowed = rounding if known is None else rounding + known.absolute + known.relative * np.abs(local)
    if output is None or output.shape != local.shape:
        problem = "returned nothing" if output is None else f"shape {output.shape}, where {local.shape} is right"
        stand_in = local.astype(FORMATS[right[0]].dtype) if right[0] in FORMATS else local
        result = SideResult(float("inf"), float("inf"), (), float("inf"), problem, "")
        return Held(result, None, stand_in, allowed, False)
    judged = held_to(output, local, allowed)
    problem = judged.problem if dtype in right else f"dtype {dtype}, where {' or '.join(right)} is right"
    result = side_result(judged, output, None, problem, dtype)
    usable = result.ok or value.dtype != "int"  # an index that is wrong may lie outside what it indexes
    by_kernel = known is not None and result.ok and held_to(output, local, rounding).ratio > 1
    return Held(result, output, output if usable else local, allowed, by_kernel)


def held_to(output: Array, local: Array, allowed: Array) -> Judgement:
    """Hold an output of any element type against float64 within an allowance.

    It may be infinite where its own type has no number for what is allowed, and nowhere else.
    """
    if output.dtype.kind in "iub" or np.isfinite(output).all():
        return judge(output, local, allowed)
    wide = output.astype(np.float64)
    largest = FORMATS.get(str(output.dtype), SINGLE).largest
    with np.errstate(all="ignore"):
        beyond = np.isinf(wide) & (np.sign(wide) == np.sign(local)) & (np.abs(local) + allowed >= largest)
    return judge(wide, local, np.where(beyond, SINGLE.largest, allowed) if beyond.any() else allowed)


def _right(value: Value, port: str, wanted: str) -> tuple[str, ...]:
    """The element types that are right for a value."""
    if value.dtype == "int":
        return ("int",)
    if port == "reference":
        return ("float64",)
    return (wanted,) if wanted else tuple(FORMATS)
