"""CIE Lab and sRGB in each other's terms, by ops that a gradient passes through.

Both conversions are made of two pieces each: a power, and a straight line near black. They are drawn without a choice:
the power is taken of what is held above the joint, and the line is added below it, so that values and gradients are
right on both sides and at the joint itself. The standard's pieces of the sRGB curve miss each other by 2e-9; here the
line begins where the power ends.

The numbers are those of scikit-image, with which the published colorizers were trained: IEC 61966-2-1 with the matrix
of ITU-R BT.709 to six digits, and the white of D65 and the 2 degree observer, (0.95047, 1, 1.08883). White itself
becomes (100, -0.002, 0.005), since the matrix and the white agree to five digits alone.
"""

from __future__ import annotations

from collections.abc import Sequence

from twinzoo.zoo.registry import model
from twinzoo.zoo.spec import Spec, Value

WHITE = (0.95047, 1.0, 1.08883)
XYZ_FROM_RGB = ((0.412453, 0.357580, 0.180423), (0.212671, 0.715160, 0.072169), (0.019334, 0.119193, 0.950227))
RGB_FROM_XYZ = (
    (3.2404813432005266, -1.5371515162713183, -0.49853632616888777),
    (-0.9692549499965682, 1.8759900014898907, 0.04155592655829284),
    (0.05564663913517715, -0.20404133836651123, 1.0573110696453443),
)
"""The inverse of XYZ_FROM_RGB, written down so that it has the same digits on every machine."""

_PAPER = "CIE 15:2018; IEC 61966-2-1:1999"
# CIE 15:2018, 8.2.1.1: f(t) is the cube root above (6/29)^3 and the tangent there below, of slope (29/6)^2 / 3.
_ROOT_JOINT, _CUBE_JOINT, _SLOPE = 6 / 29, 216 / 24389, 841 / 108
_GAMMA, _LINEAR_JOINT, _CODED_JOINT = 2.4, 0.0031308, 0.04045


def channels(s: Spec, name: str, x: Value, letters: str) -> list[Value]:
    """The channels of x (N, C, ...), one a letter, each (N, 1, ...)."""
    stops = [*range(1, len(letters)), None]
    return [
        s.slice(f"{name}_{letter}", x, axis=1, start=i, stop=stop)
        for i, (letter, stop) in enumerate(zip(letters, stops, strict=True))
    ]


def _weighted(s: Spec, name: str, terms: Sequence[Value], weights: Sequence[float]) -> Value:
    parts = [
        s.affine(f"{name}_{i}", term, scale=weight) for i, (term, weight) in enumerate(zip(terms, weights, strict=True))
    ]
    return s.add(name, s.add(f"{name}_01", parts[0], parts[1]), parts[2])


def _above(s: Spec, name: str, x: Value, joint: float, slope: float, power: float, scale: float, shift: float) -> Value:
    """scale * max(x, joint) ** power + shift, less slope * (joint - x) below the joint."""
    raised = s.pow(f"{name}_power", s.clamp(f"{name}_held", x, low=joint), power)
    raised = s.affine(f"{name}_curve", raised, scale=scale, shift=shift)
    below = s.relu(f"{name}_below", s.affine(f"{name}_depth", x, scale=-1.0, shift=joint))
    return s.sub(name, raised, s.affine(f"{name}_line", below, scale=slope))


def _cubed(s: Spec, name: str, x: Value) -> Value:
    """The inverse of CIE's f: the line everywhere, and r^2 (r + 3 joint) more at r above the joint; no term cancels."""
    line = s.affine(f"{name}_line", x, scale=1 / _SLOPE, shift=-4 / 29 / _SLOPE)
    r = s.relu(f"{name}_above", s.affine(f"{name}_height", x, shift=-_ROOT_JOINT))
    more = s.mul(f"{name}_more", s.square(f"{name}_square", r), s.affine(f"{name}_wide", r, shift=3 * _ROOT_JOINT))
    return s.add(name, line, more)


@model("lab_to_rgb", paper=_PAPER, task="colorization")
def lab_to_rgb(s: Spec) -> Value:
    """CIE Lab (D65) to sRGB, differentiable everywhere.

    lightness: (N, 1, H, W), L* in [0, 100]; ab: (N, 2, H, W), a* and b*
        -> (N, 3, H, W) RGB, in [0, 1] for the colours that sRGB has

    What sRGB does not have is not clipped, so that a loss has a gradient there: values above 1, and below 0 along the
    straight piece of the curve. Clip to [0, 1] to show it. CIE 15:2018, section 8.2.1; IEC 61966-2-1, section 5.2.
    """
    lightness = s.input("lightness", channels=1, example=32, span=(0, 100))
    a, b = channels(s, "ab", s.input("ab", channels=2, example=32, span=(-60, 60)), "ab")
    y = s.affine("root_y", lightness, scale=1 / 116, shift=16 / 116)
    x = s.add("root_x", y, s.affine("a_scaled", a, scale=1 / 500))
    z = s.sub("root_z", y, s.affine("b_scaled", b, scale=1 / 200))
    xyz = [_cubed(s, name, root) for name, root in (("x", x), ("y", y), ("z", z))]
    coded = []
    for name, row in zip(("red", "green", "blue"), RGB_FROM_XYZ, strict=True):
        linear = _weighted(s, f"linear_{name}", xyz, [m * w for m, w in zip(row, WHITE, strict=True)])
        coded.append(_above(s, name, linear, _LINEAR_JOINT, 12.92, 1 / _GAMMA, 1.055, -0.055))
    return s.concat("rgb", *coded)


@model("rgb_to_lab", paper=_PAPER, task="colorization")
def rgb_to_lab(s: Spec) -> dict[str, Value]:
    """sRGB to CIE Lab (D65), differentiable everywhere.

    image: (N, 3, H, W) RGB in [0, 1] -> lightness (N, 1, H, W), L* in [0, 100], and ab (N, 2, H, W), a* in [-87, 99]
        and b* in [-108, 95]

    CIE 15:2018, section 8.2.1; IEC 61966-2-1, section 5.2.
    """
    image = s.input("image", channels=3, example=32, span=(0, 1))
    linear = []
    for name, coded in zip(("red", "green", "blue"), channels(s, "image", image, "rgb"), strict=True):
        shifted = s.affine(f"{name}_shifted", coded, scale=1 / 1.055, shift=0.055 / 1.055)
        joint = (_CODED_JOINT + 0.055) / 1.055
        linear.append(_above(s, name, shifted, joint, 1.055 / 12.92, _GAMMA, 1.0, 0.0))
    roots = {}
    for name, row, white in zip("xyz", XYZ_FROM_RGB, WHITE, strict=True):
        relative = _weighted(s, name, linear, [m / white for m in row])
        roots[name] = _above(s, f"root_{name}", relative, _CUBE_JOINT, _SLOPE, 1 / 3, 1.0, 0.0)
    lightness = s.affine("lightness", roots["y"], scale=116.0, shift=-16.0)
    a = s.affine("a", s.sub("x_over_y", roots["x"], roots["y"]), scale=500.0)
    b = s.affine("b", s.sub("y_over_z", roots["y"], roots["z"]), scale=200.0)
    return {"lightness": lightness, "ab": s.concat("ab", a, b)}
