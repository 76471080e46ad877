"""Lab and sRGB as specs: the CIE's formulas, there and back, and gradients that are right at every joint."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from parity_tests.zoo import cie
from twinzoo.ports.reference.evaluate import trace
from twinzoo.ports.registry import port
from twinzoo.zoo.models.color import RGB_FROM_XYZ, XYZ_FROM_RGB
from twinzoo.zoo.registry import spec

Array = NDArray[Any]
SHADES = arrays(np.float64, (1, 3, 2, 3), elements=st.floats(0, 1))


def to_lab(image: Array) -> Array:
    """(N, 3, H, W) RGB -> (N, 3, H, W) Lab, by the spec in float64."""
    values = trace(spec("rgb_to_lab"), {}, {"image": image}).values
    return np.concatenate([values["lightness"], values["ab"]], 1)


def to_rgb(lab: Array) -> Array:
    """(N, 3, H, W) Lab -> (N, 3, H, W) RGB, by the spec in float64."""
    values = trace(spec("lab_to_rgb"), {}, {"lightness": lab[:, :1], "ab": lab[:, 1:]}).values
    return np.asarray(values["rgb"])


def last(image: Array) -> Array:
    """The channels last."""
    return np.moveaxis(image, 1, -1)


JUMP = abs(0.04045 / 12.92 - ((0.04045 + 0.055) / 1.055) ** 2.4)
"""By this the two pieces of the sRGB standard miss each other, in linear light; the spec has no jump."""


@given(SHADES)
def test_lab_is_the_cies(image: Array) -> None:
    steepest = 500 * 841 / 108
    np.testing.assert_allclose(last(to_lab(image)), cie.rgb_to_lab(last(image)), rtol=1e-12, atol=JUMP * steepest)


@given(arrays(np.float64, (1, 3, 2, 3), elements=st.floats(-100, 100)))
def test_rgb_is_the_cies_in_gamut_and_out(lab: Array) -> None:
    lab[:, 0] = np.abs(lab[:, 0])
    np.testing.assert_allclose(last(to_rgb(lab)), cie.lab_to_rgb(last(lab)), rtol=1e-9, atol=5e-8)


@given(SHADES)
def test_there_and_back(image: Array) -> None:
    np.testing.assert_allclose(to_rgb(to_lab(image)), image, rtol=0, atol=1e-7)


def test_it_is_what_the_published_colorizers_were_trained_with() -> None:
    """scikit-image rounds two of the CIE's fractions (7.787, 0.008856): up to 2e-4 in the darkest colours."""
    color = pytest.importorskip("skimage.color")
    image = np.random.default_rng(0).uniform(0, 1, (1, 3, 32, 32)) ** 2
    np.testing.assert_allclose(last(to_lab(image)), color.rgb2lab(last(image)), rtol=0, atol=3e-4)
    lab = to_lab(image)
    np.testing.assert_allclose(last(to_rgb(lab)), color.lab2rgb(last(lab)), rtol=0, atol=1e-5)


def test_black_white_and_the_primaries() -> None:
    image = np.array([[0, 0, 0], [1, 1, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]], np.float64).T.reshape(1, 3, 1, 5)
    expected = np.array([[0, 0, 0], [100, 0, 0], [53.24, 80.09, 67.2], [87.73, -86.18, 83.18], [32.3, 79.19, -107.86]])
    np.testing.assert_allclose(last(to_lab(image))[0, 0], expected, atol=0.01)


def test_the_matrices_are_each_others_inverse() -> None:
    np.testing.assert_allclose(RGB_FROM_XYZ, np.linalg.inv(np.array(XYZ_FROM_RGB)), rtol=1e-13)


JOINTS = {"coded": 0.04045, "root": 1.055 * cie.DELTA ** (3 / 2.4) - 0.055}
"""Grays where the power of the sRGB curve begins, and where f(t) becomes a cube root."""


@pytest.mark.parametrize("framework", ["torch", "mindspore", "reference"])
@pytest.mark.parametrize("joint", JOINTS)
def test_the_gradient_of_lab_at_a_joint(joint: str, framework: str) -> None:
    """Steps of float32 around the joint: every gradient is one of the two slopes there, and not 0 or their sum."""
    if framework != "reference":
        pytest.importorskip(framework)
    centre = np.float32(JOINTS[joint])
    values = centre + np.arange(-8, 9, dtype=np.float32) * np.spacing(centre)
    image = np.broadcast_to(values, (1, 3, 1, 17)).copy()
    around = np.array([0.99, 1.01])[:, None] * float(centre)
    ends = [cie.rgb_to_lab(np.repeat(around * (1 + e), 3, 1))[:, 0] for e in (-1e-6, 1e-6)]
    slopes = (ends[1] - ends[0]) / (2e-6 * around[:, 0])
    used = port(framework)
    model = used.build(spec("rgb_to_lab"))
    cotangents = {"lightness": np.ones((1, 1, 1, 17), np.float32), "ab": np.zeros((1, 2, 1, 17), np.float32)}
    gradient = np.asarray(used.gradients(model, {"image": image}, cotangents)["image"]).sum(1).ravel()
    assert (gradient > 0.99 * slopes.min()).all()
    assert (gradient < 1.01 * slopes.max()).all()


@pytest.mark.parametrize("framework", ["torch", "mindspore", "reference"])
def test_the_gradient_of_rgb_at_its_joints(framework: str) -> None:
    """L* = 8 is where the cube begins; L* of linear light 0.0031308 is where the power begins."""
    if framework != "reference":
        pytest.importorskip(framework)
    joints = np.array([8.0, 116 * (0.0031308 * 29**3 / (3 * 36 * 29) + 4 / 29) - 16])
    lightness = np.concatenate([j + np.arange(-8, 9) * np.spacing(np.float32(j)) for j in joints]).astype(np.float32)
    used = port(framework)
    inputs = {"lightness": lightness.reshape(1, 1, 2, 17), "ab": np.zeros((1, 2, 2, 17), np.float32)}
    cotangents = {"output": np.full((1, 3, 2, 17), 1 / 3, np.float32)}
    made = used.gradients(used.build(spec("lab_to_rgb")), inputs, cotangents)["lightness"]
    for gradient, joint in zip(np.asarray(made)[0, 0], joints, strict=True):
        ends = np.array([[joint * side * (1 + e), 0, 0] for side in (0.99, 1.01) for e in (-1e-6, 1e-6)])
        below, above = (
            np.diff(cie.lab_to_rgb(ends).mean(-1).reshape(2, 2))[:, 0] / np.diff(ends[:, 0].reshape(2, 2))[:, 0]
        )
        assert (gradient > 0.97 * min(below, above)).all()
        assert (gradient < 1.03 * max(below, above)).all()


def test_a_colour_that_srgb_has_not_still_has_a_gradient() -> None:
    used = port("reference")
    inputs = {"lightness": np.full((1, 1, 1, 1), 60.0), "ab": np.array([110.0, -110.0]).reshape(1, 2, 1, 1)}
    rgb = to_rgb(np.concatenate(list(inputs.values()), 1)).ravel()
    assert rgb.max() > 1.05
    assert rgb.min() < 0
    gradients = used.gradients(used.build(spec("lab_to_rgb")), inputs, {"output": np.ones((1, 3, 1, 1))})
    assert all(np.isfinite(g).all() and (np.abs(g) > 1e-5).all() for g in gradients.values())
