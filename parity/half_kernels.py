"""Half kernels that are less accurate than their rounding model: measured, as the rows of parity.kernels are."""

from __future__ import annotations

from twinzoo.parity.kernels import GRADIENT_KERNELS, LIVE, KernelAccuracy

_MS = "MindSpore 2.10 on CPU, float16: "
_TANH = KernelAccuracy(9.6e-4, 0.0, _MS + "as 2 sigmoid(2x) - 1, where a half sigmoid cancels")
_ELU = KernelAccuracy(2.5e-4, 0.0, _MS + "alpha other than 1 through expm1, which is exp - 1 in half")
_SOFTPLUS = KernelAccuracy(3.1e-8, 0.0, _MS + "0 below x = -16.6, where 1 + exp(x) is 1 in float32")

HALF_KERNELS: dict[tuple[str, str, str], KernelAccuracy] = {
    ("mindspore", "tanh", "float16"): _TANH,
    (LIVE + "mindspore", "tanh", "float16"): _TANH,
    ("mindspore", "elu", "float16"): _ELU,
    ("mindspore", "softplus", "float16"): _SOFTPLUS,
    (LIVE + "mindspore", "softplus", "float16"): _SOFTPLUS,
}
"""(port, op, element type) -> the accuracy of its kernel."""

HALF_GRADIENT_KERNELS: dict[tuple[str, str, str], KernelAccuracy] = {
    (LIVE + "mindspore", "var", "float16"): KernelAccuracy(
        5e-5, 0.0, _MS + "by way of the deviation: numbers around 1e-3 underflow"
    ),
}
"""The same of backward passes: a share of the incoming gradient, and one of what is passed back."""


def gradient_kernel_of(port: str, op: str, dtype: str) -> KernelAccuracy | None:
    """What a backward pass may be off by beyond rounding, None for no more than that.

    Args:
        dtype: the element type of the op's output, as NumPy names it.
    """
    if dtype in ("float16", "bfloat16"):
        return HALF_GRADIENT_KERNELS.get((port, op, dtype))
    return GRADIENT_KERNELS.get((port, op))
