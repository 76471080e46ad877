"""The demo at a small width: it agrees, it names a tampered layer, it uses real weights where there are some."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from twinzoo.recipes.demo import run as demo
from twinzoo.recipes.demo.cases import CASES, Case, photograph
from twinzoo.zoo.errors import TwinzooError

pytest.importorskip("torch")
pytest.importorskip("mindspore")
pytest.importorskip("skimage")

SMALL = {
    "pix2pix": ({"width": 4, "depth": 5}, 32, "down4_conv.weight"),
    "cyclegan": ({"width": 4, "blocks": 2}, 32, "block2_conv1.weight"),
    "aodnet": ({}, 32, "conv4.weight"),
}


@pytest.fixture
def small_cases(monkeypatch: pytest.MonkeyPatch) -> list[Case]:
    """The cases without VGG16, each as small as it gets."""
    cases = [
        dataclasses.replace(case, options=SMALL[case.stem][0], size=SMALL[case.stem][1], tampered=SMALL[case.stem][2])
        for case in CASES
        if case.stem in SMALL
    ]
    monkeypatch.setattr(demo, "CASES", cases)
    return cases


def test_it_agrees_and_writes_one_page(small_cases: list[Case], tmp_path: Path) -> None:
    said: list[str] = []
    assert demo.run(tmp_path / "out", None, False, said.append)
    assert any(line.startswith("AGREE: 3 models") for line in said)
    assert sum("seeded weights" in line for line in said) == 3
    page = (tmp_path / "out" / "index.html").read_text()
    assert page.count("data:image/png;base64") >= 4 * len(small_cases)
    assert all(case.title in page for case in small_cases)
    assert str(tmp_path / "out" / "index.html") in said[-1]


def test_a_tampered_weight_is_named(small_cases: list[Case], tmp_path: Path) -> None:
    said: list[str] = []
    assert not demo.run(tmp_path / "out", None, True, said.append)
    assert any("tampered: block2_conv1.weight" in line for line in said)
    assert any(line.strip().startswith("DIFFERS at block2_conv1") for line in said)
    assert any(line.startswith("DIFFERS: cyclegan") for line in said)


def test_real_weights_are_used_where_there_are_some(small_cases: list[Case], tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    case = small_cases[-1]
    case.write(case.spec, tmp_path / "real" / "aodnet.pth")
    said: list[str] = []
    assert demo.run(tmp_path / "out", tmp_path / "real", False, said.append)
    assert any("aodnet.pth (real weights)" in line for line in said)
    assert not (tmp_path / "out" / "aodnet.pth").exists()


def test_a_missing_weights_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(TwinzooError, match="is not a folder"):
        demo.run(tmp_path / "out", tmp_path / "missing", False, print)
    assert not (tmp_path / "out").exists()


def test_photographs_are_square_and_real() -> None:
    pixels = photograph("astronaut", 64)
    assert pixels.shape == (64, 64, 3)
    assert pixels.dtype == np.uint8
    assert pixels.std() > 30


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_an_image_is_in_the_range_the_model_takes(case: Case) -> None:
    image = case.image()
    assert image.shape == (1, 3, case.size, case.size)
    if not case.model.startswith("vgg"):
        assert case.low <= image.min() < image.max() <= 1
