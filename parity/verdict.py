"""One output of one side, held against float64 within what rounding and its port's kernel allow."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twinzoo.parity.kernels import KERNELS
from twinzoo.parity.measure import distances, judge
from twinzoo.parity.results import SideResult
from twinzoo.zoo.spec import Value

Array = NDArray[Any]


@dataclass(frozen=True)
class Held:
    """The verdict, and what to go on with.

    Attributes:
        array: the side's output; what float64 has in its place where the side returned nothing that can be used.
        allowed: elementwise, the rounding bound with the allowance for the kernel.
        kernel: whether it passes only by the allowance.
    """

    result: SideResult
    array: Array
    allowed: Array
    kernel: bool


def hold(
    output: Array | None, value: Value, kernel: tuple[str, str], local: Array, rounding: Array, chain: Array
) -> Held:
    """Judge one value.

    Args:
        output: what the side returned, None for nothing.
        kernel: (port, op).
        local: float64 of the side's own inputs.
        rounding: how far from `local` float32 rounding may lead.
        chain: float64 from the inputs of the model on.
    """
    known = KERNELS.get(kernel)
    allowed = rounding if known is None else rounding + known.absolute + known.relative * np.abs(local)
    wanted = "int" if value.dtype == "int" else "float64" if kernel[0] == "reference" else "float32"
    if output is None or output.shape != local.shape:
        problem = "returned nothing" if output is None else f"shape {output.shape}, where {local.shape} is right"
        stand_in = local if wanted != "float32" else local.astype(np.float32)
        result = SideResult(float("inf"), float("inf"), (), float("inf"), problem, "")
        return Held(result, stand_in, allowed, False)
    judged = judge(output, local, allowed)
    dtype = "int" if output.dtype.kind in "iu" else str(output.dtype)
    problem = f"dtype {dtype}, where {wanted} is right" if dtype != wanted else judged.problem
    drift = float(distances(output, chain).max(initial=0.0))
    result = SideResult(judged.ratio, judged.error, judged.index, drift, problem, dtype)
    usable = result.ok or value.dtype != "int"  # an index that is wrong may lie outside what it indexes
    by_kernel = known is not None and result.ok and judge(output, local, rounding).ratio > 1
    return Held(result, output if usable else local, allowed, by_kernel)
