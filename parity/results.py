"""What a comparison found, as plain data: layers, sides, findings, kernels."""

from __future__ import annotations

from dataclasses import dataclass

_IDS = (
    "eps momentum norm-kind norm-mode variance affine padding pad-mode stride kernel dilation groups output-padding",
    "bias weight-value weight-layout weight-swapped weight-shared activation slope approximation inplace dropout",
    "resize-mode align-corners pool-kind ceil-mode count-include-pad axis operand-order missing-op extra-op scale",
    "offset reduction label dtype lr betas optimizer-eps weight-decay bias-correction grad-missing update-order",
    "schedule nondeterminism unexplained",
)

CAUSES: frozenset[str] = frozenset(name for line in _IDS for name in line.split())
"""Every id that a finding's cause may have; a stable list, since other people's scripts read it."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, with what to do about it.

    Attributes:
        layer: as the user's own code names it; both sides where they differ.
        cause: an id of CAUSES.
        evidence: the numbers that show it, in one line.
        fix: what to do, in one line.
    """

    layer: str
    cause: str
    evidence: str
    fix: str

    def __post_init__(self) -> None:
        if self.cause not in CAUSES:
            raise ValueError(f"no cause has the id {self.cause!r}")

    def __str__(self) -> str:
        return f"{self.layer}: {self.cause}: {self.evidence}"


@dataclass(frozen=True)
class SideResult:
    """One side at one layer.

    Attributes:
        ratio: largest |output - float64 of the side's own inputs| over what rounding allows there; above 1 is wrong.
        error: that difference at the place of the largest ratio.
        index: the place.
        drift: largest |output - float64 of the whole chain from the inputs|: rounding as it accumulates.
        problem: what no ratio says (a NaN, a shape, a dtype, no output at all), or empty.
        dtype: what the side returned.
    """

    ratio: float
    error: float
    index: tuple[int, ...]
    drift: float
    problem: str = ""
    dtype: str = "float32"

    @property
    def ok(self) -> bool:
        """Whether the side is where float64 says, up to rounding."""
        return self.ratio <= 1 and not self.problem


@dataclass(frozen=True)
class LayerResult:
    """One value of the graph on both sides.

    Attributes:
        name: the value's reference in the spec; `call.node` inside a called network, `model: NAME` for what the
            untraced model returned.
        attrs: the attributes that differ from the op's defaults, as they would be written.
        max_abs, mean_abs, cosine: side a against side b.
        relative: max_abs over the largest magnitude of the float64 chain.
        rounding: the largest deviation from float64 that accumulated rounding is expected to reach here.
        weights: the tensors of this layer in which the sides differ, by spec name.
    """

    name: str
    op: str
    attrs: str
    shape: tuple[int, ...]
    max_abs: float
    mean_abs: float
    relative: float
    cosine: float
    rounding: float
    a: SideResult
    b: SideResult
    weights: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether both sides compute this layer, with the same weights."""
        return self.a.ok and self.b.ok and not self.weights


@dataclass(frozen=True)
class KernelUse:
    """A kernel measured to be less accurate than rounding, and the layers that needed the allowance for it.

    Attributes:
        absolute, relative: what is allowed beyond rounding: as it is, and times the magnitude of the float64 output.
        note: what is known about the kernel.
    """

    port: str
    op: str
    absolute: float
    relative: float
    note: str
    layers: tuple[str, ...]


@dataclass(frozen=True)
class SideInfo:
    """What stood on one side: a port, its framework and device, and where the weights came from."""

    port: str
    framework: str
    version: str
    device: str
    weights: str

    def __str__(self) -> str:
        names = self.port if self.port == self.framework else f"{self.port}: {self.framework}"
        return " ".join(part for part in (names, self.version, f"on {self.device}" if self.device else "") if part)
