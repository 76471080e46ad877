"""What a comparison found, as plain data: layers, sides, findings, kernels."""

from __future__ import annotations

from dataclasses import dataclass

from twinzoo.parity.causes import TABLE

CAUSES: frozenset[str] = frozenset(TABLE)
"""Every id that a finding's cause may have; a stable list, since other people's scripts read it."""

OUTPUT = "output"
"""The quantity of a row about what a layer returns."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, with what to do about it.

    Attributes:
        layer: as the user's own code names it; both sides where they differ.
        cause: an id of CAUSES.
        evidence: the numbers that show it, in one line.
        fix: what to do, in one line.
        source: file:line of the layer on side a and on side b, each empty where it is not known.
    """

    layer: str
    cause: str
    evidence: str
    fix: str
    source: tuple[str, str] = ("", "")

    def __post_init__(self) -> None:
        if self.cause not in CAUSES:
            raise ValueError(f"no cause has the id {self.cause!r}")

    def __str__(self) -> str:
        return f"{self.layer}: {self.cause}: {self.evidence}"


@dataclass(frozen=True)
class Heat:
    """Where in a tensor the error sits, in shares of what rounding allows there; above 1 is wrong.

    Attributes:
        grid: of a 4-d tensor the largest share, over batch and channels, in each part of height and width: at most 16 x
            16 parts, in rows from the top; of any other tensor one row of at most 16 parts of the last axis.
        channels: of a 4-d tensor the worst channels, at most 16, as (channel, largest share), the worst first.
    """

    grid: tuple[tuple[float, ...], ...]
    channels: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True)
class SideResult:
    """One side at one layer.

    Attributes:
        ratio: largest |output - float64 of the side's own inputs| over what rounding allows there; above 1 is wrong.
        error: that difference at the place of the largest ratio.
        index: the place.
        drift: largest |output - float64 of the whole chain from the inputs|: rounding as it accumulates.
        problem: what no ratio says (a NaN, a shape, a dtype, no output at all), or empty.
        dtype: the element type of what the side returned.
        nans, infs: how many of its elements are NaN, and how many infinite.
        heat: where the error sits; None but for rows that are wrong and the few nearest to their bound.
    """

    ratio: float
    error: float
    index: tuple[int, ...]
    drift: float
    problem: str = ""
    dtype: str = "float32"
    nans: int = 0
    infs: int = 0
    heat: Heat | None = None

    @property
    def ok(self) -> bool:
        """Whether the side is where float64 says, up to rounding."""
        return self.ratio <= 1 and not self.problem


@dataclass(frozen=True)
class LayerResult:
    """One quantity of one layer on both sides.

    Attributes:
        name: the value's reference in the spec; `call.node` inside a called network, `model: NAME` for what the
            untraced model returned.
        op: the operation, or `call` (of a network) or `output` (of the model).
        attrs: the attributes that differ from the op's defaults, as they would be written.
        shape: of the tensor.
        max_abs, mean_abs, cosine: side a against side b.
        a, b: each side against float64.
        relative: max_abs over the largest magnitude of the float64 chain.
        rounding: the largest deviation from float64 that accumulated rounding is expected to reach here.
        weights: the tensors of this layer in which the sides differ, by spec name.
        quantity: what of the layer the row is about: `output`, `gradient` (of the output), `gradient of weight` (of a
            parameter, by its role or key), `buffer running_mean` (after the step).
        source: file:line of the layer on side a and on side b, each empty where it is not known.
        max_ulp: largest |a - b| in units in the last place of the larger of the two, in the coarser of both element
            types, and in float32 where that is finer.
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
    quantity: str = OUTPUT
    source: tuple[str, str] = ("", "")
    max_ulp: float = 0.0

    @property
    def title(self) -> str:
        """The layer, and the quantity where it is not its output."""
        return self.name if self.quantity == OUTPUT else f"{self.name}, {self.quantity}"

    @property
    def ratio(self) -> float:
        """The larger ratio of both sides."""
        return max(self.a.ratio, self.b.ratio)

    @property
    def backward(self) -> bool:
        """Whether it is a gradient, computed from the last layer to the first."""
        return self.quantity.startswith("gradient")

    @property
    def ok(self) -> bool:
        """Whether both sides compute this layer, with the same weights."""
        return self.a.ok and self.b.ok and not self.weights


@dataclass(frozen=True)
class KernelUse:
    """A kernel measured to be less accurate than rounding, and the layers that needed the allowance for it.

    Attributes:
        port, op: whose kernel of which operation.
        absolute, relative: what is allowed beyond rounding: as it is, and times the magnitude of the float64 output.
        note: what is known about the kernel.
        layers: which needed it.
    """

    port: str
    op: str
    absolute: float
    relative: float
    note: str
    layers: tuple[str, ...]


@dataclass(frozen=True)
class SideInfo:
    """What stood on one side.

    Attributes:
        port: what ran the model.
        framework, version, device: what the port ran on.
        weights: where they came from, in words.
    """

    port: str
    framework: str
    version: str
    device: str
    weights: str

    def __str__(self) -> str:
        names = self.port if self.port == self.framework else f"{self.port}: {self.framework}"
        return " ".join(part for part in (names, self.version, f"on {self.device}" if self.device else "") if part)
